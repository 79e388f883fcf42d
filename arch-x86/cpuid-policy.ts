/**
 * Processor features available to guests: the host's CPUID words are ANDed with these masks. A bit is listed if the
 * feature works in a guest without support by the hypervisor, or with the support implemented here. Deliberately omitted,
 * although Xen has them: MONITOR, VMX and SVM (no nesting), RDTSCP, RDPID and TSC_ADJUST
 * (their MSRs are the host's), PCID and INVPCID, performance counters, transactional memory, protection keys, AVX-512 and AMX (XCR0 stops at AVX), XSAVES, speculation control (its MSRs are not switched).
 */
import { CR0_PG, CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE } from "./control-bits";
import { cpuidEbx, cpuidEcx, cpuidEdx } from "./hw";

// Leaf 1 (SDM 2A, tables 3-10 and 3-11; APM 3, E.3.2).
export const LEAF1_ECX_OSXSAVE: u32 = 1 << 27;
/** The local APIC is emulated regardless of the host's: these bits are set for a vCPU that has one. */
export const LEAF1_ECX_X2APIC: u32 = 1 << 21;
export const LEAF1_ECX_TSC_DEADLINE: u32 = 1 << 24;
export const LEAF1_EDX_APIC: u32 = 1 << 9;
export const LEAF1_ECX_HYPERVISOR: u32 = 1 << 31;
const LEAF1_ECX_XSAVE: u32 = 1 << 26;
const LEAF1_EDX_MCE: u32 = 1 << 7;
export const LEAF1_ECX: u32 =
  (1 << 0) | // SSE3
  (1 << 1) | // PCLMULQDQ
  (1 << 9) | // SSSE3
  (1 << 12) | // FMA
  (1 << 13) | // CMPXCHG16B
  (1 << 19) | // SSE4.1
  (1 << 20) | // SSE4.2
  (1 << 22) | // MOVBE
  (1 << 23) | // POPCNT
  (1 << 25) | // AES
  LEAF1_ECX_XSAVE |
  (1 << 28) | // AVX
  (1 << 29) | // F16C
  (1 << 30); // RDRAND
export const LEAF1_EDX: u32 =
  (1 << 0) | // FPU
  (1 << 1) | // VME
  (1 << 2) | // DE
  (1 << 3) | // PSE
  (1 << 4) | // TSC
  (1 << 5) | // MSR
  (1 << 6) | // PAE
  LEAF1_EDX_MCE |
  (1 << 8) | // CMPXCHG8B
  (1 << 11) | // SYSENTER
  (1 << 12) | // MTRR
  (1 << 13) | // PGE
  (1 << 14) | // MCA, as machine-check.ts has it
  (1 << 15) | // CMOV
  (1 << 16) | // PAT
  (1 << 17) | // PSE36
  (1 << 19) | // CLFLUSH
  (1 << 23) | // MMX
  (1 << 24) | // FXSR
  (1 << 25) | // SSE
  (1 << 26); // SSE2

// Leaf 7, subleaf 0.
export const LEAF7_EBX: u32 =
  (1 << 0) | // FSGSBASE
  (1 << 3) | // BMI1
  (1 << 5) | // AVX2
  (1 << 7) | // SMEP
  (1 << 8) | // BMI2
  (1 << 9) | // ERMS
  (1 << 18) | // RDSEED
  (1 << 19) | // ADX
  (1 << 20) | // SMAP
  (1 << 23) | // CLFLUSHOPT
  (1 << 24) | // CLWB
  (1 << 29); // SHA
export const LEAF7_ECX: u32 =
  (1 << 2) | // UMIP
  (1 << 8) | // GFNI
  (1 << 9) | // VAES
  (1 << 10); // VPCLMULQDQ
export const LEAF7_EDX: u32 =
  (1 << 4) | // FSRM
  (1 << 10); // MD_CLEAR

// Leaf 0xD, subleaf 1.
export const LEAFD1_EAX: u32 = (1 << 0) | (1 << 1) | (1 << 2); // XSAVEOPT, XSAVEC, XGETBV with ECX=1

