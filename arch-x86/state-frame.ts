/**
 * The frame at HvmVcpu.statePa: the FPU save area, followed by the values of registers that have no
 * effect or are switched lazily. On VT-x it is also the virtual-APIC page. Byte offsets.
 */

/**
 * VTPR of the virtual-APIC page (SDM 3C 30.1.1), u32: with the TPR shadow alone the processor uses nothing else of that
 * page.
 */
export const FRAME_VTPR: u32 = 0x80;
/** XSAVE or FXSAVE area, 64-byte aligned: x87, SSE, AVX take 832 bytes. */
export const FRAME_FPU: u32 = 256;
export const FRAME_FPU_BYTES: u32 = 1792;
/** MTRRs: IA32_MTRR_DEF_TYPE, 11 fixed ranges in the order of their numbers, 8 pairs of base and mask. */
export const FRAME_MTRR_DEFAULT: u32 = 2048;
export const FRAME_MTRR_FIXED: u32 = 2056;
export const FRAME_MTRR_VARIABLE: u32 = 2144;
/** DR0..DR3 while they are not in the CPU. */
export const FRAME_DEBUG: u32 = 2272;
/** IA32_MCG_STATUS, and IA32_MCi_CTL2 of the two banks. */
export const FRAME_MCG_STATUS: u32 = 2304;
export const FRAME_MC_CTL2: u32 = 2312;
