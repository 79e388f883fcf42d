/** Bits of hvmFeatureMask: features of this machine's virtualisation, with common names for both vendors. */

export const HVM_FEATURE_NESTED_PAGING: u32 = 1 << 0;
export const HVM_FEATURE_SUPERPAGE_2M: u32 = 1 << 1;
export const HVM_FEATURE_SUPERPAGE_1G: u32 = 1 << 2;
export const HVM_FEATURE_TAGGED_TLB: u32 = 1 << 3; // VPID or ASID
export const HVM_FEATURE_NEXT_RIP: u32 = 1 << 4; // the exit reports the instruction's length
export const HVM_FEATURE_DEADLINE: u32 = 1 << 5; // VMX preemption timer
export const HVM_FEATURE_TASK_PRIORITY: u32 = 1 << 7; // guests read and write CR8 without an exit
export const HVM_FEATURE_FLUSH_ONE: u32 = 1 << 6; // one guest's translations can be flushed: INVVPID, FlushByAsid
