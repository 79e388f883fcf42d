/**
 * __HYPERVISOR_sysctl: the machine as a whole, for domain 0 (xen/sysctl.h, interface version 15H). The switch below is the
 * whole interface; any other operation is -ENOSYS.
 */
import { EACCES, EFAULT, EINVAL, EIO, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../../abi/errno";
import { DomctlGetdomaininfo, XEN_SCHEDULER_CREDIT2 } from "../../../abi/domctl";
import {
  Sysctl,
  SysctlAvailheap,
  SysctlCpupoolOp,
  SysctlCredit2Schedule,
  SysctlDebugKeys,
  SysctlGetdomaininfolist,
  SysctlReadconsole,
  SysctlSchedId,
  SysctlSchedulerOp,
  XEN_SYSCTL_availheap,
  XEN_SYSCTL_cpupool_op,
  XEN_SYSCTL_CPUPOOL_OP_FREEINFO,
  XEN_SYSCTL_CPUPOOL_OP_INFO,
  XEN_SYSCTL_cputopoinfo,
  XEN_SYSCTL_debug_keys,
  XEN_SYSCTL_get_cpu_policy,
  XEN_SYSCTL_getcpuinfo,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_INTERFACE_VERSION,
  XEN_SYSCTL_numainfo,
  XEN_SYSCTL_perfc_op,
  XEN_SYSCTL_physinfo,
  XEN_SYSCTL_readconsole,
  XEN_SYSCTL_sched_id,
  XEN_SYSCTL_SCHEDOP_getinfo,
  XEN_SYSCTL_scheduler_op,
} from "../../../abi/sysctl";
import { writeBitmap } from "./control-bitmap";
import { cpusOnline } from "../../records/cpu-set";
import { debugKey } from "../../audit/debug-keys";
import { dmesgClear, dmesgNext, dmesgPosition, dmesgRewind, dmesgText, dmesgWritten } from "../../machine/dmesg";
import { Domain } from "../../records/domain";
import { domainInfo } from "./domain-info";
import { domainFirst, domainFrom } from "../../records/domain-list";
import { freeFrames } from "../../memory/frames";
import { copyFromGuest, copyToGuest } from "../../memory/guest-copy";
import { perfc } from "./perfc";
import { scratch } from "../../memory/scratch";
import { cpuInfo, cpuPolicy, cpuTopology, numaInfo, physInfo } from "./sysctl-machine";
import { Vcpu } from "../../records/vcpu";

/** Bytes behind the structure in the scratch page through which lists pass. */
const WORK: usize = 512;
const KEYS_MAX: u32 = 64;

/**
 * The hypercall.
 * @param a1 guest address of a struct xen_sysctl
 * @returns 0 or negative errno: -EACCES for another interface version, -EPERM for a caller without privilege
 */
export function sysctl(v: Vcpu, a1: u64, _a2: u64, _a3: u64, _a4: u64, _a5: u64, _a6: u64): i64 {
  const arg = scratch(v);
  if (!copyFromGuest(v, arg, a1, Sysctl.SIZE)) return -EFAULT;
  if (load<u32>(arg, Sysctl.interface_version) != XEN_SYSCTL_INTERFACE_VERSION) return -EACCES;
  if (!v.domain.privileged) return -EPERM;
  const rc = operation(v, load<u32>(arg, Sysctl.cmd), arg + Sysctl.u);
  return copyToGuest(v, a1, arg, Sysctl.SIZE) ? rc : -EFAULT;
}

/** Runs one operation on the copy of its structure at linear `u`, which goes back to the caller afterwards. */
function operation(v: Vcpu, command: u32, u: usize): i32 {
  switch (command) {
    case XEN_SYSCTL_readconsole:
      return readConsole(v, u);
    case XEN_SYSCTL_physinfo:
      return physInfo(u);
    case XEN_SYSCTL_sched_id:
      store<u32>(u, XEN_SCHEDULER_CREDIT2, SysctlSchedId.sched_id);
      return 0;
    case XEN_SYSCTL_perfc_op:
      return perfc(v, u, u + WORK);
    case XEN_SYSCTL_getdomaininfolist:
      return domainInfoList(v, u);
    case XEN_SYSCTL_debug_keys:
      return debugKeys(v, u);
    case XEN_SYSCTL_getcpuinfo:
      return cpuInfo(v, u, u + WORK);
    case XEN_SYSCTL_availheap: {
      const node = load<i32>(u, SysctlAvailheap.node);
      store<u64>(u, node == 0 || node == -1 ? (<u64>freeFrames()) << 12 : 0, SysctlAvailheap.avail_bytes);
      return 0;
    }
    case XEN_SYSCTL_cputopoinfo:
      return cpuTopology(v, u, u + WORK);
    case XEN_SYSCTL_numainfo:
      return numaInfo(v, u, u + WORK);
    case XEN_SYSCTL_cpupool_op:
      return cpuPool(v, u);
    case XEN_SYSCTL_scheduler_op:
      return scheduler(u);
    case XEN_SYSCTL_get_cpu_policy:
      return cpuPolicy(v, u, u + WORK);
    default:
      return -ENOSYS;
  }
}

/**
 * readconsole: the log, from its oldest byte or (incremental) from the byte numbered `index` on; bytes are numbered
 * modulo 2^32.
 */
function readConsole(v: Vcpu, u: usize): i32 {
  const incremental = load<u8>(u, SysctlReadconsole.incremental) != 0;
  const behind = <u32>dmesgWritten() - load<u32>(u, SysctlReadconsole.index);
  dmesgRewind(incremental ? behind : u64.MAX_VALUE);
  const room = load<u32>(u, SysctlReadconsole.count);
  const buffer = load<u64>(u, SysctlReadconsole.buffer);
  let done: u32 = 0;
  for (let length = dmesgNext(room); length; length = dmesgNext(room - done)) {
    if (!copyToGuest(v, buffer + done, dmesgText(), length)) return -EFAULT;
    done += length;
  }
  const end = dmesgPosition();
  if (load<u8>(u, SysctlReadconsole.clear)) dmesgClear(end);
  store<u32>(u, done, SysctlReadconsole.count);
  store<u32>(u, <u32>end, SysctlReadconsole.index);
  return 0;
}

function domainInfoList(v: Vcpu, u: usize): i32 {
  const first: u32 = load<u16>(u, SysctlGetdomaininfolist.first_domain);
  const room = load<u32>(u, SysctlGetdomaininfolist.max_domains);
  const buffer = load<u64>(u, SysctlGetdomaininfolist.buffer);
  let count: u32 = 0;
  for (let at = changetype<usize>(domainFrom(first)); at && count < room; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    domainInfo(d, u + WORK);
    if (!copyToGuest(v, buffer + <u64>count * DomctlGetdomaininfo.SIZE, u + WORK, DomctlGetdomaininfo.SIZE)) {
      return -EFAULT;
    }
    count++;
  }
  store<u32>(u, count, SysctlGetdomaininfolist.num_domains);
  return 0;
}

/** debug_keys: each byte as if typed at the hypervisor (debug-keys.ts). -EIO when an audit found violations. */
function debugKeys(v: Vcpu, u: usize): i32 {
  const count = load<u32>(u, SysctlDebugKeys.nr_keys);
  if (count > KEYS_MAX) return -EINVAL;
  if (count && !copyFromGuest(v, u + WORK, load<u64>(u, SysctlDebugKeys.keys), count)) return -EFAULT;
  let good = true;
  for (let i: u32 = 0; i < count; i++) if (!debugKey(load<u8>(u + WORK + i))) good = false;
  return good ? 0 : -EIO;
}

/** cpupool_op: there is one pool, 0, with every CPU and domain. */
function cpuPool(v: Vcpu, u: usize): i32 {
  const op = load<u32>(u, SysctlCpupoolOp.op);
  const map = u + SysctlCpupoolOp.cpumap;
  if (op == XEN_SYSCTL_CPUPOOL_OP_FREEINFO) return writeBitmap(v, map, u + WORK, 0) ? 0 : -EFAULT;
  if (op != XEN_SYSCTL_CPUPOOL_OP_INFO) return -EOPNOTSUPP;
  if (load<u32>(u, SysctlCpupoolOp.cpupool_id)) return -ENOENT;
  let domains: u32 = 0;
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) domains++;
  store<u32>(u, XEN_SCHEDULER_CREDIT2, SysctlCpupoolOp.sched_id);
  store<u32>(u, domains, SysctlCpupoolOp.n_dom);
  return writeBitmap(v, map, u + WORK, cpusOnline()) ? 0 : -EFAULT;
}

/**
 * scheduler_op, credit2's, which ours is most like: fair by virtual time that runs slower for a higher weight. Its one parameter is the
 * least time that a vCPU runs before another may take the CPU, 0: none is promised. It is fixed.
 */
function scheduler(u: usize): i32 {
  if (load<u32>(u, SysctlSchedulerOp.cpupool_id)) return -ESRCH;
  if (load<u32>(u, SysctlSchedulerOp.sched_id) != XEN_SCHEDULER_CREDIT2) return -EINVAL;
  if (load<u32>(u, SysctlSchedulerOp.cmd) != XEN_SYSCTL_SCHEDOP_getinfo) return -EOPNOTSUPP;
  store<u32>(u + SysctlSchedulerOp.u, 0, SysctlCredit2Schedule.ratelimit_us);
  return 0;
}
