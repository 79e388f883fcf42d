/**
 * Events as VMX describes them, in one format for what is to be delivered at an entry, what made an exit, and whose
 * delivery an exit cut short (SDM 3C, tables 25-17, 25-20, 25-21): vector in bits 0..7, type, flags.
 */
export const EVENT_VECTOR: u32 = 0xff;
export const EVENT_TYPE: u32 = 7 << 8;
export const EVENT_EXTERNAL: u32 = 0 << 8;
export const EVENT_NMI: u32 = 2 << 8;
export const EVENT_EXCEPTION: u32 = 3 << 8;
export const EVENT_SOFTWARE: u32 = 4 << 8; // INT n; types from here up need the instruction's length
export const EVENT_HAS_ERROR: u32 = 1 << 11;
export const EVENT_NMI_UNBLOCKED: u32 = 1 << 12; // of an exit: by the IRET that faulted
export const EVENT_VALID: u32 = 1 << 31;

// GUEST_INTERRUPTIBILITY (table 25-3).
export const BLOCKED_BY_STI: u64 = 1 << 0;
export const BLOCKED_BY_MOV_SS: u64 = 1 << 1;
export const BLOCKED_BY_NMI: u64 = 1 << 3;

// GUEST_PENDING_DEBUG (table 25-4).
export const PENDING_BREAKPOINTS: u64 = 0xf; // which were met
export const PENDING_BREAKPOINT: u64 = 1 << 12; // one of them is enabled
export const PENDING_STEP: u64 = 1 << 14;
