/** Operations of sysctl that describe the machine. `u`: linear address of the structure; `work`: scratch space behind it. */
import { EFAULT, EINVAL, ENOBUFS, EOPNOTSUPP } from "../../../abi/errno";
import {
  CpuidLeaf,
  MsrEntry,
  SysctlCpuinfo,
  SysctlCpuPolicy,
  SysctlCputopo,
  SysctlCputopoinfo,
  SysctlGetcpuinfo,
  SysctlMeminfo,
  SysctlNumainfo,
  SysctlPhysinfo,
  XEN_SYSCTL_cpu_policy_host,
  XEN_SYSCTL_cpu_policy_hvm_default,
  XEN_SYSCTL_cpu_policy_raw,
  XEN_SYSCTL_PHYSCAP_gnttab_v1,
  XEN_SYSCTL_PHYSCAP_hap,
  XEN_SYSCTL_PHYSCAP_hvm,
} from "../../../abi/sysctl";
import * as hw from "../../../arch-x86/hw";
import { tscKhz } from "../../../arch-x86/host/tsc";
import { promisedFrames } from "../../memory/promises";
import { cpuOf } from "../../records/cpu";
import { cpusLimit, cpusOnline } from "../../records/cpu-set";
import { framesLimit, freeFrames, totalFrames } from "../../memory/frames";
import { copyToGuest } from "../../memory/guest-copy";
import { Vcpu } from "../../records/vcpu";
import { virtualisationReady } from "../../machine/virtualisation";

/** The leaves of get_cpu_policy: basic ones as far as the CPU has them, 7 and DH without further sub-leaves, extended ones. */
const BASIC_MAX: u32 = 0x1f;
const EXTENDED_MAX: u32 = 0x80000021;
const LEAVES_MAX: u32 = BASIC_MAX + 1 + 0x22;
/** IA32_VMX_BASIC .. IA32_VMX_VMFUNC: what VT-x can do (SDM 3D appendix A). */
const MSR_VMX_FIRST: u32 = 0x480;
const MSR_VMX_LAST: u32 = 0x491;
const LEAF1_ECX_VMX: u32 = 1 << 5;
const NO_SUBLEAF: u32 = 0xffffffff;
/** Distance of a node to itself, by ACPI's SLIT. */
const NODE_DISTANCE: u32 = 10;

export function physInfo(u: usize): i32 {
  memory.fill(u, 0, SysctlPhysinfo.SIZE);
  const cpus = <u32>popcnt<u64>(cpusOnline());
  store<u32>(u, 1, SysctlPhysinfo.threads_per_core);
  store<u32>(u, cpus, SysctlPhysinfo.cores_per_socket);
  store<u32>(u, cpus, SysctlPhysinfo.nr_cpus);
  store<u32>(u, cpusLimit() - 1, SysctlPhysinfo.max_cpu_id);
  store<u32>(u, 1, SysctlPhysinfo.nr_nodes);
  store<u32>(u, tscKhz(), SysctlPhysinfo.cpu_khz);
  let able = XEN_SYSCTL_PHYSCAP_gnttab_v1;
  if (virtualisationReady()) able |= XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap;
  store<u32>(u, able, SysctlPhysinfo.capabilities);
  store<u64>(u, totalFrames(), SysctlPhysinfo.total_pages);
  store<u64>(u, freeFrames(), SysctlPhysinfo.free_pages);
  store<u64>(u, promisedFrames(), SysctlPhysinfo.outstanding_pages); // not only by XENMEM_claim_pages
  store<u64>(u, framesLimit() - 1, SysctlPhysinfo.max_mfn);
  // The order of Xen's featureset words.
  const caps = u + SysctlPhysinfo.hw_cap;
  const basic = hw.cpuidEax(0, 0);
  const extended = hw.cpuidEax(0x80000000, 0);
  store<u32>(caps, hw.cpuidEdx(1, 0));
  store<u32>(caps, hw.cpuidEcx(1, 0), 4);
  if (extended >= 0x80000001) {
    store<u32>(caps, hw.cpuidEdx(0x80000001, 0), 8);
    store<u32>(caps, hw.cpuidEcx(0x80000001, 0), 12);
  }
  if (basic >= 0xd) store<u32>(caps, hw.cpuidEax(0xd, 1), 16);
  if (basic >= 7) {
    store<u32>(caps, hw.cpuidEbx(7, 0), 20);
    store<u32>(caps, hw.cpuidEcx(7, 0), 24);
  }
  if (extended >= 0x80000007) store<u32>(caps, hw.cpuidEdx(0x80000007, 0), 28);
  return 0;
}

/** getcpuinfo: the time each CPU was idle, ns. */
export function cpuInfo(v: Vcpu, u: usize, work: usize): i32 {
  const count = min(load<u32>(u, SysctlGetcpuinfo.max_cpus), cpusLimit());
  const buffer = load<u64>(u, SysctlGetcpuinfo.info);
  for (let i: u32 = 0; i < count; i++) {
    store<u64>(work, cpuOf(i).idleNs, SysctlCpuinfo.idletime);
    if (!copyToGuest(v, buffer + <u64>i * SysctlCpuinfo.SIZE, work, SysctlCpuinfo.SIZE)) return -EFAULT;
  }
  store<u32>(u, count, SysctlGetcpuinfo.nr_cpus);
  return 0;
}

