/** Moving past an emulated instruction, on either vendor. */
import { HvmVcpu } from "../hvm-vcpu";
import { svmSkipBytes } from "../svm/vcpu";
import { vendor, VENDOR_SVM } from "../vendor";
import { vmxSkipBytes } from "../vmx/vcpu";

/** Advances RIP by `length` bytes, as after an instruction: no interrupt shadow, and a trap if the guest is single-stepping. */
export function skipBytes(v: HvmVcpu, length: u32): void {
  if (vendor == VENDOR_SVM) svmSkipBytes(v, length);
  else vmxSkipBytes(v, length);
}
