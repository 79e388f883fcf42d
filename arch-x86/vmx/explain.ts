/** Why a VM entry failed, in words: VMX's own error numbers (SDM 3C, 31.4), and what they leave open. */
import { vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { makeCurrent } from "./current";
import { EVENT_EXCEPTION, EVENT_HAS_ERROR, EVENT_NMI, EVENT_TYPE, EVENT_VALID, EVENT_VECTOR } from "./events";
import { EXIT_ENTRY_FAILED } from "./exit-reasons";
import { vmxGuestProblem } from "./guest-check";
import { VMCS } from "./vmcs";

const REASON: u32 = 0xffff;
const FAILED_MSR: u32 = 34;
const FAILED_MACHINE_CHECK: u32 = 41;

const ERROR_LAUNCH_NOT_CLEAR: u64 = 4;
const ERROR_RESUME_NOT_LAUNCHED: u64 = 5;
const ERROR_CONTROL_FIELDS: u64 = 7;
const ERROR_HOST_STATE: u64 = 8;
const ERROR_MOV_SS: u64 = 26;

const EVENT_RESERVED: u32 = 1 << 8;
const VECTOR_NMI: u32 = 2;
/** #DF #TS #NP #SS #GP #PF #AC. */
const VECTORS_WITH_ERROR: u32 = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17);
const CR0_PE: u64 = 1;

/** See hvmExplainEntryFailure. */
export function vmxExplain(v: HvmVcpu): string {
  if ((v.exitCode & EXIT_ENTRY_FAILED) == 0) return instructionError(v);
  const reason = (<u32>v.exitCode) & REASON;
  if (reason == FAILED_MSR) return "an MSR could not be loaded";
  if (reason == FAILED_MACHINE_CHECK) return "machine check during VM entry";
  const problem = vmxGuestProblem(v);
  return problem === null ? "invalid guest state, by no rule known to this hypervisor" : problem;
}

/** The entry did not begin: VMLAUNCH or VMRESUME itself failed. */
function instructionError(v: HvmVcpu): string {
  makeCurrent(v);
  switch (v.exitCode) {
    case ERROR_LAUNCH_NOT_CLEAR:
      return "VMLAUNCH of a VMCS that was launched before";
    case ERROR_RESUME_NOT_LAUNCHED:
      return "VMRESUME of a VMCS that was never launched";
    case ERROR_CONTROL_FIELDS:
      return controlProblem();
    case ERROR_HOST_STATE:
      return "a host-state field is invalid";
    case ERROR_MOV_SS:
      return "an event is injected into the shadow of MOV SS";
    default:
      return "VMLAUNCH or VMRESUME failed";
  }
}

/** 27.2.1.3: of the control fields only the injected event changes as a guest runs. */
function controlProblem(): string {
  const event = <u32>vmread(VMCS.ENTRY_EVENT);
  const vector = event & EVENT_VECTOR;
  const type = event & EVENT_TYPE;
  if ((event & EVENT_VALID) != 0) {
    if (type == EVENT_RESERVED) return "the injected event has a reserved type";
    if (type == EVENT_NMI && vector != VECTOR_NMI) return "the injected NMI has a vector other than 2";
    if (type == EVENT_EXCEPTION && vector > 31) return "the injected exception has a vector above 31";
    const wanted = type == EVENT_EXCEPTION && ((VECTORS_WITH_ERROR >> vector) & 1) != 0;
    const real = (vmread(VMCS.GUEST_CR0) & CR0_PE) == 0;
    if (((event & EVENT_HAS_ERROR) != 0) != (wanted && !real)) return "the injected event's error code does not fit it";
    if (vmread(VMCS.ENTRY_ERROR_CODE) >> 16 != 0 && wanted) return "the injected error code has bits above 15";
  }
  return "a control field is invalid, by no rule known to this hypervisor";
}
