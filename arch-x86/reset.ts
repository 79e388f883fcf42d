/** The states a vCPU starts in, the same on both vendors: of a PVH guest, and after INIT and SIPI. */
import { CR0_ET } from "./control-bits";
import { HvmVcpu } from "./hvm-vcpu";
import {
  ATTR_DB,
  ATTR_GRANULARITY,
  ATTR_PRESENT,
  ATTR_S,
  SEG_CS,
  SEG_GS,
  SEG_LDTR,
  SEG_TR,
  setCr0,
  setCr2,
  setCr3,
  setCr4,
  setDr6,
  setDr7,
  setEfer,
  setGdtr,
  setIdtr,
  setRflags,
  setRip,
  setRsp,
  setSegment,
} from "./state";

const CR0_PE_ET: u64 = 0x11;
const DR6_RESET: u64 = 0xffff0ff0;
const DR7_RESET: u64 = 0x400;
const RFLAGS_RESET: u64 = 2;
const TSS_LIMIT: u32 = 0x67;
/** Bytes of the general registers at the start of HvmVcpu. */
const GENERAL_REGISTERS: usize = 16 * 8;

/**
 * Flat 32-bit protected mode as Xen's PVH protocol starts a guest (xen/arch-x86/hvm/start_info.h): paging and interrupts
 * off, RIP and RSP zero. General registers are the caller's.
 */
export function resetState(v: HvmVcpu): void {
  const flat = ATTR_PRESENT | ATTR_DB | ATTR_GRANULARITY | ATTR_S;
  for (let segment: u32 = 0; segment <= SEG_GS; segment++) {
    setSegment(v, segment, 0, flat | (segment == SEG_CS ? 0xb : 0x3), 0xffffffff, 0);
  }
  setSegment(v, SEG_TR, 0, ATTR_PRESENT | 0xb, TSS_LIMIT, 0);
  setSegment(v, SEG_LDTR, 0, ATTR_PRESENT | 0x2, 0xffff, 0);
  setGdtr(v, 0, 0);
  setIdtr(v, 0, 0);
  setCr0(v, CR0_PE_ET);
  resetControl(v);
}

/**
 * Real mode at `vector` * 4 KiB (SDM 3A, table 10-1, and 9.4.3): interrupts off, general registers zero. MTRRs, PAT and the
 * MSRs of system calls keep their values.
 */
export function resetRealMode(v: HvmVcpu, vector: u32): void {
  const data = ATTR_PRESENT | ATTR_S | 0x3;
  for (let segment: u32 = 0; segment <= SEG_GS; segment++) setSegment(v, segment, 0, data, 0xffff, 0);
  setSegment(v, SEG_CS, vector << 8, ATTR_PRESENT | ATTR_S | 0xb, 0xffff, vector << 12);
  setSegment(v, SEG_TR, 0, ATTR_PRESENT | 0xb, 0xffff, 0);
  setSegment(v, SEG_LDTR, 0, ATTR_PRESENT | 0x2, 0xffff, 0);
  setGdtr(v, 0, 0xffff);
  setIdtr(v, 0, 0xffff);
  setCr0(v, CR0_ET);
  setCr2(v, 0);
  resetControl(v);
  memory.fill(changetype<usize>(v), 0, GENERAL_REGISTERS);
}

/** What is the same in both. */
function resetControl(v: HvmVcpu): void {
  setCr3(v, 0);
  setCr4(v, 0);
  setEfer(v, 0);
  setDr6(v, DR6_RESET);
  setDr7(v, DR7_RESET);
  setRflags(v, RFLAGS_RESET);
  setRip(v, 0);
  setRsp(v, 0);
}
