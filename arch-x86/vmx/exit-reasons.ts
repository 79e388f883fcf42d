/** Why a guest left: EXIT_REASON's low 16 bits (SDM 3D, appendix C), and what EXIT_QUALIFICATION adds (3C, 28.2.1). */
export const EXIT_EXCEPTION: u32 = 0; // or NMI
export const EXIT_INTERRUPT: u32 = 1;
export const EXIT_TRIPLE_FAULT: u32 = 2;
export const EXIT_INTERRUPT_WINDOW: u32 = 7;
export const EXIT_NMI_WINDOW: u32 = 8;
export const EXIT_CPUID: u32 = 10;
export const EXIT_GETSEC: u32 = 11;
export const EXIT_HLT: u32 = 12;
export const EXIT_INVD: u32 = 13;
export const EXIT_RDPMC: u32 = 15;
export const EXIT_RSM: u32 = 17;
export const EXIT_VMCALL: u32 = 18;
export const EXIT_VMCLEAR: u32 = 19; // from here to EXIT_VMXON the instructions of VMX itself
export const EXIT_VMXON: u32 = 27;
export const EXIT_CR_ACCESS: u32 = 28;
export const EXIT_DR_ACCESS: u32 = 29;
export const EXIT_IO: u32 = 30;
export const EXIT_RDMSR: u32 = 31;
export const EXIT_WRMSR: u32 = 32;
export const EXIT_MWAIT: u32 = 36;
export const EXIT_MONITOR: u32 = 39;
export const EXIT_PAUSE: u32 = 40;
export const EXIT_TPR_BELOW_THRESHOLD: u32 = 43;
export const EXIT_EPT_VIOLATION: u32 = 48;
export const EXIT_INVEPT: u32 = 50;
export const EXIT_PREEMPTION_TIMER: u32 = 52;
export const EXIT_INVVPID: u32 = 53;
export const EXIT_WBINVD: u32 = 54;
export const EXIT_XSETBV: u32 = 55;
export const EXIT_VMFUNC: u32 = 59;

/** In EXIT_REASON: the entry itself failed, nothing ran. */
export const EXIT_ENTRY_FAILED: u32 = 1 << 31;

// EXIT_IO (table 28-5).
export const IO_SIZE: u32 = 7; // bytes, less one
export const IO_IN: u32 = 1 << 3;
export const IO_STRING: u32 = 1 << 4;
export const IO_PORT_SHIFT: u32 = 16;

// EXIT_EPT_VIOLATION (table 28-7).
export const EPT_ACCESS: u32 = 7; // read, write, fetch: HVM_ACCESS_*
export const EPT_LINEAR_VALID: u32 = 1 << 7;
export const EPT_TRANSLATED: u32 = 1 << 8; // clear, with a valid linear address: the access was to a guest page table
export const EPT_NMI_UNBLOCKED: u32 = 1 << 12;
