/**
 * Which VMCS the CPU has loaded, and the little that the hypervisor switches only when another vCPU is entered: the
 * MSRs of SYSCALL and SWAPGS, which a guest uses freely and the hypervisor never.
 *
 * One record serves the one CPU that runs guests today; with several it becomes one per CPU, and a vCPU that moves is
 * VMCLEARed where it was.
 */
import { rdmsr, vmclear, vmptrld, wrmsr } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_CSTAR, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_SFMASK, MSR_STAR } from "../msr";

/** Physical address of the loaded VMCS, 0 for none. */
let currentPa: u64 = 0;
/** The HvmVcpu whose values are in the MSRs, 0 for none. */
let msrOwner: usize = 0;

/** Makes VMREAD, VMWRITE and the next entry mean this vCPU. On the path of every access to its state. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function makeCurrent(v: HvmVcpu): void {
  if (v.controlPa != currentPa) loadVmcs(v);
}

function loadVmcs(v: HvmVcpu): void {
  const failed = vmptrld(v.controlPa);
  assert(failed == 0, "VMPTRLD refused a VMCS");
  currentPa = v.controlPa;
}

/** Puts a VMCS in its frame into the state "clear, not current", for its first use or before the frame is given back. */
export function clearVmcs(v: HvmVcpu): void {
  const failed = vmclear(v.controlPa);
  assert(failed == 0, "VMCLEAR refused a VMCS");
  if (currentPa == v.controlPa) currentPa = 0;
  if (msrOwner == changetype<usize>(v)) msrOwner = 0;
}

/** Before an entry: the MSRs hold this vCPU's values. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function loadMsrs(v: HvmVcpu): void {
  if (msrOwner != changetype<usize>(v)) switchMsrs(v);
}

function switchMsrs(v: HvmVcpu): void {
  if (msrOwner != 0) {
    const owner = changetype<HvmVcpu>(msrOwner);
    owner.msrStar = rdmsr(MSR_STAR);
    owner.msrLstar = rdmsr(MSR_LSTAR);
    owner.msrCstar = rdmsr(MSR_CSTAR);
    owner.msrSfmask = rdmsr(MSR_SFMASK);
    owner.msrKernelGsBase = rdmsr(MSR_KERNEL_GS_BASE);
  }
  wrmsr(MSR_STAR, v.msrStar);
  wrmsr(MSR_LSTAR, v.msrLstar);
  wrmsr(MSR_CSTAR, v.msrCstar);
  wrmsr(MSR_SFMASK, v.msrSfmask);
  wrmsr(MSR_KERNEL_GS_BASE, v.msrKernelGsBase);
  msrOwner = changetype<usize>(v);
}

/** Value of one of the five MSRs, wherever it is. */
export function getSwitchedMsr(v: HvmVcpu, msr: u32): u64 {
  if (msrOwner == changetype<usize>(v)) return rdmsr(msr);
  switch (msr) {
    case MSR_STAR:
      return v.msrStar;
    case MSR_LSTAR:
      return v.msrLstar;
    case MSR_CSTAR:
      return v.msrCstar;
    case MSR_SFMASK:
      return v.msrSfmask;
  }
  assert(msr == MSR_KERNEL_GS_BASE, "an MSR that neither the VMCS nor the vCPU holds");
  return v.msrKernelGsBase;
}

/** Sets one of the five; an address is canonical. */
export function setSwitchedMsr(v: HvmVcpu, msr: u32, value: u64): void {
  if (msrOwner == changetype<usize>(v)) {
    wrmsr(msr, value);
    return;
  }
  switch (msr) {
    case MSR_STAR:
      v.msrStar = value;
      return;
    case MSR_LSTAR:
      v.msrLstar = value;
      return;
    case MSR_CSTAR:
      v.msrCstar = value;
      return;
    case MSR_SFMASK:
      v.msrSfmask = value;
      return;
  }
  assert(msr == MSR_KERNEL_GS_BASE, "an MSR that neither the VMCS nor the vCPU holds");
  v.msrKernelGsBase = value;
}
