/**
 * Emulates accesses to absent guest-physical memory as on a bus: the local APIC responds at its page; elsewhere
 * reads return all ones and writes are ignored. Also for writes to read-only memory.
 * Supports the instructions that drivers and probing kernels use on such memory: MOV and its variants, arithmetic, TEST, XCHG,
 * and the string moves.
 *
 * An operand that is only partly in memory counts as absent.
 */
import { decode, getRegister, Instruction, linearAddress, regField, signExtend } from "./decode";
import { codeAddress, guestReadData, guestWriteData } from "./guest-memory";
import { HVM_ACCESS_FETCH, HVM_ACCESS_READ, HVM_ACCESS_TABLE, HVM_ACCESS_WRITE, HvmVcpu } from "../hvm-vcpu";
import { injectException } from "../inject";
import { translate, translateError } from "./page-walk";
import { skipBytes } from "./skip";
import { p2mLookup } from "../p2m";
import { getRflags, RFLAGS_DF, SEG_DS, SEG_ES, setRflags, setRsp } from "../state";
import { vlapicCovers, vlapicPageRead, vlapicPageWrite } from "../vlapic/page";
import { VECTOR_PF } from "../vectors";

const ONES: u64 = ~0;

// Arithmetic by the number in the opcode's bits 3..5 or ModRM's reg field.
const ALU_ADD: u32 = 0;
const ALU_OR: u32 = 1;
const ALU_ADC: u32 = 2;
const ALU_SBB: u32 = 3;
const ALU_AND: u32 = 4;
const ALU_SUB: u32 = 5;
const ALU_XOR: u32 = 6;
const ALU_CMP: u32 = 7;

const FLAG_CARRY: u64 = 1 << 0;
const FLAG_PARITY: u64 = 1 << 2;
const FLAG_ADJUST: u64 = 1 << 4;
const FLAG_ZERO: u64 = 1 << 6;
const FLAG_SIGN: u64 = 1 << 7;
const FLAG_OVERFLOW: u64 = 1 << 11;
const FLAGS_ARITHMETIC: u64 = FLAG_CARRY | FLAG_PARITY | FLAG_ADJUST | FLAG_ZERO | FLAG_SIGN | FLAG_OVERFLOW;

const instruction = changetype<Instruction>(memory.data(offsetof<Instruction>()));
const buffer: usize = memory.data(8);
/** Guest-physical address in the local APIC's page that the memory operand names; 0 for any other place. */
let apicGpa: u64 = 0;

/** See hvmEmulateAccess. Where the guest's own tables do not allow the access after all, it gets its page fault. */
export function emulateAccess(v: HvmVcpu): bool {
  // The instruction at RIP has nothing to do with an access made to deliver an event; and there is none in absent memory.
  if (v.eventPending != 0) return false;
  if ((v.exitAccess & (HVM_ACCESS_FETCH | HVM_ACCESS_TABLE)) == HVM_ACCESS_FETCH) return false;
  const i = instruction;
  if (!decode(v, i)) return faults(v, codeAddress(v) + i.available, HVM_ACCESS_FETCH);
  if (i.vector != 0) return false;
  if (i.map == 0 && isString(i.opcode)) return stringMove(v, i);
  if (i.hasMemory == 0) return false;
  if (faults(v, i.address, v.exitAccess & HVM_ACCESS_WRITE ? HVM_ACCESS_WRITE : HVM_ACCESS_READ)) return true;
  if (!(i.map == 0 ? oneByte(v, i) : i.map == 1 && twoBytes(v, i))) return false;
  skipBytes(v, i.length);
  return true;
}

/** Raises a page fault if the guest's tables do not allow an access; whether they do not. If they do, sets apicGpa. */
function faults(v: HvmVcpu, address: u64, access: u32): bool {
  if (translate(v, address, access, buffer) == 0) {
    const gpa = load<u64>(buffer);
    apicGpa = vlapicCovers(v, gpa) && p2mLookup(v.p2m, gpa >> 12) == 0 ? gpa : 0;
    return false;
  }
  injectException(v, VECTOR_PF, translateError, address);
  return true;
}

/** Bit 0 of most opcodes: clear for bytes, set for the operand size. */
function width(i: Instruction): u32 {
  return (i.opcode & 1) == 0 ? 1 : i.operandBytes;
}