// Leaf 0x8000_0001.
export const EXTENDED_ECX: u32 =
  (1 << 0) | // LAHF in 64-bit mode
  (1 << 4) | // MOV CR8 by LOCK MOV CR0
  (1 << 5) | // LZCNT
  (1 << 6) | // SSE4A
  (1 << 7) | // misaligned SSE
  (1 << 8) | // PREFETCHW
  (1 << 11) | // XOP
  (1 << 16) | // FMA4
  (1 << 21); // TBM
export const EXTENDED_EDX_NX: u32 = 1 << 20;
export const EXTENDED_EDX: u32 =
  (0x01c3f1ff & LEAF1_EDX) | // AMD repeats leaf 1 here
  (1 << 11) | // SYSCALL
  EXTENDED_EDX_NX |
  (1 << 22) | // MMX extensions
  (1 << 26) | // 1 GiB pages
  (1 << 29) | // long mode
  (1 << 30) | // 3DNow! extensions
  (1 << 31); // 3DNow!
// Leaf 0x8000_0007.
export const POWER_EDX: u32 = 1 << 8; // invariant TSC
// Leaf 0x8000_0008.
export const CAPACITY_EBX: u32 = (1 << 0) | (1 << 2); // CLZERO, FXSAVE saves error pointers

// CR4 (SDM 3A, 2.5).
export const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_ALWAYS: u64 =
  (1 << 0) | // VME
  (1 << 1) | // PVI
  (1 << 2) | // TSD
  (1 << 3) | // DE
  (1 << 4) | // PSE
  CR4_PAE |
  (1 << 7) | // PGE
  (1 << 8) | // PCE; RDPMC itself is refused
  (1 << 9) | // OSFXSR
  (1 << 10); // OSXMMEXCPT

const CR0_KNOWN: u64 = 0xe005003f;

let cr4Allowed: u64 = 0;

/** Bits of CR4 that belong to features a guest has. */
export function guestCr4Mask(): u64 {
  if (cr4Allowed == 0) {
    const ebx = cpuidEbx(7, 0) & LEAF7_EBX;
    let mask = CR4_ALWAYS;
    if (ebx & (1 << 0)) mask |= 1 << 16; // FSGSBASE
    if (ebx & (1 << 7)) mask |= 1 << 20; // SMEP
    if (ebx & (1 << 20)) mask |= 1 << 21; // SMAP
    if (cpuidEcx(7, 0) & LEAF7_ECX & (1 << 2)) mask |= 1 << 11; // UMIP
    if (cpuidEdx(1, 0) & LEAF1_EDX_MCE) mask |= 1 << 6; // MCE
    if (cpuidEcx(1, 0) & LEAF1_ECX_XSAVE) mask |= CR4_OSXSAVE;
    cr4Allowed = mask;
  }
  return cr4Allowed;
}

/** Whether a guest with this EFER may load `value` into CR4; false: #GP. */
export function guestCr4Accepted(efer: u64, value: u64): bool {
  if ((value & ~guestCr4Mask()) != 0) return false;
  return (efer & EFER_LMA) == 0 || (value & CR4_PAE) != 0;
}

/** Whether `value` has only known bits of CR0 in a combination the processor accepts (SDM 3A, 2.5; not the paging rules). */
export function guestCr0Accepted(value: u64): bool {
  if ((value & ~CR0_KNOWN) >> 32 != 0) return false;
  if ((value & CR0_PG) != 0 && (value & 1) == 0) return false;
  return (value & (1 << 29)) == 0 || (value & (1 << 30)) != 0; // NW needs CD
}

/** Whether a guest in this state may write `value` to EFER; LMA is the processor's and keeps its value. */
export function guestEferAccepted(old: u64, value: u64, cr0: u64): bool {
  let known = EFER_SCE | EFER_LME | EFER_LMA;
  if (cpuidEdx(0x80000001, 0) & EXTENDED_EDX_NX) known |= EFER_NXE;
  if ((value & ~known) != 0) return false;
  return ((old ^ value) & EFER_LME) == 0 || (cr0 & CR0_PG) == 0;
}
