/**
 * Writes to CR0, CR4 and CR8. CR4 enables processor features, and a guest may only enable those in its
 * CPUID. CR0 because QEMU lets a guest load values that VMRUN then refuses (and its selective intercept ignores bits 32 and
 * up). CR8 only when task-priority.ts intercepts it. Old processors and emulators do not report the source register, so the
 * instruction is decoded.
 */
import { CR0_ET, CR0_PE, CR0_PG, CR0_TS, CR4_PAE, EFER_LMA, EFER_LME } from "../control-bits";
import { guestCr0Accepted, guestCr4Accepted } from "../cpuid-policy";
import { decode, getRegister, Instruction } from "../emulation/decode";
import { guestReadData } from "../emulation/guest-memory";
import { HVM_ACCESS_READ, HvmExit, HvmVcpu } from "../hvm-vcpu";
import { translate, translateError } from "../emulation/page-walk";
import { getCr0, getCr4, getEfer, is64, setCr0, setCr4, setEfer } from "../state";
import { apicExit, writeTaskPriority } from "../vlapic/state";
import { svmInjectException } from "./inject";
import { svmSkipBytes } from "./vcpu";
import { V_TPR } from "./vmcb";
import { VECTOR_PF, VECTOR_GP } from "../vectors";

const TWO_BYTE_MAP: u32 = 1;
const MOV_TO_CONTROL: u32 = 0x22;
const GROUP_7: u32 = 0x01; // LMSW is its /6
const LMSW: u32 = 6;
const CLTS: u32 = 0x06;
const REX_B: u32 = 1;

const CR0_LMSW: u64 = 0xf;

const instruction = changetype<Instruction>(memory.data(offsetof<Instruction>()));
const word: usize = memory.data(8);
const unusedGpa: usize = memory.data(8);

/** MOV to CR0, CLTS or LMSW. HvmExit.None; HvmExit.Unknown if RIP holds none of them. */
export function svmWriteCr0(v: HvmVcpu): u32 {
  const i = instruction;
  if (!decode(v, i) || i.map != TWO_BYTE_MAP) return HvmExit.Unknown;
  const old = getCr0(v);
  let value: u64 = 0;
  if (i.opcode == MOV_TO_CONTROL) {
    value = source(v, i);
  } else if (i.opcode == CLTS) {
    value = old & ~CR0_TS;
  } else if (i.opcode == GROUP_7 && ((i.modrm >> 3) & 7) == LMSW) {
    if (i.hasMemory == 0) store<u64>(word, source(v, i));
    else if (!readWord(v, i.address)) return HvmExit.None;
    value = (old & ~CR0_LMSW) | (load<u64>(word) & CR0_LMSW) | (old & CR0_PE); // LMSW never clears PE
  } else {
    return HvmExit.Unknown;
  }
  return finish(v, i, loadCr0(v, old, value), ((old ^ value) & ~CR0_LMSW) != 0);
}

/** Reads LMSW's operand into `word`. False: #PF is raised instead. */
function readWord(v: HvmVcpu, address: u64): bool {
  store<u64>(word, 0);
  if (guestReadData(v, address, word, 2)) return true;
  for (let byte: u64 = 0; byte < 2; byte++) {
    if (translate(v, address + byte, HVM_ACCESS_READ, unusedGpa) == 0) continue;
    svmInjectException(v, VECTOR_PF, translateError, address + byte);
    return false;
  }
  store<u64>(word, 0xffff); // mapped by the guest to where nothing answers
  return true;
}

/** APM 2, 3.1.1 and 14.6. False: #GP. */
function loadCr0(v: HvmVcpu, old: u64, value: u64): bool {
  if (!guestCr0Accepted(value)) return false;
  let efer = getEfer(v);
  if (((old ^ value) & CR0_PG) != 0 && (efer & EFER_LME) != 0) {
    if ((value & CR0_PG) != 0) {
      if ((getCr4(v) & CR4_PAE) == 0) return false;
      efer |= EFER_LMA;
    } else {
      if (is64(v)) return false;
      efer &= ~EFER_LMA;
    }
    setEfer(v, efer);
  }
  setCr0(v, value | CR0_ET);
  return true;
}

/** MOV to CR4. HvmExit.None; HvmExit.Unknown if RIP holds no such instruction. */
export function svmWriteCr4(v: HvmVcpu): u32 {
  const i = instruction;
  if (!decode(v, i) || i.map != TWO_BYTE_MAP || i.opcode != MOV_TO_CONTROL) return HvmExit.Unknown;
  const value = source(v, i);
  const accepted = guestCr4Accepted(getEfer(v), value);
  if (accepted) setCr4(v, value);
  return finish(v, i, accepted, true);
}

/** MOV to CR8: the task priority, of which the local APIC has the rest. HvmExit.None, HvmExit.Apic, HvmExit.Unknown. */
export function svmWriteCr8(v: HvmVcpu): u32 {
  const i = instruction;
  if (!decode(v, i) || i.map != TWO_BYTE_MAP || i.opcode != MOV_TO_CONTROL) return HvmExit.Unknown;
  const value = source(v, i);
  const accepted = (value & ~V_TPR) == 0;
  if (accepted) writeTaskPriority(v, <u32>value);
  finish(v, i, accepted, false);
  return apicExit(v);
}

/** The register named by ModRM's r/m field. */
function source(v: HvmVcpu, i: Instruction): u64 {
  const value = getRegister(v, (i.modrm & 7) | ((i.rex & REX_B) << 3));
  return is64(v) ? value : value & 0xffffffff;
}

/** Continues after the instruction, or with #GP. Most bits of both registers affect translations (APM 2, 5.5.2). */
function finish(v: HvmVcpu, i: Instruction, accepted: bool, flush: bool): u32 {
  if (accepted) {
    if (flush) v.flushPending = 1;
    svmSkipBytes(v, i.length);
  } else {
    svmInjectException(v, VECTOR_GP, 0, 0);
  }
  return HvmExit.None;
}
