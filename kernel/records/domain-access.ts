/**
 * Access control between domains. Xen's default policy: domain 0 may act on any domain, a guest on itself; everything else
 * requires event channels or grants.
 */
import { DOMID_SELF } from "../../abi/xen";
import { Domain } from "./domain";
import { domainById } from "./domain-list";
import { Vcpu } from "./vcpu";

/** The domain that `id` refers to in a call by `v`; DOMID_SELF is the caller's. Null: -ESRCH. */
export function domainNamed(v: Vcpu, id: u32): Domain | null {
  return id == DOMID_SELF ? v.domain : domainById(id);
}

/** Whether the domain of `v` may act on `d`: on itself, or on any if privileged. False: -EPERM. */
export function mayTarget(v: Vcpu, d: Domain): bool {
  return v.domain.privileged != 0 || changetype<usize>(v.domain) == changetype<usize>(d);
}

/** vCPU number `id` of `d`; null when it does not exist: -ENOENT. */
export function vcpuOf(d: Domain, id: u32): Vcpu | null {
  if (id >= d.vcpuCount || !d.vcpus) return null;
  return changetype<Vcpu | null>(load<usize>(d.vcpus + ((<usize>id) << 2)));
}
