/**
 * A guest's registers, by one name on both vendors: in the VMCB on AMD, in the VMCS on Intel, general registers in
 * HvmVcpu. Page walks, the decoder, context load and save, and the kernel read and write guest state only through here.
 *
 * Calling context: the vCPU is not inside the guest. Writes take effect at its next entry. No write is checked: what
 * the processor refuses causes HvmExit.EntryFailed, so callers validate values from a guest or toolstack.
 */
import { load16, load32, load64, load8, store16, store32, store64, store8 } from "./hw";
import { HvmVcpu } from "./hvm-vcpu";
import { svmGetMsr, svmSetMsr, svmGetInterruptShadow } from "./svm/state";
import { svmGetTaskPriority, svmHoldInterrupt, svmSetTaskPriority } from "./svm/task-priority";
import { VMCB } from "./svm/vmcb";
import { vendor, VENDOR_SVM } from "./vendor";
import {
  vmxGetCr0,
  vmxGetCr4,
  vmxGetDr6,
  vmxGetEfer,
  vmxGetMsr,
  vmxRead,
  vmxSetCr0,
  vmxSetCr4,
  vmxSetDr6,
  vmxSetEfer,
  vmxSetMsr,
  vmxWrite,
  vmxGetInterruptShadow,
} from "./vmx/state";
import { vmxGetTaskPriority, vmxHoldInterrupt, vmxSetTaskPriority } from "./vmx/task-priority";
import { VMCS } from "./vmx/vmcs";
import { EFER_LMA, EFER_SVME } from "./control-bits";

// Segment registers, in the order of their numbers in instructions; then the system ones.
export const SEG_ES: u32 = 0;
export const SEG_CS: u32 = 1;
export const SEG_SS: u32 = 2;
export const SEG_DS: u32 = 3;
export const SEG_FS: u32 = 4;
export const SEG_GS: u32 = 5;
export const SEG_LDTR: u32 = 6;
export const SEG_TR: u32 = 7;

/** Segment attributes as VMCB and Xen's hvm_hw_cpu have them: descriptor bits 40..47, then 52..55 (APM 2, 15.5.2). */
export const ATTR_S: u32 = 1 << 4;
export const ATTR_DPL_SHIFT: u32 = 5;
export const ATTR_PRESENT: u32 = 1 << 7;
export const ATTR_LONG: u32 = 1 << 9;
export const ATTR_DB: u32 = 1 << 10;
export const ATTR_GRANULARITY: u32 = 1 << 11;

/** Bits that are always one, and always zero. */
export const RFLAGS_ONE: u64 = 1 << 1;
export const RFLAGS_ZERO: u64 = 0xffffffffffc08028;
export const RFLAGS_TF: u64 = 1 << 8;
export const RFLAGS_IF: u64 = 1 << 9;
export const RFLAGS_DF: u64 = 1 << 10;
export const RFLAGS_RF: u64 = 1 << 16;
export const RFLAGS_VM: u64 = 1 << 17;

const VMX_ACCESS_UNUSABLE: u32 = 1 << 16; // SDM 3C 25.4.1, access rights

