/**
 * The machine-check architecture visible to guests (SDM 3B, chapter 16): two banks that never report an error, as in Xen's
 * vMCE (mcheck/vmce.c). The host's machine checks are handled by the hypervisor and not forwarded to guests.
 *
 * A guest keeps what it writes to IA32_MCG_STATUS and, on Intel's processors, IA32_MCi_CTL2; everything else reads as
 * constants. Banks beyond the two read as zero and ignore writes, as on Xen.
 */
import { load64, store64 } from "./hw";
import { HvmVcpu } from "./hvm-vcpu";
import {
  MSR_MC0_CTL,
  MSR_MC0_CTL2,
  MSR_MC4_MISC1,
  MSR_MCG_CAP,
  MSR_MCG_CTL,
  MSR_MCG_STATUS,
  MSR_P5_MC_TYPE,
} from "./msr";
import { FRAME_MC_CTL2, FRAME_MCG_STATUS } from "./state-frame";
import { vendor, VENDOR_SVM, VENDOR_VMX } from "./vendor";

/** Banks a guest has. Xen leaves the first empty because of processors that misreport theirs. */
const BANKS: u32 = 2;
/** Banks that there are MSRs for. */
const BANKS_MAX: u32 = 32;
/** Registers of a bank from MSR_MC0_CTL on: control, status, address, miscellany. */
const BANK_REGISTERS: u32 = 4;
const BANK_CTL: u32 = 0;
/** MSR_MC4_MISC1 and those behind it. */
const MC4_MISCS: u32 = 3;
const MCG_CMCI_P: u64 = 1 << 10; // IA32_MCi_CTL2 exists; without an LVT entry for it, no interrupt comes of it
const MCG_TES_P: u64 = 1 << 11;
const MCG_SER_P: u64 = 1 << 24;

/** True for the MSRs of this file; P5's two can be read but not written. */
export function isMachineCheckMsr(msr: u32): bool {
  return (
    msr - MSR_MCG_CAP <= MSR_MCG_CTL - MSR_MCG_CAP ||
    msr - MSR_MC0_CTL2 < BANKS_MAX ||
    msr - MSR_MC0_CTL < BANKS_MAX * BANK_REGISTERS ||
    (vendor == VENDOR_SVM && msr - MSR_MC4_MISC1 < MC4_MISCS) ||
    msr <= MSR_P5_MC_TYPE
  );
}

/** The value of one of them; none of them faults when read. */
export function machineCheckRdmsr(v: HvmVcpu, msr: u32): u64 {
  if (msr == MSR_MCG_CAP) return vendor == VENDOR_VMX ? MCG_SER_P | MCG_TES_P | MCG_CMCI_P | BANKS : BANKS;
  if (msr == MSR_MCG_STATUS) return load64(v.statePa + FRAME_MCG_STATUS);
  if (hasCtl2(msr)) return load64(ctl2(v, msr));
  const register = msr - MSR_MC0_CTL;
  return register < BANKS * BANK_REGISTERS && register % BANK_REGISTERS == BANK_CTL ? u64.MAX_VALUE : 0;
}

/** Writes one of them. False: #GP, for what may only be cleared (SDM 3B 16.3.2.2) and P5's. */
export function machineCheckWrmsr(v: HvmVcpu, msr: u32, value: u64): bool {
  if (msr <= MSR_P5_MC_TYPE) return false;
  if (msr == MSR_MCG_STATUS) store64(v.statePa + FRAME_MCG_STATUS, value);
  else if (hasCtl2(msr)) store64(ctl2(v, msr), value);
  const register = msr - MSR_MC0_CTL;
  return register >= BANKS * BANK_REGISTERS || register % BANK_REGISTERS == BANK_CTL || value == 0;
}

function hasCtl2(msr: u32): bool {
  return vendor == VENDOR_VMX && msr - MSR_MC0_CTL2 < BANKS;
}

function ctl2(v: HvmVcpu, msr: u32): u64 {
  return v.statePa + FRAME_MC_CTL2 + 8 * (msr - MSR_MC0_CTL2);
}
