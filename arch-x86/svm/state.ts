/** The parts of state.ts that need more than an offset in the VMCB. */
import { load64, store64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import {
  MSR_CSTAR,
  MSR_FS_BASE,
  MSR_GS_BASE,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_PAT,
  MSR_SFMASK,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
} from "../msr";
import { VMCB } from "./vmcb";

/** Offset in the VMCB of an MSR that it holds, 0 for any other. */
function msrOffset(msr: u32): u32 {
  switch (msr) {
    case MSR_STAR:
      return VMCB.STAR;
    case MSR_LSTAR:
      return VMCB.LSTAR;
    case MSR_CSTAR:
      return VMCB.CSTAR;
    case MSR_SFMASK:
      return VMCB.SFMASK;
    case MSR_KERNEL_GS_BASE:
      return VMCB.KERNEL_GS_BASE;
    case MSR_FS_BASE:
      return VMCB.FS + VMCB.BASE;
    case MSR_GS_BASE:
      return VMCB.GS + VMCB.BASE;
    case MSR_SYSENTER_CS:
      return VMCB.SYSENTER_CS;
    case MSR_SYSENTER_ESP:
      return VMCB.SYSENTER_ESP;
    case MSR_SYSENTER_EIP:
      return VMCB.SYSENTER_EIP;
    case MSR_PAT:
      return VMCB.PAT;
    default:
      return 0;
  }
}

/** See getHardwareMsr of state.ts. */
export function svmGetMsr(v: HvmVcpu, msr: u32): u64 {
  const offset = msrOffset(msr);
  assert(offset != 0, "an MSR that the VMCB does not hold");
  return load64(v.controlPa + offset);
}

/** See setHardwareMsr of state.ts. */
export function svmSetMsr(v: HvmVcpu, msr: u32, value: u64): void {
  const offset = msrOffset(msr);
  assert(offset != 0, "an MSR that the VMCB does not hold");
  store64(v.controlPa + offset, value);
}

export function svmGetInterruptShadow(v: HvmVcpu): bool {
  return (load64(v.controlPa + VMCB.INTERRUPT_SHADOW) & 1) != 0;
}
