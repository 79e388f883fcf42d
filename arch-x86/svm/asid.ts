/**
 * Address space identifiers: tags of a guest's translations in the TLB (APM 2, 15.16). A vCPU that needs a flush simply
 * gets an identifier that was not used since the CPU's last full flush, which needs no FlushByAsid and leaves other
 * guests' translations alone. When all are used up, the CPU is flushed at that entry and numbering starts again.
 *
 * One numbering serves the one CPU that runs guests today; with several it becomes a record per CPU.
 */
import { store32, store8 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { svmAsids } from "./features";
import { TLB_FLUSH_ALL, TLB_NOTHING, VMCB } from "./vmcb";

/** Identifiers given out before the latest full flush have another generation. 0 is no generation. */
let generation: u64 = 1;
let nextAsid: u32 = 1;
/** 1 until an entry has flushed everything: for a CPU just started, and when all identifiers are used up. */
let flushAll: u32 = 1;

/** Whether `v` must be given a fresh identifier before it is entered. On the entry path. */
export function asidStale(v: HvmVcpu): bool {
  return v.flushPending != 0 || v.tagGeneration != generation;
}

/** Gives `v` a fresh identifier, so that none of its earlier translations is used by the next entry. */
export function asidRefresh(v: HvmVcpu): void {
  if (nextAsid >= svmAsids) {
    generation++;
    nextAsid = 1;
    flushAll = 1;
  }
  v.tag = nextAsid++;
  v.tagGeneration = generation;
  v.flushPending = 0;
  store32(v.controlPa + VMCB.ASID, v.tag);
  store8(v.controlPa + VMCB.TLB_CONTROL, flushAll != 0 ? TLB_FLUSH_ALL : TLB_NOTHING);
  v.tagFlushes = flushAll;
}

/** After the entry that flushed: later ones need not. One that the processor refused did not: a guest can cause that. */
export function asidFlushed(v: HvmVcpu): void {
  v.tagFlushes = 0;
  flushAll = 0;
  store8(v.controlPa + VMCB.TLB_CONTROL, TLB_NOTHING);
}
