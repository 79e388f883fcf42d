/**
 * The VMCS loaded on the CPU, and the state that is switched only when another vCPU is entered: the
 * MSRs of SYSCALL and SWAPGS, which guests access without exits and the hypervisor never uses.
 * Both are in the CPU's record (HostCpu); a vCPU that moves to another CPU will have to be VMCLEARed where it was.
 */
import { rdmsr, vmclear, vmptrld, wrmsr } from "../hw";
import { hostCpu } from "../host/cpu";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_CSTAR, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_SFMASK, MSR_STAR } from "../msr";

/** Makes this vCPU's VMCS current for VMREAD, VMWRITE and the next entry. On the path of every access to its state. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function makeCurrent(v: HvmVcpu): void {
  if (v.controlPa != hostCpu().loadedVmcsPa) loadVmcs(v);
}

function loadVmcs(v: HvmVcpu): void {
  const failed = vmptrld(v.controlPa);
  assert(failed == 0, "VMPTRLD refused a VMCS");
  hostCpu().loadedVmcsPa = v.controlPa;
}

/** Puts a VMCS in its frame into the state "clear, not current", for its first use or before the frame is freed. */
export function clearVmcs(v: HvmVcpu): void {
  const failed = vmclear(v.controlPa);
  assert(failed == 0, "VMCLEAR refused a VMCS");
  if (hostCpu().loadedVmcsPa == v.controlPa) hostCpu().loadedVmcsPa = 0;
  if (hostCpu().msrOwner === v) hostCpu().msrOwner = null;
}

/** Before an entry: the MSRs hold this vCPU's values. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function loadMsrs(v: HvmVcpu): void {
  if (hostCpu().msrOwner !== v) switchMsrs(v);
}

function switchMsrs(v: HvmVcpu): void {
  const owner = hostCpu().msrOwner;
  if (owner !== null) {
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
  hostCpu().msrOwner = v;
}

/** Value of one of the five MSRs, wherever it is. */
export function getSwitchedMsr(v: HvmVcpu, msr: u32): u64 {
  if (hostCpu().msrOwner === v) return rdmsr(msr);
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
  if (hostCpu().msrOwner === v) {
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
