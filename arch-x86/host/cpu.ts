/**
 * Per-CPU state of arch-x86. One CPU runs guests today, and `hostCpu` is its record; module-level
 * state elsewhere in arch-x86 is set once at the start and is the same for all CPUs, or is scratch of one operation.
 */
import { HvmVcpu } from "../hvm-vcpu";

@unmanaged
export class HostCpu {
  /** VT-x: physical address of the VMCS that is loaded, 0 none. */
  loadedVmcsPa: u64;
  /** VT-x: the HvmVcpu whose values are in the MSRs that are switched only with the vCPU, null for none. */
  msrOwner: HvmVcpu | null;
  /** AMD-V: the next ASID; 1 until an entry has flushed all of the TLB. */
  nextAsid: u32;
  asidFlushAll: u32;
  /** AMD-V: ASIDs allocated before the latest full flush have another generation. 0 is not a valid generation. */
  asidGeneration: u64;
  /** TSC value that the local APIC's timer is set to, so that the same one is not written twice. */
  armedTsc: u64;
}

const record = changetype<HostCpu>(memory.data(offsetof<HostCpu>(), 8));

/** The record of the CPU that this runs on. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function hostCpu(): HostCpu {
  return record;
}

/** A CPU starts to run guests: nothing is loaded, and the contents of its TLB are unknown. */
export function hostCpuInit(): void {
  record.loadedVmcsPa = 0;
  record.msrOwner = null;
  record.nextAsid = 1;
  record.asidFlushAll = 1;
  record.asidGeneration = 1;
}