/** Reads a register that has 64 bits in either control block. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function read(v: HvmVcpu, vmcb: u32, vmcs: u32): u64 {
  return vendor == VENDOR_SVM ? load64(v.controlPa + vmcb) : vmxRead(v, vmcs);
}

function write(v: HvmVcpu, vmcb: u32, vmcs: u32, value: u64): void {
  if (vendor == VENDOR_SVM) store64(v.controlPa + vmcb, value);
  else vmxWrite(v, vmcs, value);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function getRip(v: HvmVcpu): u64 {
  return read(v, VMCB.RIP, VMCS.GUEST_RIP);
}
export function setRip(v: HvmVcpu, value: u64): void {
  write(v, VMCB.RIP, VMCS.GUEST_RIP, value);
}
export function getRsp(v: HvmVcpu): u64 {
  return read(v, VMCB.RSP, VMCS.GUEST_RSP);
}
export function setRsp(v: HvmVcpu, value: u64): void {
  write(v, VMCB.RSP, VMCS.GUEST_RSP, value);
}
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getRflags(v: HvmVcpu): u64 {
  return read(v, VMCB.RFLAGS, VMCS.GUEST_RFLAGS);
}
export function setRflags(v: HvmVcpu, value: u64): void {
  write(v, VMCB.RFLAGS, VMCS.GUEST_RFLAGS, value);
}
/** CR0 as the guest sees it. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getCr0(v: HvmVcpu): u64 {
  return vendor == VENDOR_SVM ? load64(v.controlPa + VMCB.CR0) : vmxGetCr0(v);
}
export function setCr0(v: HvmVcpu, value: u64): void {
  if (vendor == VENDOR_SVM) store64(v.controlPa + VMCB.CR0, value);
  else vmxSetCr0(v, value);
}
export function getCr2(v: HvmVcpu): u64 {
  return vendor == VENDOR_SVM ? load64(v.controlPa + VMCB.CR2) : v.cr2;
}
export function setCr2(v: HvmVcpu, value: u64): void {
  if (vendor == VENDOR_SVM) store64(v.controlPa + VMCB.CR2, value);
  else v.cr2 = value;
}
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getCr3(v: HvmVcpu): u64 {
  return read(v, VMCB.CR3, VMCS.GUEST_CR3);
}
export function setCr3(v: HvmVcpu, value: u64): void {
  write(v, VMCB.CR3, VMCS.GUEST_CR3, value);
}
/** CR4 as the guest sees it, without what VMX forces. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getCr4(v: HvmVcpu): u64 {
  return vendor == VENDOR_SVM ? load64(v.controlPa + VMCB.CR4) : vmxGetCr4(v);
}
export function setCr4(v: HvmVcpu, value: u64): void {
  if (vendor == VENDOR_SVM) store64(v.controlPa + VMCB.CR4, value);
  else vmxSetCr4(v, value);
}
/** EFER as the guest sees it, without the SVME that AMD-V forces. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getEfer(v: HvmVcpu): u64 {
  return vendor == VENDOR_SVM ? load64(v.controlPa + VMCB.EFER) & ~EFER_SVME : vmxGetEfer(v);
}
export function setEfer(v: HvmVcpu, value: u64): void {
  if (vendor == VENDOR_SVM) store64(v.controlPa + VMCB.EFER, value | EFER_SVME);
  else vmxSetEfer(v, value);
}
export function getDr6(v: HvmVcpu): u64 {
  return vendor == VENDOR_SVM ? load64(v.controlPa + VMCB.DR6) : vmxGetDr6(v);
}
export function setDr6(v: HvmVcpu, value: u64): void {
  if (vendor == VENDOR_SVM) store64(v.controlPa + VMCB.DR6, value);
  else vmxSetDr6(v, value);
}
export function getDr7(v: HvmVcpu): u64 {
  return read(v, VMCB.DR7, VMCS.GUEST_DR7);
}
export function setDr7(v: HvmVcpu, value: u64): void {
  write(v, VMCB.DR7, VMCS.GUEST_DR7, value);
}

/** Current privilege level, 0..3. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getCpl(v: HvmVcpu): u32 {
  if (vendor == VENDOR_SVM) return load8(v.controlPa + VMCB.CPL);
  return ((<u32>vmxRead(v, VMCS.GUEST_SS_ACCESS)) >> ATTR_DPL_SHIFT) & 3;
}

/** In 64-bit mode: EFER.LMA and CS.L. Decides the width of the hypercall ABI and of addresses. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function is64(v: HvmVcpu): bool {
  return (getEfer(v) & EFER_LMA) != 0 && (getSegmentAttributes(v, SEG_CS) & ATTR_LONG) != 0;
}

/** Offset of a segment's 16-byte record in the VMCB, which interleaves GDTR and IDTR with the others. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function vmcbSegment(segment: u32): u32 {
  if (segment < SEG_LDTR) return VMCB.ES + 16 * segment;
  return segment == SEG_LDTR ? VMCB.LDTR : VMCB.TR;
}

export function getSegmentSelector(v: HvmVcpu, segment: u32): u32 {
  if (vendor == VENDOR_SVM) return load16(v.controlPa + vmcbSegment(segment) + VMCB.SELECTOR);
  return <u32>vmxRead(v, VMCS.GUEST_ES_SELECTOR + 2 * segment);
}
/** ATTR_*; 0 for a segment that may not be used. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getSegmentAttributes(v: HvmVcpu, segment: u32): u32 {
  if (vendor == VENDOR_SVM) return load16(v.controlPa + vmcbSegment(segment) + VMCB.ATTRIBUTES);
  const access = <u32>vmxRead(v, VMCS.GUEST_ES_ACCESS + 2 * segment);
  return access & VMX_ACCESS_UNUSABLE ? 0 : (access & 0xff) | ((access >> 4) & 0xf00);
}
/** In bytes, granularity applied. */
export function getSegmentLimit(v: HvmVcpu, segment: u32): u32 {
  if (vendor == VENDOR_SVM) return load32(v.controlPa + vmcbSegment(segment) + VMCB.LIMIT);
  return <u32>vmxRead(v, VMCS.GUEST_ES_LIMIT + 2 * segment);
}
export function getSegmentBase(v: HvmVcpu, segment: u32): u64 {
  if (vendor == VENDOR_SVM) return load64(v.controlPa + vmcbSegment(segment) + VMCB.BASE);
  return vmxRead(v, VMCS.GUEST_ES_BASE + 2 * segment);
}

/**
 * Sets a segment register, hidden part included. Setting SS also sets the current privilege level, its DPL.
 * @param attributes ATTR_*; without ATTR_PRESENT the segment cannot be used
 */
