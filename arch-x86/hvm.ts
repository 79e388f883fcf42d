/**
 * One interface to VT-x and AMD-V. kernel/ uses only this file, hvm-vcpu.ts and p2m.ts; vendor code is in vmx/ and
 * svm/, and the accessors of a guest's registers, re-exported below, are in state.ts.
 *
 * Calling context of everything here: on the physical CPU that runs the vCPU, or while the vCPU is not running;
 * interrupts off. Nothing allocates except hvmCpuInit and hvmVcpuInit.
 */
import { emulateAccess } from "./emulation/emulate-access";
import { contextEntryUnchecked, contextLoad, contextSave } from "./hvm-hw-cpu";
import { detect } from "./detect";
import { fpuHostInit, fpuReset, fpuSwitch } from "./fpu";
import { HvmVcpu } from "./hvm-vcpu";
import { describe } from "./describe";
import { resetEvents } from "./inject";
import { P2m } from "./p2m";
import { lowestEntry, translate } from "./emulation/page-walk";
import { refusal } from "./refusals";
import { resetRealMode } from "./reset";
import { getRflags, RFLAGS_IF } from "./state";
import { svmCpuInit, svmCpuStop } from "./svm/cpu";
import { svmEnter } from "./svm/enter";
import { svmCancelOffer, svmCanTakeInterrupt, svmInjectNmi, svmOfferInterrupt } from "./svm/inject";
import { svmExplain } from "./svm/explain";
import { svmFeatureMask } from "./svm/features";
import { svmSkip, svmVcpuFree, svmVcpuInit } from "./svm/vcpu";
import { vendor, VENDOR_SVM, VENDOR_VMX } from "./vendor";
import { vmxCpuInit, vmxCpuStop, vmxFeatureMask } from "./vmx/cpu";
import { vmxEnter } from "./vmx/enter";
import { vmxExplain } from "./vmx/explain";
import { vmxCancelOffer, vmxCanTakeInterrupt, vmxInjectNmi, vmxOfferInterrupt } from "./vmx/inject";
import { vmxSkip, vmxVcpuFree, vmxVcpuInit } from "./vmx/vcpu";
import { hostCpuInit } from "./host/cpu";

/** Finds the vendor and checks all that this hypervisor needs. Returns 0, or a refusal number for hvmRefusal. */
export function hvmDetect(): i32 {
  return detect();
}

/** The message for refusal `n` of hvmDetect or hvmCpuInit: "VT-x is disabled by the firmware", ... */
export function hvmRefusal(n: i32): string {
  return refusal(n);
}

/** What `info` prints. */
export function hvmVendorName(): string {
  if (vendor == VENDOR_SVM) return "AMD-V with nested paging";
  if (vendor == VENDOR_VMX) return "VT-x with EPT";
  return "none";
}

/** HVM_FEATURE_* bits of features.ts. */
export function hvmFeatureMask(): u32 {
  if (vendor == VENDOR_SVM) return svmFeatureMask();
  if (vendor == VENDOR_VMX) return vmxFeatureMask();
  return 0;
}

/** Turns virtualisation on for this CPU (VMXON, or EFER.SVME and the host save area). 0 or a refusal number. */
export function hvmCpuInit(cpu: u32): i32 {
  hostCpuInit();
  fpuHostInit();
  return vendor == VENDOR_SVM ? svmCpuInit(cpu) : vmxCpuInit(cpu);
}

/** Turns it off again on this CPU, before power-off or reboot. */
export function hvmCpuStop(cpu: u32): void {
  if (vendor == VENDOR_SVM) svmCpuStop(cpu);
  else if (vendor == VENDOR_VMX) vmxCpuStop(cpu);
}

/**
 * Allocates the control block and puts the vCPU into the state a PVH guest's first vCPU starts in, registers zero: flat
 * 32-bit protected mode, paging off, interrupts off. The caller has set guestDomainId and guestVcpuId.
 * @param p2m the domain's physmap, in the format p2m.ts makes for this vendor; outlives the vCPU
 * @returns 0, or -ENOMEM with nothing allocated
 */
export function hvmVcpuInit(v: HvmVcpu, p2m: P2m): i32 {
  return vendor == VENDOR_SVM ? svmVcpuInit(v, p2m) : vmxVcpuInit(v, p2m);
}

/**
 * Starts a vCPU as a SIPI does (SDM 3A 9.4.3): real mode at `vector` * 4 KiB, registers as after INIT. It is not loaded in
 * any CPU's FPU.
 */
export function hvmStartup(v: HvmVcpu, vector: u32): void {
  resetEvents(v);
  resetRealMode(v, vector);
  fpuReset(v);
  v.flushPending = 1;
}

/** Undoes hvmVcpuInit. The vCPU is not loaded in any CPU's FPU: see hvmFpuSwitch. */
export function hvmVcpuFree(v: HvmVcpu): void {
  if (vendor == VENDOR_SVM) svmVcpuFree(v);
  else vmxVcpuFree(v);
}

/**
 * Enters the guest and settles exits until there is one that the kernel must see, or none to see but work for the
 * kernel's loop (HvmExit.None).
 * @param deadlineTsc host TSC at which the slice ends. VMX arms the preemption timer with it; on SVM the local APIC's
 *   timer, armed by the caller, ends the slice by HvmExit.Interrupt, and the deadline only bounds the exits settled here.
 * @returns HvmExit
 */
