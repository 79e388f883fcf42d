/** Why VMRUN refused a guest: a description of the first failed check. */
import { sayRule } from "../entry-rule";
import { HvmVcpu } from "../hvm-vcpu";
import { say } from "../log";
import { svmControlBroken, svmGuestBroken } from "./vmcb-check";

/** See hvmExplainEntryFailure. */
export function svmExplain(v: HvmVcpu): void {
  if (svmGuestBroken(v) || svmControlBroken(v)) sayRule();
  else say("VMRUN found an invalid VMCB, by no rule known to this hypervisor");
}
