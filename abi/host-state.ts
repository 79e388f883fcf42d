/** The host's processor state as returned by hw.hostState. Mirrored by boot/cpu.c. */

/** Host values by number for hw.hostState. Selectors, then bases, then addresses. */
export const HOST_STATE_CS: u32 = 0;
export const HOST_STATE_SS: u32 = 1;
export const HOST_STATE_TR: u32 = 2;
export const HOST_STATE_GDT_BASE: u32 = 3;
export const HOST_STATE_IDT_BASE: u32 = 4;
export const HOST_STATE_TR_BASE: u32 = 5;
export const HOST_STATE_FPU_SIZE: u32 = 6; // bytes an fpuSave area needs