function oneByte(v: HvmVcpu, i: Instruction): bool {
  const op = i.opcode;
  const bytes = width(i);
  const reg = (i.modrm >> 3) & 7;
  if (op < 0x40 && (op & 7) < 4) {
    const memory = read(v, i, bytes);
    const register = getOperand(v, i, regField(i), bytes);
    const alu = op >> 3;
    if ((op & 2) == 0) {
      const result = arithmetic(v, alu, memory, register, bytes);
      if (alu != ALU_CMP) write(v, bytes, result);
    } else {
      const result = arithmetic(v, alu, register, memory, bytes);
      if (alu != ALU_CMP) setOperand(v, i, regField(i), bytes, result);
    }
    return true;
  }
  switch (op) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83: {
      const result = arithmetic(v, reg, read(v, i, bytes), i.immediate, bytes);
      if (reg != ALU_CMP) write(v, bytes, result);
      return true;
    }
    case 0x84:
    case 0x85:
      arithmetic(v, ALU_AND, read(v, i, bytes), getOperand(v, i, regField(i), bytes), bytes);
      return true;
    case 0x86:
    case 0x87: {
      const old = read(v, i, bytes);
      write(v, bytes, getOperand(v, i, regField(i), bytes));
      setOperand(v, i, regField(i), bytes, old);
      return true;
    }
    case 0x8a:
    case 0x8b:
      setOperand(v, i, regField(i), bytes, read(v, i, bytes));
      return true;
    case 0x88:
    case 0x89:
      write(v, bytes, getOperand(v, i, regField(i), bytes));
      return true;
    case 0x8c: // from a segment register: 16 bits, which no register of the APIC's takes for anything sensible
      return true;
    case 0xa2:
    case 0xa3:
      write(v, bytes, getOperand(v, i, 0, bytes));
      return true;
    case 0xa0:
    case 0xa1:
      setOperand(v, i, 0, bytes, read(v, i, bytes));
      return true;
    case 0xc6:
    case 0xc7:
      if (reg != 0) return false;
      write(v, bytes, i.immediate);
      return true;
    case 0xf6:
    case 0xf7:
      if (reg < 2) arithmetic(v, ALU_AND, read(v, i, bytes), i.immediate, bytes);
      else if (reg == 2) write(v, bytes, ~read(v, i, bytes)); // NOT
      return reg < 3;
    case 0x63: // MOVSXD
      setOperand(v, i, regField(i), i.operandBytes, signExtend(read(v, i, 4), 4));
      return i.operandBytes == 8;
  }
  return false;
}

function twoBytes(v: HvmVcpu, i: Instruction): bool {
  const from: u32 = (i.opcode & 1) == 0 ? 1 : 2;
  switch (i.opcode) {
    case 0xb6:
    case 0xb7:
      setOperand(v, i, regField(i), i.operandBytes, read(v, i, from));
      return true;
    case 0xbe:
    case 0xbf:
      setOperand(v, i, regField(i), i.operandBytes, signExtend(read(v, i, from), from));
      return true;
    case 0xc3: // MOVNTI
      write(v, i.operandBytes, getOperand(v, i, regField(i), i.operandBytes));
      return true;
  }
  return false;
}

function isString(op: u32): bool {
  return op == 0xa4 || op == 0xa5 || op >> 1 == 0xaa >> 1 || op >> 1 == 0xac >> 1;
}

/** One iteration of MOVS, STOS or LODS; RIP moves on with the last. */
function stringMove(v: HvmVcpu, i: Instruction): bool {
  const bytes = width(i);
  const mask: u64 = i.addressBytes == 8 ? ONES : ((<u64>1) << (8 * i.addressBytes)) - 1;
  const step: u64 = (getRflags(v) & RFLAGS_DF) != 0 ? 0 - <u64>bytes : bytes;
  const reads = i.opcode < 0xaa || i.opcode >= 0xac;
  const writes = i.opcode < 0xac;
  if (i.repeat != 0 && (v.rcx & mask) == 0) {
    skipBytes(v, i.length);
    return true;
  }
  const target = linearAddress(v, i, SEG_ES, v.rdi);
  if (writes && faults(v, target, HVM_ACCESS_WRITE)) return true;
  const targetApic = apicGpa;
  let value = getOperand(v, i, 0, bytes);
  if (reads) {
    i.address = linearAddress(v, i, i.segment == ~0 ? SEG_DS : i.segment, v.rsi);
    if (faults(v, i.address, HVM_ACCESS_READ)) return true;
    value = read(v, i, bytes);
    if (!writes) setOperand(v, i, 0, bytes, value);
  }
  if (writes && targetApic != 0) {
    vlapicPageWrite(v, targetApic, bytes, value);
  } else if (reads && writes) {
    store<u64>(buffer, value);
    const written = guestWriteData(v, target, buffer, bytes);
    if (written != bytes) return faults(v, target + written, HVM_ACCESS_WRITE);
  }
  if (reads) v.rsi = advance(v.rsi, step, mask);
  if (writes) v.rdi = advance(v.rdi, step, mask);
  if (i.repeat != 0) {
    v.rcx = advance(v.rcx, ONES, mask);
    if ((v.rcx & mask) != 0) return true;
  }
  skipBytes(v, i.length);
  return true;
}

