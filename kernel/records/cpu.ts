/** Per-CPU records: an array indexed by CPU number. */
import { Vcpu } from "./vcpu";
import * as hw from "../../arch-x86/hw";

/** Most CPUs supported by the data structures. Only one is started today. */
export const CPUS_MAX: u32 = 64;

@unmanaged
export class Cpu {
  /** Vcpu that runs here, or that ran last and is still runnable; 0 none. */
  current: usize;
  /** HvmVcpu whose FPU state is in the registers; 0 none. */
  fpuOwner: usize;
  /** Host TSC at which the current entry must end: end of slice or next timer. */
  deadlineTsc: u64;
  /** System time at which the current vCPU's slice ends, ns. */
  sliceEndNs: u64;
  /** 1: the scheduler must choose again before the next entry. */
  reschedule: u32;
  online: u32;
  /** System time spent idle, ns. */
  idleNs: u64;
  /** Virtual run time of the vCPU chosen last: the initial value for new vCPUs. */
  schedFloor: u64;
  /** Roots of the heaps of runnable vCPUs that wait, one for each SchedClass, in its order. */
  schedFair: usize;
  schedUrgent: usize;
  schedPrompt: usize;
  schedDevice: usize;
  /** vCPUs in all of them. */
  schedWaiting: u32;
  schedLock: u32;
  /** Software-isolated domains of this CPU to be restarted before anything else runs: a list of Domain, 0 none. */
  restarts: usize;
  /** An interrupt that preemptNeeded has taken and the loop will serve: its vector plus one, 0 none. */
  interruptTaken: u32;
}

const CPU_BYTES: usize = 128;
const cpus: usize = memory.data(8192);

// @ts-expect-error: decorator of AssemblyScript
@inline
export function cpuOf(cpu: u32): Cpu {
  return changetype<Cpu>(cpus + <usize>cpu * CPU_BYTES);
}

/**
 * True when a long hypercall should be preempted: the caller's slice has ended, the next timer is due, or an interrupt
 * is pending, which is acknowledged here and served by the CPU's loop at its next turn. Handlers with unbounded work poll it
 * every few dozen microseconds, and make some progress each time they are called.
 */
export function preemptNeeded(v: Vcpu): bool {
  const c = cpuOf(v.cpu);
  if (hw.rdtsc() >= c.deadlineTsc) return true;
  const vector = hw.takeInterrupt();
  if (vector < 0) return false;
  c.interruptTaken = vector + 1;
  c.deadlineTsc = 0;
  return true;
}
