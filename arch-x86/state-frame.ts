/**
 * The frame at HvmVcpu.fpuPa: the FPU save area, and behind it what a guest may read back of registers that have no
 * effect or are switched lazily. Byte offsets.
 */

/** XSAVE or FXSAVE area: x87, SSE, AVX take 832 bytes. */
export const FRAME_FPU: u32 = 0;
export const FRAME_FPU_BYTES: u32 = 2048;
/** MTRRs: IA32_MTRR_DEF_TYPE, 11 fixed ranges in the order of their numbers, 8 pairs of base and mask. */
export const FRAME_MTRR_DEFAULT: u32 = 2048;
export const FRAME_MTRR_FIXED: u32 = 2056;
export const FRAME_MTRR_VARIABLE: u32 = 2144;
/** DR0..DR3 while they are not in the CPU. */
export const FRAME_DEBUG: u32 = 2272;
