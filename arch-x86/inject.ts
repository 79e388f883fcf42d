/** Raising an exception, on either vendor: for what is emulated above the vendors' own code. */
import { HvmVcpu } from "./hvm-vcpu";
import { svmInjectException } from "./svm/inject";
import { vendor, VENDOR_SVM } from "./vendor";
import { vmxInjectException } from "./vmx/inject";

/**
 * Raises an exception at the next entry. With another exception pending the two combine as on hardware (#DF, shutdown).
 * @param errorCode -1 for a vector without one
 * @param cr2 for vector 14, the faulting address; else ignored
 */
export function injectException(v: HvmVcpu, vector: u32, errorCode: i32, cr2: u64): void {
  if (vendor == VENDOR_SVM) svmInjectException(v, vector, errorCode, cr2);
  else vmxInjectException(v, vector, errorCode, cr2);
}
