/**
 * INS and OUTS. The processors and emulators do not agree on what they tell of these, so the instruction is read from
 * the guest's code. Behind a guest's ports is no memory-moving device: INS reads ones; OUTS makes a HvmExit.Io of each
 * element. One element, or one page of INS, an exit: RIP stays at the instruction until its count is used up.
 */
import { guestFetchCode, guestFillOnes, guestReadData } from "./guest-memory";
import { HvmExit, HvmVcpu } from "./hvm-vcpu";
import { injectException } from "./inject";
import {
  ATTR_DB,
  clearInterruptShadow,
  getCpl,
  getRflags,
  getRip,
  getSegmentAttributes,
  getSegmentBase,
  is64,
  RFLAGS_DF,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SS,
  setRip,
} from "./state";

const LONGEST_INSTRUCTION: u32 = 15;
const code: usize = memory.data(16);
const element: usize = memory.data(8);

const VECTOR_PF: u32 = 14;
const PF_WRITE: i32 = 1 << 1;
const PF_USER: i32 = 1 << 2;

/** Elements of a repeated INS that are done in one exit. */
const BATCH: u64 = 64;

/**
 * Executes some of the INS or OUTS at RIP. exitPort, exitSize and exitIn are set.
 * @returns HvmExit.None; HvmExit.Io for an OUTS, exitValue holding what is written; HvmExit.Unknown if RIP holds none
 */
export function stringIo(v: HvmVcpu): u32 {
  const length = guestFetchCode(v, code, LONGEST_INSTRUCTION);
  const wide = is64(v);
  let addressBits: u32 = wide ? 64 : getSegmentAttributes(v, SEG_CS) & ATTR_DB ? 32 : 16;
  let segment = SEG_DS;
  let repeated = false;
  let at: u32 = 0;
  for (; at < length; at++) {
    const byte: u32 = load<u8>(code + at);
    if (byte == 0xf2 || byte == 0xf3) repeated = true;
    else if (byte == 0x67) addressBits = addressBits == 32 ? 16 : 32;
    else if (byte == 0x26) segment = SEG_ES;
    else if (byte == 0x2e) segment = SEG_CS;
    else if (byte == 0x36) segment = SEG_SS;
    else if (byte == 0x3e) segment = SEG_DS;
    else if (byte == 0x64) segment = SEG_FS;
    else if (byte == 0x65) segment = SEG_GS;
    else if (byte != 0x66 && byte != 0xf0 && !(wide && byte >> 4 == 4)) break;
  }
  if (at >= length || load<u8>(code + at) >> 2 != 0x6c >> 2) return HvmExit.Unknown;
  const input = load<u8>(code + at) < 0x6e;
  const next = getRip(v) + at + 1;

  const mask: u64 = addressBits == 64 ? ~(<u64>0) : ((<u64>1) << addressBits) - 1;
  const count: u64 = repeated ? v.rcx & mask : 1;
  if (count == 0) return past(v, next);
  let done: u64 = 0;
  if (input) {
    done = inputOnes(v, mask, min<u64>(count, BATCH));
  } else {
    const from = linear(v, segment, v.rsi & mask);
    if (guestReadData(v, from, element, v.exitSize)) {
      done = 1;
      v.exitValue = load<u32>(element) & (0xffffffff >> (32 - 8 * v.exitSize));
      v.rsi = merge(v.rsi, v.rsi + step(v), mask);
    } else {
      injectException(v, VECTOR_PF, getCpl(v) == 3 ? PF_USER : 0, from);
    }
  }
  if (repeated) v.rcx = merge(v.rcx, v.rcx - done, mask);
  if (done == count) past(v, next);
  return input || done == 0 ? HvmExit.None : HvmExit.Io;
}

/** Writes up to `count` elements of ones to ES:rDI and moves rDI; raises #PF where it stops early. */
function inputOnes(v: HvmVcpu, mask: u64, count: u64): u64 {
  for (let done: u64 = 0; done < count; done++) {
    const to = linear(v, SEG_ES, v.rdi & mask);
    const written = guestFillOnes(v, to, v.exitSize);
    if (written != v.exitSize) {
      injectException(v, VECTOR_PF, PF_WRITE | (getCpl(v) == 3 ? PF_USER : 0), to + written);
      return done;
    }
    v.rdi = merge(v.rdi, v.rdi + step(v), mask);
  }
  return count;
}

/** What is added to the index register, as two's complement. */
function step(v: HvmVcpu): u64 {
  return (getRflags(v) & RFLAGS_DF) != 0 ? 0 - <u64>v.exitSize : v.exitSize;
}

/** The register after a change of its low part: 32-bit results clear the upper half in long mode, 16-bit ones keep it. */
function merge(old: u64, value: u64, mask: u64): u64 {
  return mask == 0xffff ? (old & ~mask) | (value & mask) : value & mask;
}

/** In 64-bit mode only FS and GS have a base. */
function linear(v: HvmVcpu, segment: u32, offset: u64): u64 {
  if (is64(v)) return segment == SEG_FS || segment == SEG_GS ? getSegmentBase(v, segment) + offset : offset;
  return (getSegmentBase(v, segment) + offset) & 0xffffffff;
}

function past(v: HvmVcpu, next: u64): u32 {
  setRip(v, is64(v) ? next : next & 0xffffffff);
  clearInterruptShadow(v);
  return HvmExit.None;
}