export function hvmEnter(v: HvmVcpu, deadlineTsc: u64): u32 {
  return vendor == VENDOR_SVM ? svmEnter(v, deadlineTsc) : vmxEnter(v, deadlineTsc);
}

/** Completes the IN of the latest HvmExit.Io with `value`: exitSize bytes of it go into AL, AX or EAX (and RAX cleared above). */
export function hvmFinishIn(v: HvmVcpu, value: u32): void {
  if (v.exitSize == 1) v.rax = (v.rax & ~(<u64>0xff)) | (value & 0xff);
  else if (v.exitSize == 2) v.rax = (v.rax & ~(<u64>0xffff)) | (value & 0xffff);
  else v.rax = value;
}

/**
 * Offers the guest an external interrupt.
 * @returns true: it is delivered by the next entry; false: the window is open, offer again after HvmExit.Window
 */
export function hvmOfferInterrupt(v: HvmVcpu, vector: u32): bool {
  return vendor == VENDOR_SVM ? svmOfferInterrupt(v, vector) : vmxOfferInterrupt(v, vector);
}

/** Closes the window: there is nothing to deliver any more. */
export function hvmCancelOffer(v: HvmVcpu): void {
  if (vendor == VENDOR_SVM) svmCancelOffer(v);
  else vmxCancelOffer(v);
}

/** Whether there is something to inject or cancel besides upcalls: apicVector, windowOpen. One load: on every entry's path. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function hvmInterruptWork(v: HvmVcpu): bool {
  return load<u64>(changetype<usize>(v) + offsetof<HvmVcpu>("windowOpen")) != 0;
}

/** RFLAGS.IF set, no interrupt shadow, and no event pending for the next entry. */
export function hvmCanTakeInterrupt(v: HvmVcpu): bool {
  return vendor == VENDOR_SVM ? svmCanTakeInterrupt(v) : vmxCanTakeInterrupt(v);
}

/** RFLAGS.IF: whether HLT could ever be woken by an interrupt. */
export function hvmInterruptsEnabled(v: HvmVcpu): bool {
  return (getRflags(v) & RFLAGS_IF) != 0;
}

/** Raises an NMI as soon as the guest can take one; one more is kept pending while another is being handled. */
export function hvmInjectNmi(v: HvmVcpu): void {
  if (vendor == VENDOR_SVM) svmInjectNmi(v);
  else vmxInjectNmi(v);
}

/** Moves RIP past the current instruction, ends the interrupt shadow. False: its length could not be found out. */
export function hvmSkipInstruction(v: HvmVcpu): bool {
  return vendor == VENDOR_SVM ? svmSkip(v) : vmxSkip(v);
}

/**
 * After HvmExit.NestedFault with nothing at exitGpa: does the access, to the local APIC (which may leave apicEffects) or
 * as an absent device would: reads return all ones and writes are ignored. False: not possible; the caller
 * raises #UD. It cannot where the instruction is not understood, or the access was not the instruction's: the processor
 * read a page table or delivered an event.
 */
export function hvmEmulateAccess(v: HvmVcpu): bool {
  return emulateAccess(v);
}

/** Loads registers from a struct hvm_hw_cpu at `record` in linear memory. 0, or -EINVAL for an impossible state. */
export function hvmLoadContext(v: HvmVcpu, record: usize): i32 {
  return contextLoad(v, record);
}

/**
 * From now on hvmLoadContext takes what only the processor's own checks at an entry refuse, so that they can be seen to
 * work: a guest given such a state ends when it is entered.
 */
export function hvmEntryUnchecked(): void {
  contextEntryUnchecked();
}

/** Saves them to one; the caller has saved the FPU with hvmFpuSwitch(v, null) if `v` ran last. */
export function hvmSaveContext(v: HvmVcpu, record: usize): void {
  contextSave(v, record);
}

/**
 * At a vCPU switch: saves the FPU, SSE and AVX state of `from`, loads that of `to`, with its XCR0 and debug registers.
 * Null stands for anything that is not a guest (a software domain, idle): its XCR0 is the host's.
 */
export function hvmFpuSwitch(from: HvmVcpu | null, to: HvmVcpu | null): void {
  fpuSwitch(from, to);
}

/** Nested translations of this vCPU's domain changed: they are flushed before its next entry. */
export function hvmFlush(v: HvmVcpu): void {
  v.flushPending = 1;
}

/**
 * Walks the guest's page tables.
 * @param access HVM_ACCESS_* wanted
 * @param out linear address of a u64 that gets the guest-physical address
 * @returns 0 or -EFAULT
 */
export function hvmTranslate(v: HvmVcpu, gva: u64, access: u32, out: usize): i32 {
  return translate(v, gva, access, out);
}

/** Guest-physical address of the lowest-level page-table entry for `gva`, ~0 none: see lowestEntry. */
export function hvmPageTableEntry(v: HvmVcpu, gva: u64): u64 {
  return lowestEntry(v, gva);
}

/**
 * After HvmExit.EntryFailed: says, as the end of a line of the log that the caller has begun and ends, which field breaks
 * which of the processor's rules.
 */
export function hvmExplainEntryFailure(v: HvmVcpu): void {
  if (vendor == VENDOR_SVM) svmExplain(v);
  else vmxExplain(v);
}

/** Logs registers and the latest exit, a few lines, for a crash report. */
export function hvmDescribe(v: HvmVcpu): void {
  describe(v);
}
