/**
 * Decodes the instruction at a guest's RIP: its length, for exits that do not report it, and its operands, for
 * emulate-access.ts. Supports the encodings of SDM 2, appendix A: one, two and three-byte opcodes, VEX and EVEX, in 16-bit,
 * 32-bit and 64-bit code.
 */
import { guestFetchCode } from "./guest-memory";
import { HvmVcpu } from "../hvm-vcpu";
import {
  ATTR_DB,
  getRip,
  getRsp,
  getSegmentAttributes,
  getSegmentBase,
  is64,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
} from "../state";

/** Longest instruction the processor accepts. */
const LONGEST: u32 = 15;

/** An instruction, as decode() finds it. */
@unmanaged
export class Instruction {
  /** The code, LONGEST bytes of which `available` could be read; `length` is the instruction's. */
  code0: u64;
  code1: u64;
  available: u32;
  length: u32;
  /** 0 one byte, 1 after 0F, 2 after 0F 38, 3 after 0F 3A. */
  map: u32;
  opcode: u32;
  modrm: u32;
  /** 0x40..0x4f, 0 without. */
  rex: u32;
  /** 1: encoded with VEX or EVEX. */
  vector: u32;
  /** Bytes of operands that follow the operand size: 2, 4, 8; and of addresses. */
  operandBytes: u32;
  addressBytes: u32;
  /** 0xf2, 0xf3, or 0. */
  repeat: u32;
  /** SEG_* of the memory operand. */
  segment: u32;
  /** 1: ModRM or the opcode names memory, at linear address `address`. */
  hasMemory: u32;
  address: u64;
  /** Sign-extended from its size. */
  immediate: u64;
}

// What follows an opcode.
const MODRM: u32 = 1 << 0;
const IMM8: u32 = 1 << 1;
const IMM16: u32 = 1 << 2;
const IMM_OPERAND: u32 = 1 << 3; // 2 or 4 bytes
const IMM_FULL: u32 = 1 << 4; // 2, 4 or 8: MOV to a register
const OFFSET: u32 = 1 << 5; // an address: MOV between memory and the accumulator
const FAR: u32 = 1 << 6; // an operand-size offset and a selector
const INVALID: u32 = 1 << 7;

const REX_W: u32 = 8;
const REX_R: u32 = 4;
const REX_X: u32 = 2;
const REX_B: u32 = 1;

const scratch = changetype<Instruction>(memory.data(offsetof<Instruction>()));

/** Length in bytes of the instruction at RIP; 0 when it cannot be read or is none. */
export function instructionLength(v: HvmVcpu): u32 {
  // Two bytes without operands: CPUID, RDMSR, WRMSR, INVD, WBINVD as everyone writes them.
  const code = changetype<usize>(scratch);
  if (guestFetchCode(v, code, 2) == 2 && load<u8>(code) == 0x0f && afterTwoBytes(load<u8>(code, 1)) == 0) return 2;
  return decode(v, scratch) ? scratch.length : 0;
}

/** The register named by a ModRM or SIB field, with RSP where it really is. */
export function getRegister(v: HvmVcpu, n: u32): u64 {
  return n == 4 ? getRsp(v) : load<u64>(changetype<usize>(v) + 8 * n);
}

/** Decodes the instruction at RIP into `i`. False: its bytes cannot be read, or it is none. */
export function decode(v: HvmVcpu, i: Instruction): bool {
  memory.fill(changetype<usize>(i), 0, offsetof<Instruction>());
  i.available = guestFetchCode(v, changetype<usize>(i), LONGEST);
  const wide = is64(v);
  const large = wide || (getSegmentAttributes(v, SEG_CS) & ATTR_DB) != 0;
  i.segment = ~0;
  const swapped = prefixes(i, wide);
  i.operandBytes = (i.rex & REX_W) != 0 ? 8 : large != ((swapped & 1) != 0) ? 4 : 2;
  if (wide) i.addressBytes = (swapped & 2) != 0 ? 4 : 8;
  else i.addressBytes = large != ((swapped & 2) != 0) ? 4 : 2;

  let follows = opcode(i, wide);
  if ((follows & INVALID) != 0) return false;
  let displacement: u64 = 0;
  if ((follows & MODRM) != 0) {
    i.modrm = next(i);
    // TEST is the only one of its group that has an immediate.
    if (i.map == 0 && i.opcode >> 1 == 0xf6 >> 1 && ((i.modrm >> 3) & 7) < 2)
      follows |= i.opcode == 0xf6 ? IMM8 : IMM_OPERAND;
    // MOV to and from control and debug registers has no memory form, whatever ModRM says.
    const registers = i.map == 1 && i.opcode >= 0x20 && i.opcode <= 0x23 && i.vector == 0;
    if (i.modrm < 0xc0 && !registers) {
      i.hasMemory = 1;
      displacement = i.addressBytes == 2 ? address16(v, i) : address32(v, i);
    }
  }
  if ((follows & OFFSET) != 0) {
    i.hasMemory = 1;
    displacement = take(i, i.addressBytes);
  }
  const operand = i.operandBytes == 2 ? 2 : 4;
  if ((follows & IMM16) != 0) i.immediate = take(i, 2);
  if ((follows & IMM8) != 0) i.immediate = signExtend(take(i, 1), 1);
  if ((follows & IMM_OPERAND) != 0) i.immediate = signExtend(take(i, operand), operand);
  if ((follows & IMM_FULL) != 0) i.immediate = take(i, i.operandBytes);
  if ((follows & FAR) != 0) take(i, operand + 2);
  if (i.length > i.available) return false;
  if (i.hasMemory != 0) {
    // RIP-relative: from the end of the instruction, known only now.
    if (wide && (follows & MODRM) != 0 && (i.modrm & 0xc7) == 5) displacement += getRip(v) + i.length;
    i.address = linearAddress(v, i, i.segment == ~0 ? SEG_DS : i.segment, displacement);
  }
  return true;
}

