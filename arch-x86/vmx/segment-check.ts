/** VM entry's checks of the guest's segment registers (SDM 3C, 27.3.1.2), in the SDM's order. */
import { CR0_PE } from "../control-bits";
import { breaksPart, isCanonical } from "../entry-rule";
import { vmread } from "../hw";
import { RFLAGS_VM } from "../state";
import { ENTRY_GUEST_64, isUnrestricted } from "./controls";
import { VMCS } from "./vmcs";

/** Of a selector: the table indicator, and the privilege level. */
const TI: u64 = 1 << 2;
const RPL: u64 = 3;

// Access rights (table 25-2).
const AR_TYPE: u32 = 0xf;
const AR_S: u32 = 1 << 4;
const AR_PRESENT: u32 = 1 << 7;
const AR_LONG: u32 = 1 << 13;
const AR_DB: u32 = 1 << 14;
const AR_GRANULARITY: u32 = 1 << 15;
const AR_UNUSABLE: u32 = 1 << 16;
const AR_RESERVED: u32 = 0xfffe0f00;
/** Of a segment in virtual-8086 mode: read/write data, accessed, ring 3, present. */
const AR_VIRTUAL_8086: u32 = 0xf3;

// Segments as VMCS fields order them.
const ES: u32 = 0;
const CS: u32 = 1;
const SS: u32 = 2;
const DS: u32 = 3;
const FS: u32 = 4;
const GS: u32 = 5;
const LDTR: u32 = 6;
const TR: u32 = 7;
const NAMES: StaticArray<string> = [
  "guest ES",
  "guest CS",
  "guest SS",
  "guest DS",
  "guest FS",
  "guest GS",
  "guest LDTR",
  "guest TR",
];

function selector(segment: u32): u64 {
  return vmread(VMCS.GUEST_ES_SELECTOR + 2 * segment);
}
function base(segment: u32): u64 {
  return vmread(VMCS.GUEST_ES_BASE + 2 * segment);
}
function limit(segment: u32): u64 {
  return vmread(VMCS.GUEST_ES_LIMIT + 2 * segment);
}
function rights(segment: u32): u32 {
  return <u32>vmread(VMCS.GUEST_ES_ACCESS + 2 * segment);
}
function dpl(segment: u32): u32 {
  return (rights(segment) >> 5) & 3;
}
function isUsable(segment: u32): bool {
  return (rights(segment) & AR_UNUSABLE) == 0;
}

function selectorBreaks(segment: u32, text: string): bool {
  return breaksPart(NAMES[segment], " selector", selector(segment), text);
}
function baseBreaks(segment: u32, text: string): bool {
  return breaksPart(NAMES[segment], " base", base(segment), text);
}
function limitBreaks(segment: u32, text: string): bool {
  return breaksPart(NAMES[segment], " limit", limit(segment), text);
}
function rightsBreak(segment: u32, text: string): bool {
  return breaksPart(NAMES[segment], " access rights", rights(segment), text);
}

/** Whether one is broken; entry-rule.ts then knows which. The VMCS is current. */
export function vmxSegmentsBroken(): bool {
  const virtual8086 = (vmread(VMCS.GUEST_RFLAGS) & RFLAGS_VM) != 0;
  if (selectorsBroken(virtual8086) || basesBroken(virtual8086)) return true;
  for (let segment = ES; segment <= GS; segment++) {
    if (virtual8086 ? virtualBroken(segment) : protectedBroken(segment)) return true;
  }
  return taskBroken() || localTableBroken();
}

function selectorsBroken(virtual8086: bool): bool {
  if ((selector(TR) & TI) != 0) return selectorBreaks(TR, "it names the local descriptor table");
  if (isUsable(LDTR) && (selector(LDTR) & TI) != 0) return selectorBreaks(LDTR, "it names the local descriptor table");
  if (!virtual8086 && !isUnrestricted() && (selector(SS) & RPL) != (selector(CS) & RPL)) {
    return selectorBreaks(SS, "its privilege level differs from CS's");
  }
  return false;
}

function basesBroken(virtual8086: bool): bool {
  for (let segment = ES; virtual8086 && segment <= GS; segment++) {
    if (base(segment) != selector(segment) << 4) {
      return baseBreaks(segment, "in virtual-8086 mode it must be the selector times 16");
    }
  }
  if (!isCanonical(base(TR))) return baseBreaks(TR, "it is not canonical");
  if (!isCanonical(base(FS))) return baseBreaks(FS, "it is not canonical");
  if (!isCanonical(base(GS))) return baseBreaks(GS, "it is not canonical");
  if (isUsable(LDTR) && !isCanonical(base(LDTR))) return baseBreaks(LDTR, "it is not canonical");
  for (let segment = ES; segment <= DS; segment++) {
    if ((segment == CS || isUsable(segment)) && base(segment) >> 32 != 0) {
      return baseBreaks(segment, "it has bits above 31");
    }
  }
  return false;
}