export function setSegment(v: HvmVcpu, segment: u32, selector: u32, attributes: u32, limit: u32, base: u64): void {
  if (vendor == VENDOR_SVM) {
    const at = v.controlPa + vmcbSegment(segment);
    store16(at + VMCB.SELECTOR, selector);
    store16(at + VMCB.ATTRIBUTES, attributes);
    store32(at + VMCB.LIMIT, limit);
    store64(at + VMCB.BASE, base);
    if (segment == SEG_SS) store8(v.controlPa + VMCB.CPL, (attributes >> ATTR_DPL_SHIFT) & 3);
    return;
  }
  const access = (attributes & 0xff) | ((attributes & 0xf00) << 4);
  vmxWrite(v, VMCS.GUEST_ES_SELECTOR + 2 * segment, selector);
  vmxWrite(v, VMCS.GUEST_ES_ACCESS + 2 * segment, attributes & ATTR_PRESENT ? access : VMX_ACCESS_UNUSABLE);
  vmxWrite(v, VMCS.GUEST_ES_LIMIT + 2 * segment, limit);
  vmxWrite(v, VMCS.GUEST_ES_BASE + 2 * segment, base);
}

export function getGdtrBase(v: HvmVcpu): u64 {
  return read(v, VMCB.GDTR + VMCB.BASE, VMCS.GUEST_GDTR_BASE);
}
export function getGdtrLimit(v: HvmVcpu): u32 {
  if (vendor == VENDOR_SVM) return load32(v.controlPa + VMCB.GDTR + VMCB.LIMIT);
  return <u32>vmxRead(v, VMCS.GUEST_GDTR_LIMIT);
}
export function getIdtrBase(v: HvmVcpu): u64 {
  return read(v, VMCB.IDTR + VMCB.BASE, VMCS.GUEST_IDTR_BASE);
}
export function getIdtrLimit(v: HvmVcpu): u32 {
  if (vendor == VENDOR_SVM) return load32(v.controlPa + VMCB.IDTR + VMCB.LIMIT);
  return <u32>vmxRead(v, VMCS.GUEST_IDTR_LIMIT);
}
export function setGdtr(v: HvmVcpu, base: u64, limit: u32): void {
  if (vendor == VENDOR_SVM) {
    store64(v.controlPa + VMCB.GDTR + VMCB.BASE, base);
    store32(v.controlPa + VMCB.GDTR + VMCB.LIMIT, limit);
  } else {
    vmxWrite(v, VMCS.GUEST_GDTR_BASE, base);
    vmxWrite(v, VMCS.GUEST_GDTR_LIMIT, limit);
  }
}
export function setIdtr(v: HvmVcpu, base: u64, limit: u32): void {
  if (vendor == VENDOR_SVM) {
    store64(v.controlPa + VMCB.IDTR + VMCB.BASE, base);
    store32(v.controlPa + VMCB.IDTR + VMCB.LIMIT, limit);
  } else {
    vmxWrite(v, VMCS.GUEST_IDTR_BASE, base);
    vmxWrite(v, VMCS.GUEST_IDTR_LIMIT, limit);
  }
}

/**
 * An MSR that the control block or the CPU holds for the guest while it runs: FS and GS base, KERNEL_GS_BASE, STAR,
 * LSTAR, CSTAR, SFMASK, SYSENTER_CS/ESP/EIP, PAT. No others: EFER has its own functions, the rest is msr-policy.ts.
 */
export function getHardwareMsr(v: HvmVcpu, msr: u32): u64 {
  return vendor == VENDOR_SVM ? svmGetMsr(v, msr) : vmxGetMsr(v, msr);
}
/** Sets one; the caller checked that addresses are canonical and that PAT's types exist. */
export function setHardwareMsr(v: HvmVcpu, msr: u32, value: u64): void {
  if (vendor == VENDOR_SVM) svmSetMsr(v, msr, value);
  else vmxSetMsr(v, msr, value);
}

/** Sets the offset added to the host's TSC when the guest reads it. */
export function setTscOffset(v: HvmVcpu, offset: u64): void {
  v.tscOffset = offset;
  write(v, VMCB.TSC_OFFSET, VMCS.TSC_OFFSET, offset);
}

/**
 * The task priority, 0..255, of which CR8 is the upper half. The guest changes it without an exit.
 * @param latest as it was when it was set or looked at last
 */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function getTaskPriority(v: HvmVcpu, latest: u32): u32 {
  return vendor == VENDOR_SVM ? svmGetTaskPriority(v, latest) : vmxGetTaskPriority(v);
}
/** Sets it. By itself it blocks nothing. */
export function setTaskPriority(v: HvmVcpu, priority: u32): void {
  if (vendor == VENDOR_SVM) svmSetTaskPriority(v, priority);
  else vmxSetTaskPriority(v, priority);
}
/**
 * An interrupt of priority class `priorityClass` (1..15) waits for a lower task priority, which is at least that now: the guest
 * leaves when it falls below. 0: none does.
 */
export function holdInterrupt(v: HvmVcpu, priorityClass: u32): void {
  if (vendor == VENDOR_SVM) svmHoldInterrupt(v, priorityClass);
  else vmxHoldInterrupt(v, priorityClass);
}

/** Whether STI or MOV SS blocks interrupts for the instruction at RIP. */
export function getInterruptShadow(v: HvmVcpu): bool {
  return vendor == VENDOR_SVM ? svmGetInterruptShadow(v) : vmxGetInterruptShadow(v);
}
