/** Vectors of exceptions and the NMI (SDM 3A, table 6-1). */
export const VECTOR_DB: u32 = 1;
export const VECTOR_NMI: u32 = 2;
export const VECTOR_BP: u32 = 3;
export const VECTOR_OF: u32 = 4;
export const VECTOR_UD: u32 = 6;
export const VECTOR_DF: u32 = 8;
export const VECTOR_GP: u32 = 13;
export const VECTOR_PF: u32 = 14;
export const VECTOR_AC: u32 = 17;
export const VECTOR_MC: u32 = 18;
