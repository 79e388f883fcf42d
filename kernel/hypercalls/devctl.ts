/**
 * Hypercall 41: NoXS's devctl for domains that have devices without a store, dm_op for the others. A domain that was made
 * with its devices has devctl: the control domain's first `get` or `dev_add` on a domain that has never run makes it one.
 * A PVHv1 guest, domain 0 and the I/O domain always have devctl. See docs/decisions/0008-devctl.md.
 */
import { EACCES, EFAULT, EPERM, ESRCH } from "../../abi/errno";
import {
  Devctl,
  NoxsDevKey,
  XEN_DEVCTL_dev_add,
  XEN_DEVCTL_dev_enum,
  XEN_DEVCTL_dev_rem,
  XEN_DEVCTL_get,
  XEN_DEVCTL_VERSION,
} from "../../abi/io/noxs";
import { deviceAdd, deviceList, devicePageAddress, devicePageReady, deviceRemove } from "../domains/device-page";
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { scratch } from "../memory/scratch";
import { Domain, DomainLife } from "../records/domain";
import { domainNamed, mayTarget } from "../records/domain-access";
import { domainById } from "../records/domain-list";
import { Vcpu } from "../records/vcpu";
import { dmOp } from "./absent-ops";

/** Number 41, as the caller's domain has it. */
export function devctlOrDmOp(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  return v.domain.devctl ? devctl(v, a1) : dmOp(v, a1, a2, a3, a4, a5, a6);
}

/**
 * The hypercall.
 * @param gva guest address of a struct xen_devctl, in its 64-bit layout for every caller
 * @returns 0; -EFAULT; -EACCES another version; -EPERM of a guest, for all but its own page; -ESRCH no such domain, or
 *   dying, or no such command; else what kernel/domains/device-page.ts says
 */
function devctl(v: Vcpu, gva: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, gva, Devctl.SIZE)) return -EFAULT;
  if (load<u32>(arg, Devctl.version) != XEN_DEVCTL_VERSION) return -EACCES;
  const command = load<u32>(arg, Devctl.cmd);
  const id: u32 = load<u16>(arg, Devctl.domain);
  const own = command == XEN_DEVCTL_get;
  const d = own ? domainNamed(v, id) : domainById(id);
  if (!v.domain.privileged && !(own && d != null && mayTarget(v, d))) return -EPERM;
  if (d == null || d.life != DomainLife.Alive) return -ESRCH;
  switch (command) {
    case XEN_DEVCTL_get:
      return get(v, d, arg, gva);
    case XEN_DEVCTL_dev_add:
      return deviceAdd(d, arg + Devctl.dev_add_dev);
    case XEN_DEVCTL_dev_rem: {
      const key = arg + Devctl.dev_rem_dev;
      return deviceRemove(d, load<u32>(key, NoxsDevKey.type), load<u32>(key, NoxsDevKey.devid));
    }
    case XEN_DEVCTL_dev_enum:
      store<u32>(arg, deviceList(d, arg + Devctl.dev_enum_devs), Devctl.dev_enum_dev_count);
      return answer(v, arg, gva, Devctl.dev_enum_dev_count, Devctl.SIZE - Devctl.dev_enum_dev_count);
    default:
      return -ESRCH;
  }
}

function get(v: Vcpu, d: Domain, arg: usize, gva: u64): i64 {
  const rc = devicePageReady(d);
  if (rc) return rc;
  store<u64>(arg, devicePageAddress(d), Devctl.get_mfn);
  return answer(v, arg, gva, Devctl.get_mfn, 8);
}

/** Copies `length` bytes of the structure back, from `offset` on. */
function answer(v: Vcpu, arg: usize, gva: u64, offset: u32, length: u32): i64 {
  return copyToGuest(v, gva + offset, arg + offset, length) ? 0 : -EFAULT;
}