/** cputopoinfo: every CPU a core of one socket on node 0. A null list asks for the number only. */
export function cpuTopology(v: Vcpu, u: usize, work: usize): i32 {
  const cpus = cpusLimit();
  const buffer = load<u64>(u, SysctlCputopoinfo.cputopo);
  if (buffer) {
    if (load<u32>(u, SysctlCputopoinfo.num_cpus) < cpus) return -ENOBUFS;
    for (let i: u32 = 0; i < cpus; i++) {
      store<u32>(work, i, SysctlCputopo.core);
      store<u32>(work, 0, SysctlCputopo.socket);
      store<u32>(work, 0, SysctlCputopo.node);
      if (!copyToGuest(v, buffer + <u64>i * SysctlCputopo.SIZE, work, SysctlCputopo.SIZE)) return -EFAULT;
    }
  }
  store<u32>(u, cpus, SysctlCputopoinfo.num_cpus);
  return 0;
}

/** numainfo: one node with all memory. Null lists ask for the number only. */
export function numaInfo(v: Vcpu, u: usize, work: usize): i32 {
  const memory = load<u64>(u, SysctlNumainfo.meminfo);
  const distance = load<u64>(u, SysctlNumainfo.distance);
  if ((memory || distance) && load<u32>(u, SysctlNumainfo.num_nodes) < 1) return -ENOBUFS;
  if (memory) {
    store<u64>(work, (<u64>totalFrames()) << 12, SysctlMeminfo.memsize);
    store<u64>(work, (<u64>freeFrames()) << 12, SysctlMeminfo.memfree);
    if (!copyToGuest(v, memory, work, SysctlMeminfo.SIZE)) return -EFAULT;
  }
  if (distance) {
    store<u32>(work, NODE_DISTANCE);
    if (!copyToGuest(v, distance, work, 4)) return -EFAULT;
  }
  store<u32>(u, 1, SysctlNumainfo.num_nodes);
  return 0;
}

let leaves: u32 = 0;

/**
 * get_cpu_policy: CPUID of the machine, and on Intel the MSRs that report VT-x capabilities. `raw` and `host` are the same
 * here; the guests' policy is not returned. Null lists ask for the space needed.
 */
export function cpuPolicy(v: Vcpu, u: usize, work: usize): i32 {
  const which = load<u32>(u, SysctlCpuPolicy.index);
  if (which > XEN_SYSCTL_cpu_policy_hvm_default || load<u32>(u, SysctlCpuPolicy._rsvd)) return -EINVAL;
  if (which != XEN_SYSCTL_cpu_policy_raw && which != XEN_SYSCTL_cpu_policy_host) return -EOPNOTSUPP;
  const list = load<u64>(u, SysctlCpuPolicy.leaves);
  const room = load<u32>(u, SysctlCpuPolicy.nr_leaves);
  leaves = 0;
  if (list) {
    let rc = leafRange(v, list, room, work, 0, min(hw.cpuidEax(0, 0), BASIC_MAX));
    if (!rc) rc = leafRange(v, list, room, work, 0x80000000, min(hw.cpuidEax(0x80000000, 0), EXTENDED_MAX));
    if (rc) return rc;
  } else {
    leaves = LEAVES_MAX;
  }
  store<u32>(u, leaves, SysctlCpuPolicy.nr_leaves);
  return policyMsrs(v, u, work);
}

function leafRange(v: Vcpu, list: u64, room: u32, work: usize, first: u32, last: u32): i32 {
  for (let leaf = first; leaf <= last; leaf++) {
    if (leaves >= room) return -ENOBUFS;
    const sub: bool = leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
    store<u32>(work, leaf, CpuidLeaf.leaf);
    store<u32>(work, sub ? 0 : NO_SUBLEAF, CpuidLeaf.subleaf);
    store<u32>(work, hw.cpuidEax(leaf, 0), CpuidLeaf.a);
    store<u32>(work, hw.cpuidEbx(leaf, 0), CpuidLeaf.b);
    store<u32>(work, hw.cpuidEcx(leaf, 0), CpuidLeaf.c);
    store<u32>(work, hw.cpuidEdx(leaf, 0), CpuidLeaf.d);
    if (!copyToGuest(v, list + <u64>leaves * CpuidLeaf.SIZE, work, CpuidLeaf.SIZE)) return -EFAULT;
    leaves++;
  }
  return 0;
}

function policyMsrs(v: Vcpu, u: usize, work: usize): i32 {
  const list = load<u64>(u, SysctlCpuPolicy.msrs);
  const room = load<u32>(u, SysctlCpuPolicy.nr_msrs);
  let count: u32 = 0;
  const able = (hw.cpuidEcx(1, 0) & LEAF1_ECX_VMX) != 0;
  for (let msr = MSR_VMX_FIRST; able && msr <= MSR_VMX_LAST; msr++) {
    const value = hw.rdmsr(msr);
    if (hw.msrFaulted()) continue;
    if (list) {
      if (count >= room) return -ENOBUFS;
      store<u32>(work, msr, MsrEntry.idx);
      store<u32>(work, 0, MsrEntry.flags);
      store<u64>(work, value, MsrEntry.val);
      if (!copyToGuest(v, list + <u64>count * MsrEntry.SIZE, work, MsrEntry.SIZE)) return -EFAULT;
    }
    count++;
  }
  store<u32>(u, count, SysctlCpuPolicy.nr_msrs);
  return 0;
}