/** In virtual-8086 mode everything about a segment follows from its selector. */
function virtualBroken(segment: u32): bool {
  if (limit(segment) != 0xffff) return limitBreaks(segment, "in virtual-8086 mode it must be FFFFH");
  if (rights(segment) != AR_VIRTUAL_8086) return rightsBreak(segment, "in virtual-8086 mode they must be F3H");
  return false;
}

function protectedBroken(segment: u32): bool {
  if (segment == CS) {
    if (codeBroken()) return true;
  } else if (isUsable(segment)) {
    const type = rights(segment) & AR_TYPE;
    if (segment == SS) {
      if (type != 3 && type != 7) return rightsBreak(SS, "it is no accessed, writable data segment");
    } else {
      if ((type & 1) == 0) return rightsBreak(segment, "it is not accessed");
      if ((type & 8) != 0 && (type & 2) == 0) return rightsBreak(segment, "it is code that cannot be read");
    }
  }
  if (segment == SS && stackLevelBroken()) return true;
  if (segment != CS && !isUsable(segment)) return false;
  const all = rights(segment);
  if ((all & AR_S) == 0) return rightsBreak(segment, "it is a system segment");
  if (segment != CS && segment != SS && levelBroken(segment)) return true;
  if ((all & AR_PRESENT) == 0) return rightsBreak(segment, "it is usable and not present");
  if ((all & AR_RESERVED) != 0) return rightsBreak(segment, "they have reserved bits");
  if (segment == CS && is64() && (all & AR_LONG) != 0 && (all & AR_DB) != 0) {
    return rightsBreak(CS, "L and D are both set in long mode");
  }
  return granularityBroken(segment);
}

function is64(): bool {
  return (vmread(VMCS.ENTRY_CONTROLS) & ENTRY_GUEST_64) != 0;
}

/** Type and DPL of CS. */
function codeBroken(): bool {
  if (!isUsable(CS)) return rightsBreak(CS, "it is unusable");
  const type = rights(CS) & AR_TYPE;
  if (type == 3) {
    if (!isUnrestricted()) return rightsBreak(CS, "it is a data segment, and the guest is not unrestricted");
    if (dpl(CS) != 0) return rightsBreak(CS, "it is a data segment with a DPL other than 0");
  } else if (type == 9 || type == 11) {
    if (dpl(CS) != dpl(SS)) return rightsBreak(CS, "its DPL differs from SS's");
  } else if (type == 13 || type == 15) {
    if (dpl(CS) > dpl(SS)) return rightsBreak(CS, "it is conforming with a DPL above SS's");
  } else {
    return rightsBreak(CS, "it is no accessed code segment");
  }
  return false;
}

function stackLevelBroken(): bool {
  if (!isUnrestricted() && dpl(SS) != (selector(SS) & RPL)) {
    return rightsBreak(SS, "its DPL differs from its selector's privilege level");
  }
  if (dpl(SS) == 0) return false;
  if ((rights(CS) & AR_TYPE) == 3) return rightsBreak(SS, "its DPL is not 0 although CS is a data segment");
  if ((vmread(VMCS.GUEST_CR0) & CR0_PE) == 0) return rightsBreak(SS, "its DPL is not 0 in real mode");
  return false;
}

function levelBroken(segment: u32): bool {
  if (isUnrestricted() || (rights(segment) & AR_TYPE) > 11 || dpl(segment) >= (selector(segment) & RPL)) return false;
  return rightsBreak(segment, "its DPL is below its selector's privilege level");
}

/** A limit with low bits clear is in bytes, one beyond 1 MiB in pages. */
function granularityBroken(segment: u32): bool {
  const bytes = limit(segment);
  const pages = (rights(segment) & AR_GRANULARITY) != 0;
  if (pages && (bytes & 0xfff) != 0xfff) {
    return limitBreaks(segment, "with granularity in pages its low 12 bits must be ones");
  }
  if (!pages && bytes >> 20 != 0) return limitBreaks(segment, "above 1 MiB it needs granularity in pages");
  return false;
}

function taskBroken(): bool {
  const all = rights(TR);
  const type = all & AR_TYPE;
  if (is64() && type != 11) return rightsBreak(TR, "it is no busy 64-bit task state segment");
  if (type != 3 && type != 11) return rightsBreak(TR, "it is no busy task state segment");
  if ((all & AR_S) != 0) return rightsBreak(TR, "it is no system segment");
  if ((all & AR_PRESENT) == 0) return rightsBreak(TR, "it is not present");
  if ((all & AR_UNUSABLE) != 0) return rightsBreak(TR, "it is unusable");
  if ((all & AR_RESERVED) != 0) return rightsBreak(TR, "they have reserved bits");
  return granularityBroken(TR);
}

function localTableBroken(): bool {
  if (!isUsable(LDTR)) return false;
  const all = rights(LDTR);
  if ((all & AR_TYPE) != 2) return rightsBreak(LDTR, "it is no local descriptor table");
  if ((all & AR_S) != 0) return rightsBreak(LDTR, "it is no system segment");
  if ((all & AR_PRESENT) == 0) return rightsBreak(LDTR, "it is usable and not present");
  if ((all & AR_RESERVED) != 0) return rightsBreak(LDTR, "they have reserved bits");
  return granularityBroken(LDTR);
}
