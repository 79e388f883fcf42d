/**
 * The rules that a VM entry holds the guest's state against, in the SDM's order (3C, 27.3.1), in words: what is left
 * when the processor only says "invalid guest state". Also used before a state that a toolstack loads is accepted.
 */
import { vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { P2M_MFN_MASK } from "../p2m-types";
import { p2mLookup } from "../p2m";
import { EFER_LMA, EFER_LME, RFLAGS_IF, RFLAGS_VM } from "../state";
import { ENTRY_GUEST_64 } from "./controls";
import { makeCurrent } from "./current";
import { BLOCKED_BY_MOV_SS, BLOCKED_BY_STI, EVENT_EXTERNAL, EVENT_TYPE, EVENT_VALID } from "./events";
import { VMCS } from "./vmcs";

const CR0_PE: u64 = 1 << 0;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const CR4_PCIDE: u64 = 1 << 17;
const RFLAGS_ONE: u64 = 1 << 1;
const RFLAGS_ZERO: u64 = 0xffffffffffc08028;
const TI: u64 = 1 << 2;

// Access rights (table 25-2).
const AR_TYPE: u32 = 0xf;
const AR_S: u32 = 1 << 4;
const AR_PRESENT: u32 = 1 << 7;
const AR_LONG: u32 = 1 << 13;
const AR_DB: u32 = 1 << 14;
const AR_GRANULARITY: u32 = 1 << 15;
const AR_UNUSABLE: u32 = 1 << 16;
const AR_RESERVED: u32 = 0xfffe0f00;

const SEG_CS: u32 = 1;
const SEG_SS: u32 = 2;
const SEG_GS: u32 = 5;

/** The rule that the guest's state breaks, or null when all that are known hold. */
export function vmxGuestProblem(v: HvmVcpu): string | null {
  makeCurrent(v);
  let problem = controlRegisters();
  if (problem === null) problem = segments();
  if (problem === null) problem = descriptorTables();
  if (problem === null) problem = instructionPointer();
  if (problem === null) problem = events();
  if (problem === null) problem = pdptes(v);
  return problem;
}

function isCanonical(address: u64): bool {
  return <u64>((<i64>(address << 16)) >> 16) == address;
}

function is64(): bool {
  return (vmread(VMCS.ENTRY_CONTROLS) & ENTRY_GUEST_64) != 0;
}

/** 27.3.1.1. */
function controlRegisters(): string | null {
  const cr0 = vmread(VMCS.GUEST_CR0);
  const cr4 = vmread(VMCS.GUEST_CR4);
  const efer = vmread(VMCS.GUEST_EFER);
  if ((cr0 & CR0_PG) != 0 && (cr0 & CR0_PE) == 0) return "CR0.PG is set without CR0.PE";
  if (is64() && ((cr0 & CR0_PG) == 0 || (cr4 & CR4_PAE) == 0)) return "long mode needs CR0.PG and CR4.PAE";
  if (!is64() && (cr4 & CR4_PCIDE) != 0) return "CR4.PCIDE is set outside long mode";
  if (vmread(VMCS.GUEST_CR3) >> 52 != 0) return "CR3 has reserved bits";
  if (vmread(VMCS.GUEST_DR7) >> 32 != 0) return "DR7 has bits above 31";
  if (!isCanonical(vmread(VMCS.GUEST_SYSENTER_ESP))) return "SYSENTER_ESP is not canonical";
  if (!isCanonical(vmread(VMCS.GUEST_SYSENTER_EIP))) return "SYSENTER_EIP is not canonical";
  if (is64() != ((efer & EFER_LMA) != 0)) return 'EFER.LMA differs from the entry\'s "IA-32e mode guest"';
  if ((cr0 & CR0_PG) != 0 && ((efer & EFER_LMA) != 0) != ((efer & EFER_LME) != 0)) {
    return "EFER.LMA differs from EFER.LME with paging on";
  }
  return null;
}

function access(segment: u32): u32 {
  return <u32>vmread(VMCS.GUEST_ES_ACCESS + 2 * segment);
}
function dpl(segment: u32): u32 {
  return (access(segment) >> 5) & 3;
}
function isUsable(segment: u32): bool {
  return (access(segment) & AR_UNUSABLE) == 0;
}

/** 27.3.1.2. */
function segments(): string | null {
  const virtual8086 = (vmread(VMCS.GUEST_RFLAGS) & RFLAGS_VM) != 0;
  for (let segment: u32 = 0; segment <= SEG_GS; segment++) {
    if (segment != SEG_CS && !isUsable(segment)) continue;
    const problem = virtual8086 ? realSegment(segment) : codeOrData(segment);
    if (problem !== null) return problem;
  }
  if (!isCanonical(vmread(VMCS.GUEST_FS_BASE))) return "FS.base is not canonical";
  if (!isCanonical(vmread(VMCS.GUEST_GS_BASE))) return "GS.base is not canonical";
  if (vmread(VMCS.GUEST_CS_BASE) >> 32 != 0) return "CS.base has bits above 31";

  const task = access(7);
  if ((vmread(VMCS.GUEST_TR_SELECTOR) & TI) != 0) return "TR names the LDT";
  if ((task & AR_UNUSABLE) != 0) return "TR is unusable";
  const taskType = task & AR_TYPE;
  if (taskType != 11 && (taskType != 3 || is64())) return "TR is no busy task state segment";
  if ((task & AR_S) != 0 || (task & AR_PRESENT) == 0 || (task & AR_RESERVED) != 0)
    return "TR's attributes are impossible";
  if (!granularityFits(7)) return "TR's limit does not fit its granularity";
  if (!isCanonical(vmread(VMCS.GUEST_TR_BASE))) return "TR.base is not canonical";
  if (isUsable(6)) {
    const local = access(6);
    if ((vmread(VMCS.GUEST_LDTR_SELECTOR) & TI) != 0) return "LDTR names the LDT";
    if ((local & AR_TYPE) != 2 || (local & AR_S) != 0) return "LDTR is no local descriptor table";
    if ((local & AR_PRESENT) == 0 || (local & AR_RESERVED) != 0) return "LDTR's attributes are impossible";
    if (!granularityFits(6)) return "LDTR's limit does not fit its granularity";
    if (!isCanonical(vmread(VMCS.GUEST_LDTR_BASE))) return "LDTR.base is not canonical";
  }
  return null;
}

/** In virtual-8086 mode everything about a segment follows from its selector. */
function realSegment(segment: u32): string | null {
  const base = vmread(VMCS.GUEST_ES_BASE + 2 * segment);
  if (base != vmread(VMCS.GUEST_ES_SELECTOR + 2 * segment) << 4)
    return "virtual-8086 mode: a base is not its selector * 16";
  if (vmread(VMCS.GUEST_ES_LIMIT + 2 * segment) != 0xffff) return "virtual-8086 mode: a limit is not FFFFH";
  if (access(segment) != 0xf3) return "virtual-8086 mode: a segment's attributes are not F3H";
  return null;
}

/** CS, or another segment that is usable. */
function codeOrData(segment: u32): string | null {
  const rights = access(segment);
  const type = rights & AR_TYPE;
  if (segment == SEG_CS) {
    if (!isUsable(SEG_CS)) return "CS is unusable";
    const real = (vmread(VMCS.GUEST_CR0) & CR0_PE) == 0;
    if (type != 9 && type != 11 && type != 13 && type != 15 && type != 3) return "CS is no accessed code segment";
    if (type == 3 && dpl(SEG_CS) != 0) return "CS is a data segment with DPL other than 0";
    const stack = isUsable(SEG_SS) || !real ? dpl(SEG_SS) : 0;
    if ((type == 9 || type == 11) && dpl(SEG_CS) != stack) return "CS.DPL differs from SS.DPL";
    if (type >= 13 && dpl(SEG_CS) > stack) return "CS is conforming with DPL above SS.DPL";
    if (is64() && (rights & AR_LONG) != 0 && (rights & AR_DB) != 0) return "CS is 64-bit code with the D bit set";
  } else if (segment == SEG_SS) {
    if (type != 3 && type != 7) return "SS is no accessed, writable data segment";
    if (vmread(VMCS.GUEST_SS_SELECTOR) >> 16 != 0) return "SS's selector is too wide";
    if (((vmread(VMCS.GUEST_CR0) & CR0_PE) == 0 || (access(SEG_CS) & AR_TYPE) == 3) && dpl(SEG_SS) != 0) {
      return "SS.DPL is not 0 in real mode";
    }
  } else {
    if ((type & 1) == 0) return "DS, ES, FS or GS is not accessed";
    if ((type & 8) != 0 && (type & 2) == 0) return "DS, ES, FS or GS is unreadable code";
  }
  if ((rights & AR_S) == 0) return "a code or data segment is a system segment";
  if ((rights & AR_PRESENT) == 0) return "a usable segment is not present";
  if ((rights & AR_RESERVED) != 0) return "a segment's attributes have reserved bits";
  if (!granularityFits(segment)) return "a segment's limit does not fit its granularity";
  if (segment < 4 && vmread(VMCS.GUEST_ES_BASE + 2 * segment) >> 32 != 0) return "a segment's base has bits above 31";
  return null;
}

/** A limit with low bits clear is in bytes, one beyond 1 MiB in pages. */
function granularityFits(segment: u32): bool {
  const limit = vmread(VMCS.GUEST_ES_LIMIT + 2 * segment);
  const pages = (access(segment) & AR_GRANULARITY) != 0;
  if ((limit & 0xfff) != 0xfff && pages) return false;
  return limit >> 20 == 0 || pages;
}

/** 27.3.1.3. */
function descriptorTables(): string | null {
  if (!isCanonical(vmread(VMCS.GUEST_GDTR_BASE))) return "GDTR.base is not canonical";
  if (!isCanonical(vmread(VMCS.GUEST_IDTR_BASE))) return "IDTR.base is not canonical";
  if (vmread(VMCS.GUEST_GDTR_LIMIT) >> 16 != 0) return "GDTR.limit is above FFFFH";
  if (vmread(VMCS.GUEST_IDTR_LIMIT) >> 16 != 0) return "IDTR.limit is above FFFFH";
  return null;
}

/** 27.3.1.4. */
function instructionPointer(): string | null {
  const rip = vmread(VMCS.GUEST_RIP);
  const flags = vmread(VMCS.GUEST_RFLAGS);
  const code64 = is64() && (access(SEG_CS) & AR_LONG) != 0;
  if (!code64 && rip >> 32 != 0) return "RIP has bits above 31 outside 64-bit code";
  const top = (<i64>rip) >> 48;
  if (code64 && top != 0 && top != -1) return "RIP is not canonical";
  if ((flags & RFLAGS_ZERO) != 0 || (flags & RFLAGS_ONE) == 0) return "RFLAGS has impossible bits";
  if ((flags & RFLAGS_VM) != 0 && (is64() || (vmread(VMCS.GUEST_CR0) & CR0_PE) == 0)) {
    return "RFLAGS.VM is set in long mode or without CR0.PE";
  }
  return null;
}

/** 27.3.1.5, and what 27.2.1.3 says about an event. */
function events(): string | null {
  const blocked = vmread(VMCS.GUEST_INTERRUPTIBILITY);
  const shadow = BLOCKED_BY_STI | BLOCKED_BY_MOV_SS;
  const interruptible = (vmread(VMCS.GUEST_RFLAGS) & RFLAGS_IF) != 0;
  if (vmread(VMCS.GUEST_ACTIVITY) != 0) return "the guest is not active";
  if ((blocked & shadow) == shadow) return "blocked both by STI and by MOV SS";
  if ((blocked & BLOCKED_BY_STI) != 0 && !interruptible) return "blocked by STI with RFLAGS.IF clear";
  const event = <u32>vmread(VMCS.ENTRY_EVENT);
  if ((event & EVENT_VALID) != 0 && (event & EVENT_TYPE) == EVENT_EXTERNAL) {
    if (!interruptible) return "an interrupt is injected with RFLAGS.IF clear";
    if ((blocked & shadow) != 0) return "an interrupt is injected into the shadow of STI or MOV SS";
  }
  return null;
}

/** 27.3.1.6. */
function pdptes(v: HvmVcpu): string | null {
  const pae = (vmread(VMCS.GUEST_CR0) & CR0_PG) != 0 && (vmread(VMCS.GUEST_CR4) & CR4_PAE) != 0 && !is64();
  if (!pae) return null;
  const gpa = vmread(VMCS.GUEST_CR3) & 0xffffffe0;
  if ((p2mLookup(v.p2m, gpa >> 12) & P2M_MFN_MASK) == 0) return "PAE: CR3 points outside the guest's memory";
  for (let i: u32 = 0; i < 4; i++) {
    const entry = vmread(VMCS.GUEST_PDPTE0 + 2 * i);
    if ((entry & 1) != 0 && (entry & 0x1e6) != 0) return "PAE: a page-directory-pointer entry has reserved bits";
  }
  return null;
}
