/** The parts of state.ts that VT-x needs: fields of the VMCS, and registers that are not quite what the guest sees. */
import { CR0_CD, CR0_NW, CR0_PE, CR0_PG, EFER_LMA } from "../control-bits";
import { guestCr4Mask } from "../cpuid-policy";
import { readDr, vmread, vmwrite, writeDr } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_FS_BASE, MSR_GS_BASE, MSR_PAT, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP } from "../msr";
import { cr0Fixed0, cr0Fixed1, CR4_VMXE, cpuControls, entryControls, ENTRY_GUEST_64 } from "./controls";
import { getSwitchedMsr, makeCurrent, setSwitchedMsr } from "./current";
import { BLOCKED_BY_MOV_SS, BLOCKED_BY_STI } from "./events";
import { VMCS } from "./vmcs";

/** Reads a field of this vCPU's VMCS. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vmxRead(v: HvmVcpu, field: u32): u64 {
  makeCurrent(v);
  return vmread(field);
}

/** Writes one. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vmxWrite(v: HvmVcpu, field: u32, value: u64): void {
  makeCurrent(v);
  const failed = vmwrite(field, value);
  assert(failed == 0, "VMWRITE refused a field");
}

/**
 * Bits of CR0 that the guest only believes to change: what VMX operation forces (NE; unrestricted guests are free of PE
 * and PG), and the cache's, which would switch off the host's.
 */
export function vmxCr0Mask(): u64 {
  return (cr0Fixed0 & ~(CR0_PE | CR0_PG)) | CR0_CD | CR0_NW;
}
export function vmxGetCr0(v: HvmVcpu): u64 {
  const mask = vmxCr0Mask();
  return (vmxRead(v, VMCS.GUEST_CR0) & ~mask) | (vmxRead(v, VMCS.CR0_SHADOW) & mask);
}
export function vmxSetCr0(v: HvmVcpu, value: u64): void {
  const mask = vmxCr0Mask();
  vmxWrite(v, VMCS.GUEST_CR0, ((value & ~mask) | (cr0Fixed0 & mask)) & cr0Fixed1);
  vmxWrite(v, VMCS.CR0_SHADOW, value);
}

/** A guest's CR4 never has bits outside guestCr4Mask: the host owns them, they read as zero. */
export function vmxGetCr4(v: HvmVcpu): u64 {
  return vmxRead(v, VMCS.GUEST_CR4) & guestCr4Mask();
}
export function vmxSetCr4(v: HvmVcpu, value: u64): void {
  vmxWrite(v, VMCS.GUEST_CR4, value | CR4_VMXE);
}

export function vmxGetEfer(v: HvmVcpu): u64 {
  return vmxRead(v, VMCS.GUEST_EFER);
}
export function vmxSetEfer(v: HvmVcpu, value: u64): void {
  vmxWrite(v, VMCS.GUEST_EFER, value);
  vmxWrite(v, VMCS.ENTRY_CONTROLS, value & EFER_LMA ? entryControls | ENTRY_GUEST_64 : entryControls);
}

/** DR6 is in the CPU together with DR0..DR3, else in HvmVcpu.dr6. */
export function vmxGetDr6(v: HvmVcpu): u64 {
  return v.debugLoaded != 0 ? readDr(6) : v.dr6;
}
export function vmxSetDr6(v: HvmVcpu, value: u64): void {
  if (v.debugLoaded != 0) writeDr(6, value);
  else v.dr6 = value;
}

/** Field of an MSR that the VMCS holds, ~0 for those that vmx/current.ts switches. */
function msrField(msr: u32): u32 {
  switch (msr) {
    case MSR_FS_BASE:
      return VMCS.GUEST_FS_BASE;
    case MSR_GS_BASE:
      return VMCS.GUEST_GS_BASE;
    case MSR_SYSENTER_CS:
      return VMCS.GUEST_SYSENTER_CS;
    case MSR_SYSENTER_ESP:
      return VMCS.GUEST_SYSENTER_ESP;
    case MSR_SYSENTER_EIP:
      return VMCS.GUEST_SYSENTER_EIP;
    case MSR_PAT:
      return VMCS.GUEST_PAT;
    default:
      return ~0;
  }
}

/** See getHardwareMsr of state.ts. */
export function vmxGetMsr(v: HvmVcpu, msr: u32): u64 {
  const field = msrField(msr);
  return field == ~0 ? getSwitchedMsr(v, msr) : vmxRead(v, field);
}
/** See setHardwareMsr of state.ts. */
export function vmxSetMsr(v: HvmVcpu, msr: u32, value: u64): void {
  const field = msrField(msr);
  if (field == ~0) setSwitchedMsr(v, msr, value);
  else vmxWrite(v, field, value);
}

export function vmxGetInterruptShadow(v: HvmVcpu): bool {
  return (vmxRead(v, VMCS.GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) != 0;
}
export function vmxClearInterruptShadow(v: HvmVcpu): void {
  const blocked = vmxRead(v, VMCS.GUEST_INTERRUPTIBILITY);
  const rest = blocked & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
  if (rest != blocked) vmxWrite(v, VMCS.GUEST_INTERRUPTIBILITY, rest);
}

/** Sets or clears bits of the primary processor-based controls that change as a vCPU runs; HvmVcpu.cpuControls remembers them. */
export function vmxSetCpuControl(v: HvmVcpu, bits: u32, on: bool): void {
  const old = <u32>v.cpuControls;
  const now = on ? old | bits : old & ~bits;
  if (now == old) return;
  v.cpuControls = now;
  vmxWrite(v, VMCS.CPU_CONTROLS, now);
}
/** Puts them at what every vCPU starts with. */
export function vmxResetCpuControls(v: HvmVcpu): void {
  v.cpuControls = cpuControls;
  vmxWrite(v, VMCS.CPU_CONTROLS, cpuControls);
}
