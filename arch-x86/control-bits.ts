/** Bits of CR0 and CR4 (SDM 3A, 2.5; APM 2, 3.1). */
export const CR0_PE: u64 = 1 << 0;
export const CR0_TS: u64 = 1 << 3;
export const CR0_ET: u64 = 1 << 4;
export const CR0_WP: u64 = 1 << 16;
export const CR0_NW: u64 = 1 << 29;
export const CR0_CD: u64 = 1 << 30;
export const CR0_PG: u64 = 1 << 31;

export const CR4_PSE: u64 = 1 << 4;
export const CR4_PAE: u64 = 1 << 5;
export const CR4_LA57: u64 = 1 << 12;
export const CR4_PCIDE: u64 = 1 << 17;
export const CR4_CET: u64 = 1 << 23;

export const EFER_SCE: u64 = 1 << 0;

export const EFER_LME: u64 = 1 << 8;

export const EFER_LMA: u64 = 1 << 10;

export const EFER_NXE: u64 = 1 << 11;

export const EFER_SVME: u64 = 1 << 12;
