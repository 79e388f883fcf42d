/** Which of the two hardware virtualisation extensions this machine has. Set once by detect.ts. */

export const VENDOR_NONE: u32 = 0;
export const VENDOR_VMX: u32 = 1;
export const VENDOR_SVM: u32 = 2;

/** VENDOR_*; every dispatch in hvm.ts and state.ts tests it. */
export let vendor: u32 = VENDOR_NONE;

/** Called by detect.ts, and by tests that want one vendor's code. */
export function setVendor(which: u32): void {
  vendor = which;
}
