/**
 * MOV to CR4, the one control register whose writes are checked: it turns on processor features, and a guest may only
 * have those its CPUID shows. Old processors and emulators do not say which register is moved, so the code is read.
 */
import { guestCr4Accepted } from "../cpuid-policy";
import { guestFetchCode } from "../guest-memory";
import { HvmExit, HvmVcpu } from "../hvm-vcpu";
import { getCr4, getEfer, getRip, getRsp, is64, setCr4 } from "../state";
import { svmInjectException } from "./inject";
import { svmResumeAt } from "./vcpu";

const LONGEST_INSTRUCTION: u32 = 15;
const code: usize = memory.data(16);
const VECTOR_GP: u32 = 13;
const REX_B: u32 = 1;
const RSP: u32 = 4;

/** Does the write, or raises #GP. HvmExit.None; HvmExit.Unknown if RIP holds no such instruction. */
export function svmWriteCr4(v: HvmVcpu): u32 {
  const length = guestFetchCode(v, code, LONGEST_INSTRUCTION);
  const wide = is64(v);
  let rex: u32 = 0;
  let at: u32 = 0;
  for (; at < length; at++) {
    const byte: u32 = load<u8>(code + at);
    if (wide && byte >> 4 == 4) rex = byte;
    else if (isLegacyPrefix(byte)) rex = 0;
    else break;
  }
  // 0F 22 /r: reg names the control register, r/m the general one (APM 3, MOV CRn).
  if (at + 3 > length || load<u16>(code + at) != 0x220f) return HvmExit.Unknown;
  const register = ((<u32>load<u8>(code + at + 2)) & 7) | ((rex & REX_B) << 3);
  const held = register == RSP ? getRsp(v) : load<u64>(changetype<usize>(v) + 8 * register);
  const value = wide ? held : held & 0xffffffff;
  if (!guestCr4Accepted(getEfer(v), value)) {
    svmInjectException(v, VECTOR_GP, 0, 0);
    return HvmExit.None;
  }
  if (value != getCr4(v)) {
    setCr4(v, value);
    v.flushPending = 1; // paging may mean something else now, and writing CR4 flushes (APM 2, 5.5.2)
  }
  svmResumeAt(v, getRip(v) + at + 3);
  return HvmExit.None;
}

function isLegacyPrefix(byte: u32): bool {
  return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3 || isSegmentPrefix(byte);
}

function isSegmentPrefix(byte: u32): bool {
  return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 || byte == 0x65;
}
