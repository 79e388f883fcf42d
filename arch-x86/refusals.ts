/** Why this machine cannot run hardware-virtualised guests: numbers of hvmDetect and hvmCpuInit, and their messages. */

export const REFUSAL_NO_EXTENSION: i32 = 1;
export const REFUSAL_VMX_FIRMWARE: i32 = 2;
export const REFUSAL_SVM_FIRMWARE: i32 = 3;
export const REFUSAL_NO_NPT: i32 = 4;
export const REFUSAL_NO_EPT: i32 = 5;
export const REFUSAL_NO_UNRESTRICTED: i32 = 6;
export const REFUSAL_EPT_FORMAT: i32 = 7;
export const REFUSAL_VMX_CONTROLS: i32 = 8;
export const REFUSAL_VMXON: i32 = 9;
export const REFUSAL_MEMORY: i32 = 10;
export const REFUSAL_NO_ASIDS: i32 = 11;
export const REFUSAL_NO_NX: i32 = 12;
const REFUSALS: i32 = 13;

const words: StaticArray<string> = [
  "nothing is missing",
  "this processor has neither VT-x nor AMD-V, or the hypervisor below hides them",
  "VT-x is disabled by the firmware (IA32_FEATURE_CONTROL is locked without it): enable it in the firmware's set-up",
  "AMD-V is disabled by the firmware (VM_CR.SVMDIS is set and locked): enable it in the firmware's set-up",
  "AMD-V has no nested paging on this processor",
  "VT-x has no extended page tables (EPT) on this processor",
  "VT-x has no unrestricted guest mode on this processor",
  "VT-x has no 4-level write-back extended page tables on this processor",
  "VT-x lacks a control this hypervisor needs (MSR bitmaps, secondary controls, or EFER switching)",
  "VMXON failed",
  "too little memory for the processor's virtualisation areas",
  "AMD-V has fewer than two address space identifiers on this processor",
  "this processor cannot forbid execution of a page (NX)",
];

/** The message for refusal `n`; 0 is none. */
export function refusal(n: i32): string {
  return n >= 0 && n < REFUSALS ? words[n] : "unknown refusal";
}