/** Linear address of `offset`, cut to the address size, in a segment. In 64-bit mode only FS and GS have a base. */
export function linearAddress(v: HvmVcpu, i: Instruction, segment: u32, offset: u64): u64 {
  if (i.addressBytes != 8) offset &= ((<u64>1) << (8 * i.addressBytes)) - 1;
  if (is64(v)) return segment == SEG_FS || segment == SEG_GS ? getSegmentBase(v, segment) + offset : offset;
  return (getSegmentBase(v, segment) + offset) & 0xffffffff;
}

/** Sign-extends the low `bytes` of a value to 64 bits. */
export function signExtend(value: u64, bytes: u32): u64 {
  const unused: i64 = 64 - 8 * bytes;
  return <u64>(((<i64>value) << unused) >> unused);
}

/** The next byte of code; 0 beyond what could be read, which decode() notices at the end. */
function next(i: Instruction): u32 {
  const at = i.length++;
  return at < i.available ? <u32>load<u8>(changetype<usize>(i) + at) : 0;
}

/** The next `bytes` bytes as a number. */
function take(i: Instruction, bytes: u32): u64 {
  let value: u64 = 0;
  for (let n: u32 = 0; n < bytes; n++) value |= (<u64>next(i)) << (8 * n);
  return value;
}

/** Reads prefixes. Returns bit 0 for an operand-size prefix, bit 1 for an address-size prefix. */
function prefixes(i: Instruction, wide: bool): u32 {
  let swapped: u32 = 0;
  while (i.length < i.available) {
    const byte = next(i);
    if (wide && byte >> 4 == 4) {
      i.rex = byte;
      continue;
    }
    if (byte == 0x66) swapped |= 1;
    else if (byte == 0x67) swapped |= 2;
    else if (byte == 0xf2 || byte == 0xf3) i.repeat = byte;
    else if (byte == 0x64) i.segment = SEG_FS;
    else if (byte == 0x65) i.segment = SEG_GS;
    else if ((byte & 0xe7) == 0x26) {
      // ES CS SS DS; in 64-bit mode without effect
      if (!wide) i.segment = byte == 0x26 ? SEG_ES : byte == 0x2e ? SEG_CS : byte == 0x36 ? SEG_SS : SEG_DS;
    } else if (byte != 0xf0) {
      i.length--;
      break;
    }
    i.rex = 0; // counts only directly before the opcode
  }
  return swapped;
}

/** Reads the opcode; returns what follows it. */
function opcode(i: Instruction, wide: bool): u32 {
  i.opcode = next(i);
  if (i.opcode == 0x0f) {
    i.map = 1;
    i.opcode = next(i);
    if (i.opcode == 0x38 || i.opcode == 0x3a) {
      i.map = i.opcode == 0x38 ? 2 : 3;
      i.opcode = next(i);
    }
    return i.map == 1 ? afterTwoBytes(i.opcode) : i.map == 2 ? MODRM : MODRM | IMM8;
  }
  // C4, C5, 62 with a register operand are not valid as LDS, LES, BOUND: that identifies VEX and EVEX outside 64-bit mode.
  const first = i.opcode;
  if (first == 0xc4 || first == 0xc5 || first == 0x62) {
    const second = next(i);
    i.length--;
    if (wide || second >= 0xc0) {
      i.vector = 1;
      i.map = first == 0xc5 ? 1 : second & (first == 0x62 ? 7 : 0x1f);
      for (let n: u32 = first == 0xc5 ? 1 : first == 0xc4 ? 2 : 3; n > 0; n--) next(i);
      i.opcode = next(i);
      if (i.map == 1) return i.opcode == 0x77 ? 0 : MODRM | (afterTwoBytes(i.opcode) & IMM8);
      return i.map == 3 ? MODRM | IMM8 : i.map == 0 ? INVALID : MODRM;
    }
  }
  return afterOneByte(first, wide);
}

