/**
 * VM entry's checks of the guest's state, in the SDM's order (3C, 27.3.1), repeated in software with descriptions, because
 * the processor only reports "invalid guest state". Also used to validate a state that a toolstack loads.
 */
import {
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_CET,
  CR4_PAE,
  CR4_PCIDE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
} from "../control-bits";
import { EXTENDED_EDX_NX } from "../cpuid-policy";
import { breaks, isCanonical, patPossible } from "../entry-rule";
import { cpuidEax, cpuidEdx, rdmsr, vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { MSR_VMX_CR4_FIXED0, MSR_VMX_CR4_FIXED1, MSR_VMX_MISC } from "../msr";
import { P2M_MFN_MASK } from "../p2m-types";
import { p2mLookup } from "../p2m";
import { RFLAGS_IF, RFLAGS_ONE, RFLAGS_TF, RFLAGS_VM, RFLAGS_ZERO } from "../state";
import {
  cr0Fixed0,
  cr0Fixed1,
  ENTRY_GUEST_64,
  ENTRY_LOAD_DEBUG,
  ENTRY_LOAD_EFER,
  ENTRY_LOAD_PAT,
  isUnrestricted,
  PIN_VIRTUAL_NMIS,
} from "./controls";
import { makeCurrent } from "./current";
import {
  BLOCKED_BY_MOV_SS,
  BLOCKED_BY_NMI,
  BLOCKED_BY_STI,
  PENDING_BREAKPOINT,
  PENDING_BREAKPOINTS,
  EVENT_EXCEPTION,
  EVENT_EXTERNAL,
  EVENT_NMI,
  EVENT_TYPE,
  EVENT_VALID,
  PENDING_STEP,
} from "./events";
import { vmxEventBroken } from "./event-check";
import { vmxSegmentsBroken } from "./segment-check";
import { VMCS } from "./vmcs";
import { VECTOR_MC, VECTOR_DB } from "../vectors";

const AR_LONG: u64 = 1 << 13;

/** IA32_DEBUGCTL: LBR, BTF, bus lock trap, TR, BTS, BTINT, BTS_OFF_OS, BTS_OFF_USR, the freezes, RTM (SDM 4, table 2-2). */
const DEBUGCTL_KNOWN: u64 = 0xffc7;
const DEBUGCTL_BTF: u64 = 1 << 1;

const ACTIVITY_ACTIVE: u64 = 0;
const ACTIVITY_HLT: u64 = 1;
const ACTIVITY_SHUTDOWN: u64 = 2;
const ACTIVITY_WAIT: u64 = 3;
/** IA32_VMX_MISC bits 6..8: HLT, shutdown and wait-for-SIPI are there. */
const MISC_ACTIVITY_SHIFT: u64 = 6;
const BLOCKED_BY_SMI: u64 = 1 << 2;
const BLOCKED_ENCLAVE: u64 = 1 << 4;
const BLOCKED_RESERVED: u64 = 0xffffffe0;
const PENDING_RTM: u64 = 1 << 16;
/** Where vectors of exceptions that an inactive guest may get begin and end: #DB and #MC. */
const NO_LINK: u64 = ~0;

/** Whether a rule on the guest's state is broken; entry-rule.ts then knows which. */
export function vmxGuestBroken(v: HvmVcpu): bool {
  makeCurrent(v);
  return (
    controlRegistersBroken() ||
    msrsBroken() ||
    vmxSegmentsBroken() ||
    descriptorTablesBroken() ||
    instructionPointerBroken() ||
    activityBroken() ||
    interruptibilityBroken() ||
    pendingDebugBroken() ||
    linkBroken() ||
    pdptesBroken(v) ||
    vmxEventBroken()
  );
}

function entryHas(control: u32): bool {
  return ((<u32>vmread(VMCS.ENTRY_CONTROLS)) & control) != 0;
}
function is64(): bool {
  return entryHas(ENTRY_GUEST_64);
}
function physicalBits(): u64 {
  return cpuidEax(0x80000008, 0) & 0xff;
}

/** 27.3.1.1: control and debug registers. */
function controlRegistersBroken(): bool {
  const cr0 = vmread(VMCS.GUEST_CR0);
  const cr3 = vmread(VMCS.GUEST_CR3);
  const cr4 = vmread(VMCS.GUEST_CR4);
  const free: u64 = isUnrestricted() ? CR0_PE | CR0_PG : 0;
  if ((cr0 & CR0_PG) != 0 && (cr0 & CR0_PE) == 0) return breaks("guest CR0", cr0, "PG is set without PE");
  if ((~cr0 & cr0Fixed0 & ~free) != 0) return breaks("guest CR0", cr0, "a bit that VMX operation fixes to 1 is clear");
  if ((cr0 & ~cr0Fixed1) != 0) return breaks("guest CR0", cr0, "a bit that VMX operation fixes to 0 is set");
  if ((~cr4 & rdmsr(MSR_VMX_CR4_FIXED0)) != 0) {
    return breaks("guest CR4", cr4, "a bit that VMX operation fixes to 1 is clear");
  }
  if ((cr4 & ~rdmsr(MSR_VMX_CR4_FIXED1)) != 0) {
    return breaks("guest CR4", cr4, "it has bits that this processor does not offer");
  }
  if ((cr4 & CR4_CET) != 0 && (cr0 & CR0_WP) == 0) return breaks("guest CR4", cr4, "CET is set without CR0.WP");
  const debug = vmread(VMCS.GUEST_DEBUGCTL);
  if (entryHas(ENTRY_LOAD_DEBUG) && (debug & ~DEBUGCTL_KNOWN) != 0) {
    return breaks("guest IA32_DEBUGCTL", debug, "it has reserved bits");
  }
  if (is64()) {
    if ((cr0 & CR0_PG) == 0) return breaks("guest CR0", cr0, "PG is clear in long mode");
    if ((cr4 & CR4_PAE) == 0) return breaks("guest CR4", cr4, "PAE is clear in long mode");
  } else if ((cr4 & CR4_PCIDE) != 0) {
    return breaks("guest CR4", cr4, "PCIDE is set outside long mode");
  }
  if (cr3 >> physicalBits() != 0) {
    return breaks("guest CR3", cr3, "it has bits beyond the processor's physical addresses");
  }
  const dr7 = vmread(VMCS.GUEST_DR7);
  if (entryHas(ENTRY_LOAD_DEBUG) && dr7 >> 32 != 0) return breaks("guest DR7", dr7, "it has bits above 31");
  return false;
}

/** 27.3.1.1: model-specific registers. */
function msrsBroken(): bool {
  const cr0 = vmread(VMCS.GUEST_CR0);
  const esp = vmread(VMCS.GUEST_SYSENTER_ESP);
  const eip = vmread(VMCS.GUEST_SYSENTER_EIP);
  if (!isCanonical(esp)) return breaks("guest IA32_SYSENTER_ESP", esp, "it is not canonical");
  if (!isCanonical(eip)) return breaks("guest IA32_SYSENTER_EIP", eip, "it is not canonical");
  const pat = vmread(VMCS.GUEST_PAT);
  if (entryHas(ENTRY_LOAD_PAT) && !patPossible(pat)) {
    return breaks("guest IA32_PAT", pat, "it has a memory type that does not exist");
  }
  if (!entryHas(ENTRY_LOAD_EFER)) return false;
  const efer = vmread(VMCS.GUEST_EFER);
  let known = EFER_SCE | EFER_LME | EFER_LMA;
  if (cpuidEdx(0x80000001, 0) & EXTENDED_EDX_NX) known |= EFER_NXE;
  if ((efer & ~known) != 0) return breaks("guest IA32_EFER", efer, "it has reserved bits");
  if (is64() != ((efer & EFER_LMA) != 0)) {
    return breaks("guest IA32_EFER", efer, 'LMA differs from the entry control "IA-32e mode guest"');
  }
  if ((cr0 & CR0_PG) != 0 && ((efer & EFER_LMA) != 0) != ((efer & EFER_LME) != 0)) {
    return breaks("guest IA32_EFER", efer, "LMA differs from LME with paging on");
  }
  return false;
}

/** 27.3.1.3. */
function descriptorTablesBroken(): bool {
  const gdt = vmread(VMCS.GUEST_GDTR_BASE);
  const idt = vmread(VMCS.GUEST_IDTR_BASE);
  const gdtLimit = vmread(VMCS.GUEST_GDTR_LIMIT);
  const idtLimit = vmread(VMCS.GUEST_IDTR_LIMIT);
  if (!isCanonical(gdt)) return breaks("guest GDTR base", gdt, "it is not canonical");
  if (!isCanonical(idt)) return breaks("guest IDTR base", idt, "it is not canonical");
  if (gdtLimit >> 16 != 0) return breaks("guest GDTR limit", gdtLimit, "it is above FFFFH");
  if (idtLimit >> 16 != 0) return breaks("guest IDTR limit", idtLimit, "it is above FFFFH");
  return false;
}

/** 27.3.1.4. */
function instructionPointerBroken(): bool {
  const rip = vmread(VMCS.GUEST_RIP);
  const flags = vmread(VMCS.GUEST_RFLAGS);
  const code64 = is64() && (vmread(VMCS.GUEST_CS_ACCESS) & AR_LONG) != 0;
  if (!code64 && rip >> 32 != 0) return breaks("guest RIP", rip, "it has bits above 31 outside 64-bit code");
  // One past the last canonical address is taken: bits 63..48 are all the same.
  const top = (<i64>rip) >> 48;
  if (code64 && top != 0 && top != -1) return breaks("guest RIP", rip, "it is beyond the processor's linear addresses");
  if ((flags & RFLAGS_ZERO) != 0) return breaks("guest RFLAGS", flags, "a bit that is always 0 is set");
  if ((flags & RFLAGS_ONE) == 0) return breaks("guest RFLAGS", flags, "bit 1, which is always 1, is clear");
  if ((flags & RFLAGS_VM) != 0) {
    if (is64()) return breaks("guest RFLAGS", flags, "VM is set in long mode");
    if ((vmread(VMCS.GUEST_CR0) & CR0_PE) == 0) return breaks("guest RFLAGS", flags, "VM is set in real mode");
  }
  const event = <u32>vmread(VMCS.ENTRY_EVENT);
  const external = (event & EVENT_VALID) != 0 && (event & EVENT_TYPE) == EVENT_EXTERNAL;
  if (external && (flags & RFLAGS_IF) == 0) {
    return breaks("guest RFLAGS", flags, "IF is clear, and an interrupt is to be delivered");
  }
  return false;
}

/** 27.3.1.5: activity state. */
function activityBroken(): bool {
  const state = vmread(VMCS.GUEST_ACTIVITY);
  if (state == ACTIVITY_ACTIVE) return false;
  const offered = rdmsr(MSR_VMX_MISC) >> MISC_ACTIVITY_SHIFT;
  if (state > ACTIVITY_WAIT || ((offered >> (state - 1)) & 1) == 0) {
    return breaks("guest activity state", state, "this processor does not have it");
  }
  const level = (vmread(VMCS.GUEST_SS_ACCESS) >> 5) & 3;
  if (state == ACTIVITY_HLT && level != 0) return breaks("guest activity state", state, "HLT outside ring 0");
  if ((vmread(VMCS.GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) != 0) {
    return breaks("guest activity state", state, "not active in the shadow of STI or MOV SS");
  }
  const event = <u32>vmread(VMCS.ENTRY_EVENT);
  if ((event & EVENT_VALID) == 0) return false;
  const type = event & EVENT_TYPE;
  const vector: u64 = event & 0xff;
  const machineCheck = type == EVENT_EXCEPTION && vector == VECTOR_MC;
  const debug = type == EVENT_EXCEPTION && vector == VECTOR_DB;
  const wakes = type == EVENT_EXTERNAL || type == EVENT_NMI || debug || machineCheck;
  if (state == ACTIVITY_HLT && !wakes)
    return breaks("guest activity state", state, "the injected event does not end HLT");
  if (state == ACTIVITY_SHUTDOWN && type != EVENT_NMI && !machineCheck) {
    return breaks("guest activity state", state, "the injected event does not end the shutdown state");
  }
  if (state == ACTIVITY_WAIT)
    return breaks("guest activity state", state, "an event is injected while it waits for SIPI");
  return false;
}

/** 27.3.1.5: interruptibility state. */
function interruptibilityBroken(): bool {
  const name = "guest interruptibility state";
  const blocked = vmread(VMCS.GUEST_INTERRUPTIBILITY);
  const shadow = blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
  if ((blocked & BLOCKED_RESERVED) != 0) return breaks(name, blocked, "it has reserved bits");
  if (shadow == (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) return breaks(name, blocked, "blocked both by STI and by MOV SS");
  if ((shadow & BLOCKED_BY_STI) != 0 && (vmread(VMCS.GUEST_RFLAGS) & RFLAGS_IF) == 0) {
    return breaks(name, blocked, "blocked by STI with RFLAGS.IF clear");
  }
  if ((blocked & BLOCKED_BY_SMI) != 0) return breaks(name, blocked, "blocked by SMI outside SMM");
  if ((blocked & BLOCKED_ENCLAVE) != 0 && (shadow & BLOCKED_BY_MOV_SS) != 0) {
    return breaks(name, blocked, "an enclave interruption in the shadow of MOV SS");
  }
  const event = <u32>vmread(VMCS.ENTRY_EVENT);
  if ((event & EVENT_VALID) == 0) return false;
  const type = event & EVENT_TYPE;
  if (type == EVENT_EXTERNAL && shadow != 0) {
    return breaks(name, blocked, "an interrupt is to be delivered in the shadow of STI or MOV SS");
  }
  if (type == EVENT_NMI) {
    if ((shadow & BLOCKED_BY_MOV_SS) != 0) {
      return breaks(name, blocked, "an NMI is to be delivered in the shadow of MOV SS");
    }
    if ((blocked & BLOCKED_BY_NMI) != 0 && ((<u32>vmread(VMCS.PIN_CONTROLS)) & PIN_VIRTUAL_NMIS) != 0) {
      return breaks(name, blocked, "an NMI is to be delivered while NMIs are blocked");
    }
  }
  return false;
}

/** 27.3.1.5: pending debug exceptions. */
function pendingDebugBroken(): bool {
  const name = "guest pending debug exceptions";
  const pending = vmread(VMCS.GUEST_PENDING_DEBUG);
  if ((pending & ~(PENDING_BREAKPOINTS | PENDING_BREAKPOINT | PENDING_STEP | PENDING_RTM | (1 << 11))) != 0) {
    return breaks(name, pending, "they have reserved bits");
  }
  const blocked = (vmread(VMCS.GUEST_INTERRUPTIBILITY) & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) != 0;
  if (blocked || vmread(VMCS.GUEST_ACTIVITY) == ACTIVITY_HLT) {
    const trapping = (vmread(VMCS.GUEST_RFLAGS) & RFLAGS_TF) != 0 && (vmread(VMCS.GUEST_DEBUGCTL) & DEBUGCTL_BTF) == 0;
    if (trapping && (pending & PENDING_STEP) == 0) {
      return breaks(name, pending, "no single step is pending with RFLAGS.TF set in the shadow of STI or MOV SS");
    }
    if (!trapping && (pending & PENDING_STEP) != 0) {
      return breaks(name, pending, "a single step is pending in the shadow of STI or MOV SS although none was taken");
    }
  }
  return false;
}

/** 27.3.1.5: VMCS link pointer. */
function linkBroken(): bool {
  const link = vmread(VMCS.LINK_POINTER);
  if (link == NO_LINK) return false;
  if ((link & 0xfff) != 0) return breaks("VMCS link pointer", link, "it is not the address of a page");
  if (link >> physicalBits() != 0) {
    return breaks("VMCS link pointer", link, "it has bits beyond the processor's physical addresses");
  }
  return breaks("VMCS link pointer", link, "this hypervisor links no VMCS: it must be all ones");
}

/** 27.3.1.6: what loading CR3 with PAE paging checks. */
function pdptesBroken(v: HvmVcpu): bool {
  const cr3 = vmread(VMCS.GUEST_CR3);
  const pae = (vmread(VMCS.GUEST_CR0) & CR0_PG) != 0 && (vmread(VMCS.GUEST_CR4) & CR4_PAE) != 0 && !is64();
  if (!pae) return false;
  if ((p2mLookup(v.p2m, (cr3 & 0xffffffe0) >> 12) & P2M_MFN_MASK) == 0) {
    return breaks("guest CR3", cr3, "with PAE paging it names no memory of the guest's");
  }
  const reserved = 0x1e6 | (~(<u64>0) << physicalBits());
  for (let i: u32 = 0; i < 4; i++) {
    const entry = vmread(VMCS.GUEST_PDPTE0 + 2 * i);
    if ((entry & 1) != 0 && (entry & reserved) != 0) {
      return breaks(PDPTES[i], entry, "a page-directory-pointer entry has reserved bits");
    }
  }
  return false;
}

const PDPTES: StaticArray<string> = ["guest PDPTE0", "guest PDPTE1", "guest PDPTE2", "guest PDPTE3"];
