/** Why VMRUN refused a guest: the checks of APM 2, 15.5.1 in its order, in words. */
import { load32, load64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { ATTR_DB, ATTR_LONG, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, EFER_SVME } from "../state";
import { getSegmentAttributes, SEG_CS } from "../state";
import { svmAsids } from "./features";
import {
  EVENT_EXCEPTION,
  EVENT_EXTERNAL,
  EVENT_NMI,
  EVENT_SOFTWARE,
  EVENT_TYPE,
  EVENT_VALID,
  INTERCEPT2_VMRUN,
  VMCB,
} from "./vmcb";

const CR0_PE: u64 = 1 << 0;
const CR0_NW: u64 = 1 << 29;
const CR0_CD: u64 = 1 << 30;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_KNOWN: u64 = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | (7 << 13);

/** See hvmExplainEntryFailure. */
export function svmExplain(v: HvmVcpu): string {
  const vmcb = v.controlPa;
  const efer = load64(vmcb + VMCB.EFER);
  const cr0 = load64(vmcb + VMCB.CR0);
  const cr4 = load64(vmcb + VMCB.CR4);
  const long = (efer & EFER_LME) != 0 && (cr0 & CR0_PG) != 0;
  if ((efer & EFER_SVME) == 0) return "EFER.SVME is clear";
  if ((cr0 & CR0_CD) == 0 && (cr0 & CR0_NW) != 0) return "CR0.NW is set without CR0.CD";
  if (cr0 >> 32 != 0) return "CR0 has bits above 31";
  if (load64(vmcb + VMCB.CR3) >> 52 != 0) return "CR3 has reserved bits";
  if (cr4 >> 32 != 0) return "CR4 has reserved bits";
  if (load64(vmcb + VMCB.DR6) >> 32 != 0) return "DR6 has bits above 31";
  if (load64(vmcb + VMCB.DR7) >> 32 != 0) return "DR7 has bits above 31";
  if ((efer & ~EFER_KNOWN) != 0) return "EFER has reserved bits";
  if (long && (cr4 & CR4_PAE) == 0) return "long mode with paging, but CR4.PAE is clear";
  if (long && (cr0 & CR0_PE) == 0) return "long mode with paging, but CR0.PE is clear";
  const cs = getSegmentAttributes(v, SEG_CS);
  if (long && (cs & ATTR_LONG) != 0 && (cs & ATTR_DB) != 0) return "64-bit code segment with the D bit set";
  if ((load32(vmcb + VMCB.INTERCEPT_MISC2) & INTERCEPT2_VMRUN) == 0) return "VMRUN is not intercepted";
  const asid = load32(vmcb + VMCB.ASID);
  if (asid == 0 || asid >= svmAsids) return "the ASID is zero or too large";
  if (load64(vmcb + VMCB.IOPM_PA) == 0 || load64(vmcb + VMCB.MSRPM_PA) == 0) return "a permission map is missing";
  if (!eventLegal(load64(vmcb + VMCB.EVENT_INJECT))) return "the injected event has an impossible type or vector";
  return "no rule known to this hypervisor is broken";
}

function eventLegal(event: u64): bool {
  if ((event & EVENT_VALID) == 0) return true;
  const vector = event & 0xff;
  switch (event & EVENT_TYPE) {
    case EVENT_EXCEPTION:
      return vector < 32 && vector != 2;
    case EVENT_NMI:
    case EVENT_EXTERNAL:
    case EVENT_SOFTWARE:
      return true;
  }
  return false;
}