/** SDM 2D, table A-2. */
function afterOneByte(op: u32, wide: bool): u32 {
  if (op < 0x40) {
    const column = op & 7;
    if (column < 4) return MODRM;
    return column == 4 ? IMM8 : column == 5 ? IMM_OPERAND : wide ? INVALID : 0;
  }
  switch (op >> 4) {
    case 0x4:
    case 0x5:
    case 0x9:
      return op == 0x9a ? (wide ? INVALID : FAR) : 0;
    case 0x6:
      if (op == 0x62 || op == 0x63) return MODRM;
      if (op == 0x68) return IMM_OPERAND;
      if (op == 0x69) return MODRM | IMM_OPERAND;
      return op == 0x6a ? IMM8 : op == 0x6b ? MODRM | IMM8 : 0;
    case 0x7:
      return IMM8;
    case 0x8:
      return op == 0x81 ? MODRM | IMM_OPERAND : op <= 0x83 ? MODRM | IMM8 : MODRM;
    case 0xa:
      if (op < 0xa4) return OFFSET;
      return op == 0xa8 ? IMM8 : op == 0xa9 ? IMM_OPERAND : 0;
    case 0xb:
      return op < 0xb8 ? IMM8 : IMM_FULL;
    case 0xc:
      if (op < 0xc2 || op == 0xc6) return MODRM | IMM8;
      if (op == 0xc2 || op == 0xca) return IMM16;
      if (op == 0xc4 || op == 0xc5) return MODRM;
      if (op == 0xc7) return MODRM | IMM_OPERAND;
      return op == 0xc8 ? IMM16 | IMM8 : op == 0xcd ? IMM8 : 0;
    case 0xd:
      return op == 0xd4 || op == 0xd5 ? IMM8 : op == 0xd6 || op == 0xd7 ? 0 : MODRM;
    case 0xe:
      if (op < 0xe8 || op == 0xeb) return IMM8;
      return op < 0xea ? IMM_OPERAND : op == 0xea ? (wide ? INVALID : FAR) : 0;
    default:
      return op == 0xf6 || op == 0xf7 || op >= 0xfe ? MODRM : 0;
  }
}

/** SDM 2D, table A-3. */
function afterTwoBytes(op: u32): u32 {
  if (op == 0x04 || op == 0x0a || op == 0x0c || (op >= 0x24 && op <= 0x27)) return INVALID;
  if (op >= 0x05 && op <= 0x0e) return op == 0x0d ? MODRM : 0;
  if (op == 0x0f) return MODRM | IMM8;
  if (op >= 0x30 && op <= 0x3f) return op <= 0x37 ? 0 : INVALID;
  if (op >= 0x70 && op <= 0x73) return MODRM | IMM8;
  if (op >= 0x80 && op <= 0x8f) return IMM_OPERAND;
  switch (op) {
    case 0x77:
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa8:
    case 0xa9:
    case 0xaa:
      return 0;
    case 0xa4:
    case 0xac:
    case 0xba:
    case 0xc2:
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return MODRM | IMM8;
  }
  return op >= 0xc8 && op <= 0xcf ? 0 : MODRM;
}

/** Offset of a memory operand with 16-bit addressing (SDM 2A, table 2-1). */
function address16(v: HvmVcpu, i: Instruction): u64 {
  const mod = i.modrm >> 6;
  let offset: u64 = 0;
  let segment = SEG_DS;
  switch (i.modrm & 7) {
    case 0:
      offset = v.rbx + v.rsi;
      break;
    case 1:
      offset = v.rbx + v.rdi;
      break;
    case 2:
      offset = v.rbp + v.rsi;
      segment = SEG_SS;
      break;
    case 3:
      offset = v.rbp + v.rdi;
      segment = SEG_SS;
      break;
    case 4:
      offset = v.rsi;
      break;
    case 5:
      offset = v.rdi;
      break;
    case 6:
      if (mod == 0) return take(i, 2);
      offset = v.rbp;
      segment = SEG_SS;
      break;
    default:
      offset = v.rbx;
  }
  if (i.segment == ~0) i.segment = segment;
  const bytes: u32 = mod; // 0, 1 or 2
  return bytes == 0 ? offset : offset + signExtend(take(i, bytes), bytes);
}

/** The same with 32-bit and 64-bit addressing (tables 2-2, 2-3); RIP is not added yet. */
function address32(v: HvmVcpu, i: Instruction): u64 {
  const mod = i.modrm >> 6;
  let base = i.modrm & 7;
  let offset: u64 = 0;
  if (base == 4) {
    const sib = next(i);
    const index = ((sib >> 3) & 7) | (i.rex & REX_X ? 8 : 0);
    if (index != 4) offset = getRegister(v, index) << (sib >> 6);
    base = sib & 7;
    if (base == 5 && mod == 0) return offset + signExtend(take(i, 4), 4);
  } else if (base == 5 && mod == 0) {
    return signExtend(take(i, 4), 4);
  }
  if (i.segment == ~0 && (base == 4 || base == 5) && (i.rex & REX_B) == 0) i.segment = SEG_SS;
  offset += getRegister(v, base | (i.rex & REX_B ? 8 : 0));
  if (mod == 0) return offset;
  const bytes: u32 = mod == 1 ? 1 : 4;
  return offset + signExtend(take(i, bytes), bytes);
}

/** Number of the register in ModRM's reg field. */
export function regField(i: Instruction): u32 {
  return ((i.modrm >> 3) & 7) | (i.rex & REX_R ? 8 : 0);
}
