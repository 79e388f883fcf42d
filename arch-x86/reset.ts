/** The state a new vCPU starts in, the same on both vendors. */
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
  setCr3(v, 0);
  setCr4(v, 0);
  setEfer(v, 0);
  setDr6(v, DR6_RESET);
  setDr7(v, DR7_RESET);
  setRflags(v, RFLAGS_RESET);
  setRip(v, 0);
  setRsp(v, 0);
}
