/**
 * Exits at MOV to and from control registers: the few writes that touch a bit the host owns (see vmx/state.ts), and
 * without a TPR shadow CR8, which would be the host's own task priority (SDM 3C 25.6.6, table 28-3).
 */
import { CR0_CD, CR0_ET, CR0_NW, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from "../control-bits";
import { guestCr0Accepted } from "../cpuid-policy";
import { HvmExit, HvmVcpu } from "../hvm-vcpu";
import { getCr0, getCr3, getCr4, getEfer, getRsp, is64, setCr0, setEfer, setRsp } from "../state";
import { apicExit, writeTaskPriority } from "../vlapic/state";
import { flushLinear } from "./flush";
import { vmxInjectException } from "./inject";
import { loadPdptes } from "./pdptes";
import { vmxRead } from "./state";
import { vmxGetTaskPriority } from "./task-priority";
import { vmxSkip } from "./vcpu";
import { VMCS } from "./vmcs";
import { VECTOR_GP } from "../vectors";

const ACCESS_TO: u32 = 0;
const ACCESS_FROM: u32 = 1;
const REGISTER_RSP: u32 = 4;

const CR8_BITS: u64 = 0xf;

/** Returns HvmExit. */
export function vmxControlRegister(v: HvmVcpu): u32 {
  const qualification = <u32>vmxRead(v, VMCS.EXIT_QUALIFICATION);
  const cr = qualification & 0xf;
  const access = (qualification >> 4) & 3;
  const register = (qualification >> 8) & 0xf;
  let done: bool = false;
  if (access == ACCESS_FROM) {
    if (cr != 8) return HvmExit.Unknown;
    setRegister(v, register, vmxGetTaskPriority(v) >> 4);
    done = true;
  } else if (access == ACCESS_TO) {
    const value = is64(v) ? getRegister(v, register) : getRegister(v, register) & 0xffffffff;
    if (cr == 0) done = writeCr0(v, value);
    else if (cr == 8) done = writeCr8(v, value);
    // CR4: the guest tried to set a bit of a feature it does not have.
    else if (cr != 4) return HvmExit.Unknown;
  } else {
    return HvmExit.Unknown;
  }
  if (done) vmxSkip(v);
  else vmxInjectException(v, VECTOR_GP, 0, 0);
  return apicExit(v); // after a write of CR8
}

/** MOV to CR0 as the processor does it (SDM 2B, MOV to control registers). False: #GP. */
function writeCr0(v: HvmVcpu, value: u64): bool {
  if (!guestCr0Accepted(value)) return false;
  const changed = getCr0(v) ^ value;
  let efer = getEfer(v);
  if ((changed & CR0_PG) != 0 && (efer & EFER_LME) != 0) {
    if ((value & CR0_PG) != 0) {
      if ((getCr4(v) & CR4_PAE) == 0) return false;
      efer |= EFER_LMA;
    } else {
      if (is64(v)) return false;
      efer &= ~EFER_LMA;
    }
  }
  const pae = (value & CR0_PG) != 0 && (getCr4(v) & CR4_PAE) != 0 && (efer & EFER_LMA) == 0;
  if (pae && (changed & (CR0_PG | CR0_CD | CR0_NW)) != 0 && !loadPdptes(v, getCr3(v))) return false;
  setCr0(v, value | CR0_ET);
  if ((changed & CR0_PG) != 0) {
    setEfer(v, efer);
    flushLinear(v);
  }
  return true;
}

/** The task priority, of which the local APIC has the rest; nothing of the host's depends on it. False: #GP. */
function writeCr8(v: HvmVcpu, value: u64): bool {
  if ((value & ~CR8_BITS) != 0) return false;
  writeTaskPriority(v, <u32>value);
  return true;
}

function getRegister(v: HvmVcpu, n: u32): u64 {
  return n == REGISTER_RSP ? getRsp(v) : load<u64>(changetype<usize>(v) + 8 * n);
}

function setRegister(v: HvmVcpu, n: u32, value: u64): void {
  if (n == REGISTER_RSP) setRsp(v, value);
  else store<u64>(changetype<usize>(v) + 8 * n, value);
}
