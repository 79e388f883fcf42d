/**
 * A vCPU's registers in the format of Xen's toolstacks: struct hvm_hw_cpu (xen/arch-x86/hvm/save.h, Xen 4.17). Segment
 * attributes are in the packed form ATTR_* of state.ts, limits in bytes, the pending event in the processors' common
 * format (vector, type, error-code flag, valid bit).
 *
 * Calling context: the vCPU is not running, and its FPU state is in memory (hvmFpuSwitch).
 */
import { EINVAL } from "../abi/errno";
import { HvmHwCpu, XEN_X86_FPU_INITIALISED } from "../abi/hvm";
import { CR0_ET, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from "./control-bits";
import { guestCr0Accepted, guestCr4Accepted, guestEferAccepted } from "./cpuid-policy";
import { isCanonical } from "./entry-rule";
import { fpuExport, fpuImport, fpuReset } from "./fpu";
import { load64, rdtsc, store64 } from "./hw";
import { HvmVcpu } from "./hvm-vcpu";
import { getPendingEvent, resetEvents, setPendingEvent } from "./inject";
import {
  MSR_CSTAR,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_SFMASK,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
} from "./msr";
import { FRAME_DEBUG } from "./state-frame";
import {
  ATTR_GRANULARITY,
  ATTR_PRESENT,
  getCr0,
  getCr2,
  getCr3,
  getCr4,
  getDr6,
  getDr7,
  getEfer,
  getGdtrBase,
  getGdtrLimit,
  getHardwareMsr,
  getIdtrBase,
  getIdtrLimit,
  getRflags,
  getRip,
  getRsp,
  getSegmentAttributes,
  getSegmentBase,
  getSegmentLimit,
  getSegmentSelector,
  RFLAGS_ONE,
  RFLAGS_ZERO,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_LDTR,
  SEG_SS,
  SEG_TR,
  setCr0,
  setCr2,
  setCr3,
  setCr4,
  setDr6,
  setDr7,
  setEfer,
  setGdtr,
  setHardwareMsr,
  setIdtr,
  setRflags,
  setRip,
  setRsp,
  setSegment,
  setTscOffset,
} from "./state";
import { svmGuestBroken } from "./svm/vmcb-check";
import { vendor, VENDOR_VMX } from "./vendor";
import { vmxGuestBroken } from "./vmx/guest-check";
import { loadPdptes } from "./vmx/pdptes";

/** Segments in the order of the record's selectors, limits, bases, attributes. */
const SEGMENTS: StaticArray<u32> = [SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS, SEG_TR, SEG_LDTR];

/** General registers in the order of the record, by number; RSP is between RDI and R8. */
const LOW_REGISTERS: StaticArray<u32> = [0, 3, 1, 2, 5, 6, 7];

/** A vCPU's previous state, until the state passed to contextLoad has been validated. */
const before: usize = memory.data(1032, 8);

/**
 * See hvmSaveContext. XCR0 and the upper halves of AVX registers are not in this record.
 */
export function contextSave(v: HvmVcpu, record: usize): void {
  fpuExport(v, record + HvmHwCpu.fpu_regs);
  saveRegisters(v, record);
}

function saveRegisters(v: HvmVcpu, record: usize): void {
  for (let n: u32 = 0; n < 7; n++) {
    store<u64>(record + HvmHwCpu.rax + 8 * n, load<u64>(changetype<usize>(v) + 8 * LOW_REGISTERS[n]));
  }
  store<u64>(record + HvmHwCpu.rsp, getRsp(v));
  memory.copy(record + HvmHwCpu.r8, changetype<usize>(v) + 64, 64);
  store<u64>(record + HvmHwCpu.rip, getRip(v));
  store<u64>(record + HvmHwCpu.rflags, getRflags(v));
  store<u64>(record + HvmHwCpu.cr0, getCr0(v));
  store<u64>(record + HvmHwCpu.cr2, getCr2(v));
  store<u64>(record + HvmHwCpu.cr3, getCr3(v));
  store<u64>(record + HvmHwCpu.cr4, getCr4(v));
  for (let n: u32 = 0; n < 4; n++) {
    store<u64>(record + HvmHwCpu.dr0 + 8 * n, load64(v.statePa + FRAME_DEBUG + 8 * n));
  }
  store<u64>(record + HvmHwCpu.dr6, getDr6(v));
  store<u64>(record + HvmHwCpu.dr7, getDr7(v));
  for (let i: u32 = 0; i < 8; i++) {
    const segment = SEGMENTS[i];
    store<u32>(record + HvmHwCpu.cs_sel + 4 * i, getSegmentSelector(v, segment));
    store<u32>(record + HvmHwCpu.cs_limit + 4 * i, getSegmentLimit(v, segment));
    store<u64>(record + HvmHwCpu.cs_base + 8 * i, getSegmentBase(v, segment));
    store<u32>(record + HvmHwCpu.cs_arbytes + 4 * i, getSegmentAttributes(v, segment));
  }
  store<u32>(record + HvmHwCpu.idtr_limit, getIdtrLimit(v));
  store<u32>(record + HvmHwCpu.gdtr_limit, getGdtrLimit(v));
  store<u64>(record + HvmHwCpu.idtr_base, getIdtrBase(v));
  store<u64>(record + HvmHwCpu.gdtr_base, getGdtrBase(v));
  store<u64>(record + HvmHwCpu.sysenter_cs, getHardwareMsr(v, MSR_SYSENTER_CS));
  store<u64>(record + HvmHwCpu.sysenter_esp, getHardwareMsr(v, MSR_SYSENTER_ESP));
  store<u64>(record + HvmHwCpu.sysenter_eip, getHardwareMsr(v, MSR_SYSENTER_EIP));
  store<u64>(record + HvmHwCpu.shadow_gs, getHardwareMsr(v, MSR_KERNEL_GS_BASE));
  store<u64>(record + HvmHwCpu.msr_flags, 0);
  store<u64>(record + HvmHwCpu.msr_lstar, getHardwareMsr(v, MSR_LSTAR));
  store<u64>(record + HvmHwCpu.msr_star, getHardwareMsr(v, MSR_STAR));
  store<u64>(record + HvmHwCpu.msr_cstar, getHardwareMsr(v, MSR_CSTAR));
  store<u64>(record + HvmHwCpu.msr_syscall_mask, getHardwareMsr(v, MSR_SFMASK));
  store<u64>(record + HvmHwCpu.msr_efer, getEfer(v));
  store<u64>(record + HvmHwCpu.msr_tsc_aux, 0);
  store<u64>(record + HvmHwCpu.tsc, rdtsc() + v.tscOffset);
  const event = getPendingEvent(v);
  store<u32>(record + HvmHwCpu.pending_event, <u32>event);
  store<u32>(record + HvmHwCpu.error_code, <u32>(event >> 32));
  store<u32>(record + HvmHwCpu.flags, XEN_X86_FPU_INITIALISED);
  store<u32>(record + HvmHwCpu.pad0, 0);
}

let unchecked: bool = false;

/** See hvmEntryUnchecked. */
export function contextEntryUnchecked(): void {
  unchecked = true;
}

/** See hvmLoadContext. */
export function contextLoad(v: HvmVcpu, record: usize): i32 {
  if (!isPossible(record)) return -EINVAL;
  const offset = v.tscOffset;
  saveRegisters(v, before);
  loadRegisters(v, record);
  if (!isEnterable(v)) {
    loadRegisters(v, before);
    setTscOffset(v, offset);
    return -EINVAL;
  }
  if ((load<u32>(record + HvmHwCpu.flags) & XEN_X86_FPU_INITIALISED) != 0) fpuImport(v, record + HvmHwCpu.fpu_regs);
  else fpuReset(v);
  return 0;
}

/** What every processor demands of these registers, whatever the vendor. */
function isPossible(record: usize): bool {
  const cr0 = load<u64>(record + HvmHwCpu.cr0);
  const efer = load<u64>(record + HvmHwCpu.msr_efer);
  const flags = load<u64>(record + HvmHwCpu.rflags);
  const paged = (cr0 & CR0_PG) != 0;
  if (!guestCr0Accepted(cr0) || !guestEferAccepted(efer, efer, cr0)) return false;
  if (!guestCr4Accepted(efer, load<u64>(record + HvmHwCpu.cr4))) return false;
  if (((efer & EFER_LMA) != 0) != (paged && (efer & EFER_LME) != 0)) return false;
  if ((flags & RFLAGS_ZERO) != 0) return false;
  if (load<u64>(record + HvmHwCpu.cr3) >> 52 != 0) return false;
  if ((load<u64>(record + HvmHwCpu.dr6) | load<u64>(record + HvmHwCpu.dr7)) >> 32 != 0) return false;
  for (let i: u32 = 0; i < 8; i++) {
    if (load<u32>(record + HvmHwCpu.cs_sel + 4 * i) >> 16 != 0) return false;
    const attributes = load<u32>(record + HvmHwCpu.cs_arbytes + 4 * i);
    if (attributes >> 12 != 0) return false;
    // A limit beyond 1 MiB is a number of whole pages.
    const limit = load<u32>(record + HvmHwCpu.cs_limit + 4 * i);
    if ((attributes & ATTR_PRESENT) != 0 && limit >> 20 != 0 && (limit & 0xfff) != 0xfff) return false;
    if (!isCanonical(load<u64>(record + HvmHwCpu.cs_base + 8 * i))) return false;
  }
  if ((load<u32>(record + HvmHwCpu.idtr_limit) | load<u32>(record + HvmHwCpu.gdtr_limit)) >> 16 != 0) return false;
  return (
    isCanonical(load<u64>(record + HvmHwCpu.idtr_base)) &&
    isCanonical(load<u64>(record + HvmHwCpu.gdtr_base)) &&
    isCanonical(load<u64>(record + HvmHwCpu.sysenter_esp)) &&
    isCanonical(load<u64>(record + HvmHwCpu.sysenter_eip)) &&
    isCanonical(load<u64>(record + HvmHwCpu.shadow_gs)) &&
    isCanonical(load<u64>(record + HvmHwCpu.msr_lstar)) &&
    isCanonical(load<u64>(record + HvmHwCpu.msr_cstar)) &&
    load<u64>(record + HvmHwCpu.msr_syscall_mask) >> 32 == 0
  );
}

function loadRegisters(v: HvmVcpu, record: usize): void {
  for (let n: u32 = 0; n < 7; n++) {
    store<u64>(changetype<usize>(v) + 8 * LOW_REGISTERS[n], load<u64>(record + HvmHwCpu.rax + 8 * n));
  }
  setRsp(v, load<u64>(record + HvmHwCpu.rsp));
  memory.copy(changetype<usize>(v) + 64, record + HvmHwCpu.r8, 64);
  setRip(v, load<u64>(record + HvmHwCpu.rip));
  setRflags(v, load<u64>(record + HvmHwCpu.rflags) | RFLAGS_ONE);
  setCr0(v, load<u64>(record + HvmHwCpu.cr0) | CR0_ET);
  setCr2(v, load<u64>(record + HvmHwCpu.cr2));
  setCr3(v, load<u64>(record + HvmHwCpu.cr3));
  setCr4(v, load<u64>(record + HvmHwCpu.cr4));
  setEfer(v, load<u64>(record + HvmHwCpu.msr_efer));
  for (let n: u32 = 0; n < 4; n++) {
    store64(v.statePa + FRAME_DEBUG + 8 * n, load<u64>(record + HvmHwCpu.dr0 + 8 * n));
  }
  setDr6(v, load<u64>(record + HvmHwCpu.dr6));
  setDr7(v, load<u64>(record + HvmHwCpu.dr7));
  for (let i: u32 = 0; i < 8; i++) {
    const limit = load<u32>(record + HvmHwCpu.cs_limit + 4 * i);
    setSegment(
      v,
      SEGMENTS[i],
      load<u32>(record + HvmHwCpu.cs_sel + 4 * i),
      withGranularity(load<u32>(record + HvmHwCpu.cs_arbytes + 4 * i), limit),
      limit,
      load<u64>(record + HvmHwCpu.cs_base + 8 * i),
    );
  }
  setIdtr(v, load<u64>(record + HvmHwCpu.idtr_base), load<u32>(record + HvmHwCpu.idtr_limit));
  setGdtr(v, load<u64>(record + HvmHwCpu.gdtr_base), load<u32>(record + HvmHwCpu.gdtr_limit));
  setHardwareMsr(v, MSR_SYSENTER_CS, load<u64>(record + HvmHwCpu.sysenter_cs) & 0xffffffff);
  setHardwareMsr(v, MSR_SYSENTER_ESP, load<u64>(record + HvmHwCpu.sysenter_esp));
  setHardwareMsr(v, MSR_SYSENTER_EIP, load<u64>(record + HvmHwCpu.sysenter_eip));
  setHardwareMsr(v, MSR_KERNEL_GS_BASE, load<u64>(record + HvmHwCpu.shadow_gs));
  setHardwareMsr(v, MSR_LSTAR, load<u64>(record + HvmHwCpu.msr_lstar));
  setHardwareMsr(v, MSR_STAR, load<u64>(record + HvmHwCpu.msr_star));
  setHardwareMsr(v, MSR_CSTAR, load<u64>(record + HvmHwCpu.msr_cstar));
  setHardwareMsr(v, MSR_SFMASK, load<u64>(record + HvmHwCpu.msr_syscall_mask));
  setTscOffset(v, load<u64>(record + HvmHwCpu.tsc) - rdtsc());
  resetEvents(v);
  const event: u64 = load<u32>(record + HvmHwCpu.pending_event);
  setPendingEvent(v, event | ((<u64>load<u32>(record + HvmHwCpu.error_code)) << 32));
  v.flushPending = 1;
}

/** The G bit that goes with a limit in bytes: processors refuse one that contradicts it. */
function withGranularity(attributes: u32, limit: u32): u32 {
  if (limit >> 20 != 0) return attributes | ATTR_GRANULARITY;
  return (limit & 0xfff) != 0xfff ? attributes & ~ATTR_GRANULARITY : attributes;
}

/** Whether the processor would enter this state; on VT-x, PAE's page-directory-pointer registers are loaded on the way. */
function isEnterable(v: HvmVcpu): bool {
  if (vendor != VENDOR_VMX) return unchecked || !svmGuestBroken(v);
  const pae = (getCr0(v) & CR0_PG) != 0 && (getCr4(v) & CR4_PAE) != 0 && (getEfer(v) & EFER_LMA) == 0;
  if (pae && !loadPdptes(v, getCr3(v))) return false;
  return unchecked || !vmxGuestBroken(v);
}
