/**
 * DR0..DR3, which are in neither VMCB nor VMCS. A guest's first access to a debug register after it was scheduled
 * causes an exit, its values are loaded, and further accesses cause no exits until the vCPU is descheduled; then they are saved
 * and cleared, so that no guest sees another's. DR7 is in the control block, and the exit disables it for the host.
 */
import { load64, readDr, store64, writeDr } from "./hw";
import { HvmVcpu } from "./hvm-vcpu";
import { FRAME_DEBUG } from "./state-frame";
import { svmInterceptDebug } from "./svm/debug";
import { vendor, VENDOR_SVM } from "./vendor";
import { vmxInterceptDebug } from "./vmx/debug";

const BREAKPOINTS: u32 = 4;

/** Loads the guest's breakpoint addresses and stops intercepting accesses to them. */
export function debugLoad(v: HvmVcpu): void {
  for (let i: u32 = 0; i < BREAKPOINTS; i++) writeDr(i, load64(v.statePa + FRAME_DEBUG + 8 * i));
  v.debugLoaded = 1;
  intercept(v, false);
}

/** Takes them back out of the CPU. */
export function debugUnload(v: HvmVcpu): void {
  for (let i: u32 = 0; i < BREAKPOINTS; i++) {
    store64(v.statePa + FRAME_DEBUG + 8 * i, readDr(i));
    writeDr(i, 0);
  }
  v.debugLoaded = 0;
  intercept(v, true);
}

function intercept(v: HvmVcpu, on: bool): void {
  if (vendor == VENDOR_SVM) svmInterceptDebug(v, on);
  else vmxInterceptDebug(v, on);
}
