/** Describes why a VM entry failed: VMX's error numbers (SDM 3C, 31.4), and the checks they do not identify. */
import { sayRule } from "../entry-rule";
import { vmread } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { say, sayDec } from "../log";
import { vmxControlBroken } from "./control-check";
import { makeCurrent } from "./current";
import { EXIT_ENTRY_FAILED } from "./exit-reasons";
import { vmxGuestBroken } from "./guest-check";
import { vmxHostBroken } from "./host-check";
import { VMCS } from "./vmcs";

const REASON: u32 = 0xffff;
const FAILED_GUEST_STATE: u32 = 33;
const FAILED_MSR: u32 = 34;
const FAILED_MACHINE_CHECK: u32 = 41;

// Exit qualification of FAILED_GUEST_STATE (27.8).
const QUALIFICATION_PDPTES: u64 = 2;
const QUALIFICATION_NMI: u64 = 3;
const QUALIFICATION_LINK: u64 = 4;

const ERROR_LAUNCH_NOT_CLEAR: u64 = 4;
const ERROR_RESUME_NOT_LAUNCHED: u64 = 5;
const ERROR_RESUME_AFTER_VMXOFF: u64 = 6;
const ERROR_CONTROL_FIELDS: u64 = 7;
const ERROR_HOST_STATE: u64 = 8;
const ERROR_MOV_SS: u64 = 26;

/** See hvmExplainEntryFailure. */
export function vmxExplain(v: HvmVcpu): void {
  makeCurrent(v);
  if ((v.exitCode & EXIT_ENTRY_FAILED) == 0) {
    instructionError(v);
    return;
  }
  const reason = (<u32>v.exitCode) & REASON;
  if (reason == FAILED_GUEST_STATE) {
    guestState(v);
  } else if (reason == FAILED_MSR) {
    say("an MSR could not be loaded: entry ");
    sayDec(vmread(VMCS.EXIT_QUALIFICATION));
    say(" of the VM-entry MSR-load list");
  } else if (reason == FAILED_MACHINE_CHECK) {
    say("there was a machine check during VM entry");
  } else {
    say("it failed for reason ");
    sayDec(reason);
  }
}

/** The entry began and found the guest's state invalid. */
function guestState(v: HvmVcpu): void {
  if (vmxGuestBroken(v)) {
    sayRule();
    return;
  }
  say("the guest's state is invalid, by no rule known to this hypervisor");
  const where = vmread(VMCS.EXIT_QUALIFICATION);
  if (where == QUALIFICATION_PDPTES) say("; the processor names the page-directory-pointer entries");
  else if (where == QUALIFICATION_NMI) say("; the processor names the injection of an NMI");
  else if (where == QUALIFICATION_LINK) say("; the processor names the VMCS link pointer");
}

/** VMLAUNCH or VMRESUME itself failed. */
function instructionError(v: HvmVcpu): void {
  switch (v.exitCode) {
    case ERROR_LAUNCH_NOT_CLEAR:
      say("VMLAUNCH of a VMCS that was launched before");
      return;
    case ERROR_RESUME_NOT_LAUNCHED:
      say("VMRESUME of a VMCS that was never launched");
      return;
    case ERROR_RESUME_AFTER_VMXOFF:
      say("VMRESUME of a VMCS that is older than the latest VMXON");
      return;
    case ERROR_CONTROL_FIELDS:
      // The processor may check both in either order.
      if (vmxControlBroken(v) || vmxHostBroken(v)) sayRule();
      else say("a control field is invalid, by no rule known to this hypervisor");
      return;
    case ERROR_HOST_STATE:
      if (vmxHostBroken(v) || vmxControlBroken(v)) sayRule();
      else say("a host-state field is invalid, by no rule known to this hypervisor");
      return;
    case ERROR_MOV_SS:
      say("an entry in the shadow of MOV SS");
      return;
    default:
      say("VMLAUNCH or VMRESUME failed with error ");
      sayDec(v.exitCode);
  }
}
