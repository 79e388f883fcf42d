/**
 * Address space identifiers: tags of a guest's translations in the TLB (APM 2, 15.16). A vCPU that needs a flush simply
 * gets an identifier not used since the CPU's last full flush, which needs no FlushByAsid and leaves other
 * guests' translations alone. When all are used up, the CPU is flushed at that entry and numbering starts again.
 * Numbering is per CPU (HostCpu).
 */
import { store32, store8 } from "../hw";
import { hostCpu } from "../host/cpu";
import { HvmVcpu } from "../hvm-vcpu";
import { svmAsids } from "./features";
import { TLB_FLUSH_ALL, TLB_NOTHING, VMCB } from "./vmcb";

/** Whether `v` needs a new identifier before it is entered. On the entry path. */
export function asidStale(v: HvmVcpu): bool {
  return v.flushPending != 0 || v.tagGeneration != hostCpu().asidGeneration;
}

/** Gives `v` a fresh identifier, so that none of its earlier translations is used by the next entry. */
export function asidRefresh(v: HvmVcpu): void {
  const c = hostCpu();
  if (c.nextAsid >= svmAsids) {
    c.asidGeneration++;
    c.nextAsid = 1;
    c.asidFlushAll = 1;
  }
  v.tag = c.nextAsid++;
  v.tagGeneration = c.asidGeneration;
  v.flushPending = 0;
  store32(v.controlPa + VMCB.ASID, v.tag);
  store8(v.controlPa + VMCB.TLB_CONTROL, c.asidFlushAll != 0 ? TLB_FLUSH_ALL : TLB_NOTHING);
  v.tagFlushes = c.asidFlushAll;
}

/** After the entry that flushed: later ones need not. One that the processor refused did not: a guest can cause that. */
export function asidFlushed(v: HvmVcpu): void {
  v.tagFlushes = 0;
  hostCpu().asidFlushAll = 0;
  store8(v.controlPa + VMCB.TLB_CONTROL, TLB_NOTHING);
}
