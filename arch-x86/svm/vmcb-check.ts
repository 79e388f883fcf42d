/**
 * VMRUN's checks of a VMCB (APM 2, 15.5.1; 15.16, 15.20, 15.25.4), repeated in software with descriptions, because
 * the processor only reports "invalid". Those on the guest's state also validate a state that a toolstack loads.
 */
import {
  CR0_CD,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR4_PAE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
  EFER_SVME,
} from "../control-bits";
import { EXTENDED_EDX_NX } from "../cpuid-policy";
import { breaks, patPossible } from "../entry-rule";
import { cpuidEax, cpuidEbx, cpuidEcx, cpuidEdx, load32, load64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { ATTR_DB, ATTR_LONG, getSegmentAttributes, SEG_CS } from "../state";
import { svmAsids } from "./features";
import {
  EVENT_EXCEPTION,
  EVENT_EXTERNAL,
  EVENT_NMI,
  EVENT_SOFTWARE,
  EVENT_TYPE,
  EVENT_VALID,
  INTERCEPT2_VMRUN,
  VMCB,
} from "./vmcb";
import { VECTOR_NMI } from "../vectors";

/** Bits of CR4 that every processor with AMD-V has: VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT. */
const CR4_ALWAYS: u64 = 0x7ff;

const EXTENDED_EDX_FFXSR: u32 = 1 << 25;
const EXTENDED_EDX_LONG: u32 = 1 << 29;
const EXTENDED_ECX_TCE: u32 = 1 << 17;
const CAPACITY_EBX_MCOMMIT: u32 = 1 << 8;
const CAPACITY_EBX_INTERRUPTIBLE_WBINVD: u32 = 1 << 13;
const CAPACITY_EBX_NO_LMSLE: u32 = 1 << 20;

const NESTED_PAGING: u64 = 1;
const PERMISSION_MAP: u64 = ~(<u64>0xfff);
const IOPM_BYTES: u64 = 0x3000;
const MSRPM_BYTES: u64 = 0x2000;
const EXCEPTIONS: u64 = 32;

/** Whether a rule on the guest's state is violated; entry-rule.ts then records which. */
export function svmGuestBroken(v: HvmVcpu): bool {
  const vmcb = v.controlPa;
  const efer = load64(vmcb + VMCB.EFER);
  const cr0 = load64(vmcb + VMCB.CR0);
  const cr3 = load64(vmcb + VMCB.CR3);
  const cr4 = load64(vmcb + VMCB.CR4);
  const dr6 = load64(vmcb + VMCB.DR6);
  const dr7 = load64(vmcb + VMCB.DR7);
  if ((efer & EFER_SVME) == 0) return breaks("guest EFER", efer, "SVME is clear");
  if ((cr0 & CR0_CD) == 0 && (cr0 & CR0_NW) != 0) return breaks("guest CR0", cr0, "NW is set without CD");
  if (cr0 >> 32 != 0) return breaks("guest CR0", cr0, "it has bits above 31");
  if (cr3 >> physicalBits() != 0) {
    return breaks("guest CR3", cr3, "it has bits beyond the processor's physical addresses");
  }
  if ((cr4 & ~cr4Known()) != 0) return breaks("guest CR4", cr4, "it has bits that this processor reserves");
  if (dr6 >> 32 != 0) return breaks("guest DR6", dr6, "it has bits above 31");
  if (dr7 >> 32 != 0) return breaks("guest DR7", dr7, "it has bits above 31");
  if ((efer & ~eferKnown()) != 0) return breaks("guest EFER", efer, "it has bits that this processor reserves");
  if ((efer & (EFER_LMA | EFER_LME)) != 0 && (cpuidEdx(0x80000001, 0) & EXTENDED_EDX_LONG) == 0) {
    return breaks("guest EFER", efer, "LMA or LME is set, and this processor has no long mode");
  }
  if ((efer & EFER_LME) != 0 && (cr0 & CR0_PG) != 0) {
    if ((cr4 & CR4_PAE) == 0) return breaks("guest CR4", cr4, "PAE is clear with EFER.LME and CR0.PG set");
    if ((cr0 & CR0_PE) == 0) return breaks("guest CR0", cr0, "PE is clear with EFER.LME and PG set");
    const cs = getSegmentAttributes(v, SEG_CS);
    if ((cs & ATTR_LONG) != 0 && (cs & ATTR_DB) != 0) {
      return breaks("guest CS attributes", cs, "L and D are both set in long mode");
    }
  }
  const pat = load64(vmcb + VMCB.PAT);
  if ((load64(vmcb + VMCB.NESTED_CONTROL) & NESTED_PAGING) != 0 && !patPossible(pat)) {
    return breaks("guest PAT", pat, "it has a memory type that does not exist");
  }
  // An exit clears the event; inject.ts remembers what it was.
  const event = v.eventPending != 0 ? v.injectedEvent : load64(vmcb + VMCB.EVENT_INJECT);
  return (event & EVENT_VALID) != 0 && eventBroken(event);
}

/** Whether a rule on the hypervisor's own fields is violated. */
export function svmControlBroken(v: HvmVcpu): bool {
  const vmcb = v.controlPa;
  const intercepts = load32(vmcb + VMCB.INTERCEPT_MISC2);
  if ((intercepts & INTERCEPT2_VMRUN) == 0) {
    return breaks("VMCB intercept vector 4", intercepts, "VMRUN is not intercepted");
  }
  const asid = load32(vmcb + VMCB.ASID);
  if (asid == 0) return breaks("VMCB guest ASID", asid, "0 is the host's");
  if (asid >= svmAsids) return breaks("VMCB guest ASID", asid, "the processor has fewer address space identifiers");
  const iopm = load64(vmcb + VMCB.IOPM_PA);
  const msrpm = load64(vmcb + VMCB.MSRPM_PA);
  const beyond = "it reaches beyond the processor's physical addresses";
  if (((iopm & PERMISSION_MAP) + IOPM_BYTES - 1) >> physicalBits() != 0) {
    return breaks("VMCB IOPM_BASE_PA", iopm, beyond);
  }
  if (((msrpm & PERMISSION_MAP) + MSRPM_BYTES - 1) >> physicalBits() != 0) {
    return breaks("VMCB MSRPM_BASE_PA", msrpm, beyond);
  }
  const root = load64(vmcb + VMCB.NESTED_CR3);
  if ((load64(vmcb + VMCB.NESTED_CONTROL) & NESTED_PAGING) != 0 && root >> physicalBits() != 0) {
    return breaks("VMCB nCR3", root, "it has bits beyond the processor's physical addresses");
  }
  return false;
}

/** 15.20. */
function eventBroken(event: u64): bool {
  const vector = event & 0xff;
  switch (event & EVENT_TYPE) {
    case EVENT_EXCEPTION:
      if (vector >= EXCEPTIONS) return breaks("VMCB EVENTINJ", event, "an exception has a vector above 31");
      if (vector == VECTOR_NMI) return breaks("VMCB EVENTINJ", event, "an exception has vector 2, the NMI's");
      return false;
    case EVENT_NMI:
    case EVENT_EXTERNAL:
    case EVENT_SOFTWARE:
      return false;
  }
  return breaks("VMCB EVENTINJ", event, "the event's type is reserved");
}

function physicalBits(): u64 {
  return cpuidEax(0x80000008, 0) & 0xff;
}

/** Bits of CR4 that are not "must be zero" on this processor (APM 2, 3.1.3). */
function cr4Known(): u64 {
  const ebx = cpuidEbx(7, 0);
  const ecx = cpuidEcx(7, 0);
  let known = CR4_ALWAYS;
  if (ecx & (1 << 2)) known |= 1 << 11; // UMIP
  if (ecx & (1 << 16)) known |= 1 << 12; // LA57
  if (ebx & (1 << 0)) known |= 1 << 16; // FSGSBASE
  if (cpuidEcx(1, 0) & (1 << 17)) known |= 1 << 17; // PCIDE
  if (cpuidEcx(1, 0) & (1 << 26)) known |= 1 << 18; // OSXSAVE
  if (ebx & (1 << 7)) known |= 1 << 20; // SMEP
  if (ebx & (1 << 20)) known |= 1 << 21; // SMAP
  if (ecx & (1 << 3)) known |= 1 << 22; // PKE
  if (ecx & (1 << 7)) known |= 1 << 23; // CET
  return known;
}

/** Bits of EFER that are not "must be zero" on this processor (APM 2, 3.1.7). */
function eferKnown(): u64 {
  const capacity = cpuidEbx(0x80000008, 0);
  const edx = cpuidEdx(0x80000001, 0);
  let known = EFER_SCE | EFER_LME | EFER_LMA | EFER_SVME;
  if (edx & EXTENDED_EDX_NX) known |= EFER_NXE;
  if ((capacity & CAPACITY_EBX_NO_LMSLE) == 0) known |= 1 << 13;
  if (edx & EXTENDED_EDX_FFXSR) known |= 1 << 14;
  if (cpuidEcx(0x80000001, 0) & EXTENDED_ECX_TCE) known |= 1 << 15;
  if (capacity & CAPACITY_EBX_MCOMMIT) known |= 1 << 17;
  if (capacity & CAPACITY_EBX_INTERRUPTIBLE_WBINVD) known |= 1 << 18;
  if (cpuidEax(0x80000000, 0) >= 0x80000021) {
    const more = cpuidEax(0x80000021, 0);
    if (more & (1 << 7)) known |= 1 << 20; // upper address ignore
    if (more & (1 << 8)) known |= 1 << 21; // automatic IBRS
  }
  return known;
}