/** A register after a change of its low part: 32-bit results clear the upper half, 16-bit ones keep the rest. */
function advance(register: u64, by: u64, mask: u64): u64 {
  return mask == 0xffff ? (register & ~mask) | ((register + by) & mask) : (register + by) & mask;
}

/** The memory operand: the APIC's register, the memory's value if it is present after all, else ones. Upper bits are zero. */
function read(v: HvmVcpu, i: Instruction, bytes: u32): u64 {
  if (apicGpa != 0) return vlapicPageRead(v, apicGpa, bytes);
  store<u64>(buffer, 0);
  if (!guestReadData(v, i.address, buffer, bytes)) store<u64>(buffer, ONES);
  return load<u64>(buffer) & maskOf(bytes);
}

/** Writes the memory operand: the APIC's register; ignored anywhere else. */
function write(v: HvmVcpu, bytes: u32, value: u64): void {
  if (apicGpa != 0) vlapicPageWrite(v, apicGpa, bytes, value);
}

function maskOf(bytes: u32): u64 {
  return bytes == 8 ? ONES : ((<u64>1) << (8 * bytes)) - 1;
}

/** Registers 4..7 of byte instructions without REX are AH, CH, DH, BH. */
function isHighByte(i: Instruction, n: u32, bytes: u32): bool {
  return bytes == 1 && i.rex == 0 && n >= 4;
}

function getOperand(v: HvmVcpu, i: Instruction, n: u32, bytes: u32): u64 {
  if (isHighByte(i, n, bytes)) return (getRegister(v, n - 4) >> 8) & 0xff;
  return getRegister(v, n) & maskOf(bytes);
}

/** A 32-bit result clears the upper half of the register, smaller ones leave the rest alone. */
function setOperand(v: HvmVcpu, i: Instruction, n: u32, bytes: u32, value: u64): void {
  if (isHighByte(i, n, bytes)) {
    n -= 4;
    setRegister(v, n, (getRegister(v, n) & ~(<u64>0xff00)) | ((value & 0xff) << 8));
  } else if (bytes >= 4) {
    setRegister(v, n, value & maskOf(bytes));
  } else {
    const mask = maskOf(bytes);
    setRegister(v, n, (getRegister(v, n) & ~mask) | (value & mask));
  }
}

function setRegister(v: HvmVcpu, n: u32, value: u64): void {
  if (n == 4) setRsp(v, value);
  else store<u64>(changetype<usize>(v) + 8 * n, value);
}

/** Computes `a` ALU `b`, sets the flags as the instruction would, returns the result. */
function arithmetic(v: HvmVcpu, alu: u32, a: u64, b: u64, bytes: u32): u64 {
  const mask = maskOf(bytes);
  const sign: u64 = (<u64>1) << (8 * bytes - 1);
  let flags = getRflags(v);
  const carryIn: u64 = alu == ALU_ADC || alu == ALU_SBB ? flags & FLAG_CARRY : 0;
  flags &= ~FLAGS_ARITHMETIC;
  b &= mask;
  let result: u64 = 0;
  switch (alu) {
    case ALU_ADD:
    case ALU_ADC:
      result = (a + b + carryIn) & mask;
      if (result < a || (carryIn != 0 && result == a)) flags |= FLAG_CARRY;
      if (((a ^ result) & (b ^ result) & sign) != 0) flags |= FLAG_OVERFLOW;
      if (((a ^ b ^ result) & 0x10) != 0) flags |= FLAG_ADJUST;
      break;
    case ALU_SUB:
    case ALU_SBB:
    case ALU_CMP:
      result = (a - b - carryIn) & mask;
      if (a < b || (carryIn != 0 && a == b)) flags |= FLAG_CARRY;
      if (((a ^ b) & (a ^ result) & sign) != 0) flags |= FLAG_OVERFLOW;
      if (((a ^ b ^ result) & 0x10) != 0) flags |= FLAG_ADJUST;
      break;
    case ALU_OR:
      result = a | b;
      break;
    case ALU_AND:
      result = a & b;
      break;
    case ALU_XOR:
      result = a ^ b;
      break;
  }
  if (result == 0) flags |= FLAG_ZERO;
  if ((result & sign) != 0) flags |= FLAG_SIGN;
  if ((popcnt<u64>(result & 0xff) & 1) == 0) flags |= FLAG_PARITY;
  setRflags(v, flags);
  return result;
}
