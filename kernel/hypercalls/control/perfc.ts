/**
 * XEN_SYSCTL_perfc_op: named counters. Here they report the use of the machine's memory (frames by type; they sum to the
 * total), the cost of domain 0's hypercalls, the features of the machine and its virtualisation hardware, and the number of
 * exits of each domain's vCPUs by reason.
 *
 * The exit counters have a value for each domain, by ascending id; the counter "domains" has the ids. A query without buffers
 * returns the space needed; domain 0, the only caller, creates the domains itself, so their number does not grow in between.
 */
import { EFAULT, EINVAL, EOPNOTSUPP } from "../../../abi/errno";
import {
  SysctlPerfcDesc,
  SysctlPerfcOp,
  XEN_SYSCTL_PERFCOP_query,
  XEN_SYSCTL_PERFCOP_reset,
} from "../../../abi/sysctl";
import { hvmFeatureMask } from "../../../arch-x86/hvm";
import { HvmExit, HvmVcpu } from "../../../arch-x86/hvm-vcpu";
import { vcpuOf } from "../../records/domain-access";
import { Domain, DomainKind } from "../../records/domain";
import { domainFirst } from "../../records/domain-list";
import { framesOfType, FrameType, totalFrames } from "../../memory/frames";
import { dmaConfined } from "../../memory/dma-space";
import { copyToGuest } from "../../memory/guest-copy";
import { cpusFound, iommuFound } from "../../machine/machine-report";
import { dmaFaultCount } from "../../software/dma-faults";
import { softwareOf } from "../../records/software-domain";
import { Vcpu } from "../../records/vcpu";

/** Names of the counters, in order; each has one value. */
const NAMES: StaticArray<string> = [
  "frames.total",
  "frames.reserved",
  "frames.free",
  "frames.guest",
  "frames.tables",
  "frames.control",
  "frames.heap",
  "frames.shared",
  "frames.engine",
  "frames.modules",
  "frames.frametable",
  "frames.shim",
  "hvm.features",
  "machine.cpus",
  "machine.iommu",
  "machine.dma_confined",
  "machine.dma_refused",
  "software.calls",
  "software.ticks_low",
  "software.ticks_high",
  // The following have a value for each domain: its id, then its exits.
  "domains",
  // Settled in arch-x86, by HvmVcpu.settled*.
  "exits.cpuid",
  "exits.msr",
  "exits.register",
  "exits.exception",
  "exits.other",
  // Seen by the kernel, by HvmExit from Interrupt on.
  "exits.interrupt",
  "exits.deadline",
  "exits.hypercall",
  "exits.halt",
  "exits.port",
  "exits.nested_fault",
  "exits.window",
  "exits.triple_fault",
  "exits.entry_failed",
  "exits.pause",
  "exits.unknown",
  "exits.hypercall_page",
  "exits.local_apic",
];
const FRAMES_FIRST: u32 = 1; // FrameType 0
const FEATURES: u32 = FRAMES_FIRST + FrameType.Count;
const MACHINE: u32 = FEATURES + 1;
/** Hypercalls of software domains, and the TSC ticks they took, as two words. */
const SOFTWARE: u32 = MACHINE + 4;
const DOMAINS: u32 = SOFTWARE + 3;
const SETTLED: u32 = DOMAINS + 1;
const SETTLED_KINDS: u32 = 5;
const HANDLED: u32 = SETTLED + SETTLED_KINDS;
const COUNTERS: u32 = NAMES.length;
/** Values gathered before they are copied out. */
const BATCH: u32 = 128;

/**
 * The operation.
 * @param work room for a descriptor and 128 values
 * @returns 0, -EFAULT, -EINVAL, -EOPNOTSUPP for a reset: most of these are not counts
 */
