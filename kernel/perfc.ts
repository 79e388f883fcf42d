/**
 * XEN_SYSCTL_perfc_op: named counters. Here they tell where the machine's memory is (frames by use; they sum to the
 * total), how often guests left and why, what domain 0's hypercalls cost, and what the virtualisation hardware offers.
 */
import { EFAULT, EINVAL, EOPNOTSUPP } from "../abi/errno";
import { SysctlPerfcDesc, SysctlPerfcOp, XEN_SYSCTL_PERFCOP_query, XEN_SYSCTL_PERFCOP_reset } from "../abi/sysctl";
import { hvmFeatureMask } from "../arch-x86/hvm";
import { vcpuOf } from "./access";
import { Domain } from "./domain";
import { domainFirst } from "./domain-list";
import { framesOfType, FrameType, totalFrames } from "./frames";
import { copyToGuest } from "./guest-copy";
import { softwareCalls, softwareCallTicks } from "./software-stats";
import { stableFrames } from "./stable-memory";
import { Vcpu } from "./vcpu";

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
  "software.calls",
  "software.ticks_low",
  "software.ticks_high",
  // Exits of all guests, by HvmExit.
  "exits.internal",
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
/** Hypercalls of software domains, and the TSC ticks they took, as two words. */
const SOFTWARE: u32 = FEATURES + 1;
/** One value for each HvmExit number, to the last name. */
const EXITS: u32 = SOFTWARE + 3;
const VALUES: u32 = NAMES.length;

/**
 * The operation.
 * @param work room for a descriptor and 32 values
 * @returns 0, -EFAULT, -EINVAL, -EOPNOTSUPP for a reset: most of these are no counts
 */
export function perfc(v: Vcpu, u: usize, work: usize): i32 {
  const command = load<u32>(u, SysctlPerfcOp.cmd);
  const names = load<u64>(u, SysctlPerfcOp.desc);
  const values = load<u64>(u, SysctlPerfcOp.val);
  store<u32>(u, VALUES, SysctlPerfcOp.nr_counters);
  store<u32>(u, VALUES, SysctlPerfcOp.nr_vals);
  if (command == XEN_SYSCTL_PERFCOP_reset) return -EOPNOTSUPP;
  if (command != XEN_SYSCTL_PERFCOP_query) return -EINVAL;
  if (!names) return 0;
  for (let i: u32 = 0; i < VALUES; i++) {
    memory.fill(work, 0, SysctlPerfcDesc.SIZE);
    const name = NAMES[i];
    for (let c = 0; c < name.length; c++) store<u8>(work + c, <u8>name.charCodeAt(c));
    store<u32>(work, 1, SysctlPerfcDesc.nr_vals);
    if (!copyToGuest(v, names + <u64>i * SysctlPerfcDesc.SIZE, work, SysctlPerfcDesc.SIZE)) return -EFAULT;
  }
  for (let i: u32 = 0; i < VALUES; i++) store<u32>(work + ((<usize>i) << 2), value(i));
  return copyToGuest(v, values, work, VALUES << 2) ? 0 : -EFAULT;
}

/** Frames by use. Stable memory is domain 0's, though its frames are of the type that outlives it. */
function framesFor(type: u32): u32 {
  const frames = framesOfType(type);
  if (type == FrameType.XenShared) return frames - stableFrames();
  return type == FrameType.Engine ? frames + stableFrames() : frames;
}

function value(i: u32): u32 {
  if (i == 0) return totalFrames();
  if (i < <u32>FEATURES) return framesFor(i - FRAMES_FIRST);
  if (i == FEATURES) return hvmFeatureMask();
  if (i == SOFTWARE) return <u32>softwareCalls();
  if (i == SOFTWARE + 1) return <u32>softwareCallTicks();
  if (i == SOFTWARE + 2) return <u32>(softwareCallTicks() >> 32);
  let sum: u64 = 0;
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    for (let n: u32 = 0; n < d.vcpuCount; n++) {
      const v = vcpuOf(d, n);
      if (v != null) sum += load<u64>(v.exitCounts + ((<usize>(i - EXITS)) << 3));
    }
  }
  return sum > u32.MAX_VALUE ? u32.MAX_VALUE : <u32>sum;
}
