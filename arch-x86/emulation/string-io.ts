/**
 * INS and OUTS. Processors and emulators differ in the information they report on these, so the instruction is decoded from
 * the guest's code. A guest has no device with string I/O: INS reads ones; OUTS returns a HvmExit.Io for each
 * element. Each exit handles one element of OUTS or a batch of INS: RIP stays at the instruction until its count is used up.
 */
import { decode, Instruction, linearAddress } from "./decode";
import { guestReadData, guestWriteData } from "./guest-memory";
import { HVM_ACCESS_READ, HvmExit, HvmVcpu } from "../hvm-vcpu";
import { injectException } from "../inject";
import { translate, translateError } from "./page-walk";
import { skipBytes } from "./skip";
import { getRflags, RFLAGS_DF, SEG_DS, SEG_ES } from "../state";
import { VECTOR_PF } from "../vectors";

const OPCODE_INS: u32 = 0x6c; // and 0x6d
const OPCODE_OUTS: u32 = 0x6e; // and 0x6f

/** Elements of a repeated INS that are done in one exit. */
const BATCH: u64 = 64;

const instruction = changetype<Instruction>(memory.data(offsetof<Instruction>()));
const element: usize = memory.data(8);
const unusedGpa: usize = memory.data(8);

/**
 * Executes some of the INS or OUTS at RIP. exitPort, exitSize and exitIn are set.
 * @returns HvmExit.None; HvmExit.Io for an OUTS, exitValue holding what is written; HvmExit.Unknown if RIP holds neither
 */
export function stringIo(v: HvmVcpu): u32 {
  const i = instruction;
  if (!decode(v, i) || i.map != 0) return HvmExit.Unknown;
  const kind = i.opcode & ~1;
  if (kind != OPCODE_INS && kind != OPCODE_OUTS) return HvmExit.Unknown;
  const mask: u64 = i.addressBytes == 8 ? ~(<u64>0) : ((<u64>1) << (8 * i.addressBytes)) - 1;
  const count: u64 = i.repeat != 0 ? v.rcx & mask : 1;
  const step: u64 = (getRflags(v) & RFLAGS_DF) != 0 ? 0 - <u64>v.exitSize : v.exitSize;
  let done: u64 = 0;
  if (kind == OPCODE_INS) {
    for (const most = min<u64>(count, BATCH); done < most && inputOnes(v, i); done++) v.rdi = add(v.rdi, step, mask);
  } else if (count != 0 && readElement(v, i)) {
    v.rsi = add(v.rsi, step, mask);
    done = 1;
  }
  if (i.repeat != 0) v.rcx = add(v.rcx, 0 - done, mask);
  if (done == count) skipBytes(v, i.length);
  return kind == OPCODE_OUTS && done != 0 ? HvmExit.Io : HvmExit.None;
}

/** Writes one element of ones to ES:rDI. False: #PF is raised instead. */
function inputOnes(v: HvmVcpu, i: Instruction): bool {
  const to = linearAddress(v, i, SEG_ES, v.rdi);
  store<u64>(element, ~(<u64>0));
  const written = guestWriteData(v, to, element, v.exitSize);
  if (written == v.exitSize) return true;
  injectException(v, VECTOR_PF, translateError, to + written);
  return false;
}

/** Reads one element at DS:rSI, or another segment's, into exitValue. False: #PF is raised instead. */
function readElement(v: HvmVcpu, i: Instruction): bool {
  const from = linearAddress(v, i, i.segment == ~0 ? SEG_DS : i.segment, v.rsi);
  store<u64>(element, ~(<u64>0));
  if (!guestReadData(v, from, element, v.exitSize)) {
    // Not mapped by the guest, or mapped to where nothing answers.
    for (let byte: u32 = 0; byte < v.exitSize; byte++) {
      if (translate(v, from + byte, HVM_ACCESS_READ, unusedGpa) == 0) continue;
      injectException(v, VECTOR_PF, translateError, from + byte);
      return false;
    }
  }
  v.exitValue = load<u32>(element) & (0xffffffff >> (32 - 8 * v.exitSize));
  return true;
}

/** A register after a change of its low part: 32-bit results clear the upper half, 16-bit ones keep the rest. */
function add(register: u64, by: u64, mask: u64): u64 {
  return mask == 0xffff ? (register & ~mask) | ((register + by) & mask) : (register + by) & mask;
}