export function perfc(v: Vcpu, u: usize, work: usize): i32 {
  const command = load<u32>(u, SysctlPerfcOp.cmd);
  const names = load<u64>(u, SysctlPerfcOp.desc);
  const values = load<u64>(u, SysctlPerfcOp.val);
  let domains: u32 = 0;
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) domains++;
  store<u32>(u, COUNTERS, SysctlPerfcOp.nr_counters);
  store<u32>(u, DOMAINS + (COUNTERS - DOMAINS) * domains, SysctlPerfcOp.nr_vals);
  if (command == XEN_SYSCTL_PERFCOP_reset) return -EOPNOTSUPP;
  if (command != XEN_SYSCTL_PERFCOP_query) return -EINVAL;
  if (!names) return 0;
  for (let i: u32 = 0; i < COUNTERS; i++) {
    memory.fill(work, 0, SysctlPerfcDesc.SIZE);
    const name = NAMES[i];
    for (let c = 0; c < name.length; c++) store<u8>(work + c, <u8>name.charCodeAt(c));
    store<u32>(work, i < DOMAINS ? 1 : domains, SysctlPerfcDesc.nr_vals);
    if (!copyToGuest(v, names + <u64>i * SysctlPerfcDesc.SIZE, work, SysctlPerfcDesc.SIZE)) return -EFAULT;
  }
  countStable();
  for (let i: u32 = 0; i < DOMAINS; i++) store<u32>(work + ((<usize>i) << 2), machineValue(v.domain, i));
  if (!copyToGuest(v, values, work, DOMAINS << 2)) return -EFAULT;
  let to = values + (DOMAINS << 2);
  for (let i = DOMAINS; i < COUNTERS; i++) {
    let batch: u32 = 0;
    for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
      store<u32>(work + ((<usize>batch) << 2), domainValue(changetype<Domain>(at), i));
      if (++batch < BATCH && changetype<Domain>(at).next) continue;
      if (!copyToGuest(v, to, work, batch << 2)) return -EFAULT;
      to += batch << 2;
      batch = 0;
    }
  }
  return 0;
}

/** Frames of all domains' stable memory. */
let stable: u32 = 0;

function countStable(): void {
  stable = 0;
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    if (d.kind == DomainKind.Software) stable += softwareOf(d).stableFrames;
  }
}

/** Frames by use. Stable memory counts as its domain's RAM, although its frames have the type of those that survive a restart. */
function framesFor(type: u32): u32 {
  const frames = framesOfType(type);
  if (type == FrameType.XenShared) return frames - stable;
  return type == FrameType.Engine ? frames + stable : frames;
}

/** The hypercalls counted are the caller's, domain 0's. */
function machineValue(caller: Domain, i: u32): u32 {
  if (i == 0) return totalFrames();
  if (i < <u32>FEATURES) return framesFor(i - FRAMES_FIRST);
  if (i == FEATURES) return hvmFeatureMask();
  if (i == MACHINE) return cpusFound();
  if (i == MACHINE + 1) return iommuFound();
  if (i == MACHINE + 2) return dmaConfined() ? 1 : 0;
  if (i == MACHINE + 3) return <u32>dmaFaultCount();
  const s = softwareOf(caller);
  if (i == SOFTWARE) return <u32>s.calls;
  if (i == SOFTWARE + 1) return <u32>s.callTicks;
  return <u32>(s.callTicks >> 32);
}

/** Exits modulo 2^32: callers that sample often enough can compute differences. */
function domainValue(d: Domain, i: u32): u32 {
  if (i == DOMAINS) return d.id;
  let sum: u64 = 0;
  for (let n: u32 = 0; n < d.vcpuCount; n++) {
    const v = vcpuOf(d, n);
    if (v == null) continue;
    const counts =
      i < HANDLED
        ? changetype<usize>(v) + offsetof<HvmVcpu>("settledCpuid") + ((<usize>(i - SETTLED)) << 3)
        : v.exitCounts + ((<usize>(i - HANDLED + HvmExit.Interrupt)) << 3);
    sum += load<u64>(counts);
  }
  return <u32>sum;
}
