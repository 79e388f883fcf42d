/**
 * MOV to CR4, the one control register whose writes are checked: it turns on processor features, and a guest may only
 * have those its CPUID shows. Old processors and emulators do not say which register is moved, so the code is read.
 */
import { guestCr4Accepted } from "../cpuid-policy";
import { decode, getRegister, Instruction } from "../decode";
import { HvmExit, HvmVcpu } from "../hvm-vcpu";
import { getCr4, getEfer, is64, setCr4 } from "../state";
import { svmInjectException } from "./inject";
import { svmSkipBytes } from "./vcpu";

const VECTOR_GP: u32 = 13;
const TWO_BYTE_MAP: u32 = 1;
const MOV_TO_CONTROL: u32 = 0x22;
const REX_B: u32 = 1;

const instruction = changetype<Instruction>(memory.data(offsetof<Instruction>()));

/** Does the write, or raises #GP. HvmExit.None; HvmExit.Unknown if RIP holds no such instruction. */
export function svmWriteCr4(v: HvmVcpu): u32 {
  const i = instruction;
  if (!decode(v, i) || i.map != TWO_BYTE_MAP || i.opcode != MOV_TO_CONTROL) return HvmExit.Unknown;
  const held = getRegister(v, (i.modrm & 7) | ((i.rex & REX_B) << 3));
  const value = is64(v) ? held : held & 0xffffffff;
  if (!guestCr4Accepted(getEfer(v), value)) {
    svmInjectException(v, VECTOR_GP, 0, 0);
    return HvmExit.None;
  }
  if (value != getCr4(v)) {
    setCr4(v, value);
    v.flushPending = 1; // paging may mean something else now, and writing CR4 flushes (APM 2, 5.5.2)
  }
  svmSkipBytes(v, i.length);
  return HvmExit.None;
}
