/** Combines an exception with another one whose delivery is pending (SDM 3A, table 6-5; APM 2, 8.2.9). */
import { VECTOR_DF, VECTOR_PF } from "./vectors";

export const enum Combined {
  /** The second is delivered; the first is raised again when its instruction is executed again. */
  Second = 0,
  DoubleFault = 1,
  /** A triple fault. */
  Shutdown = 2,
}

/** Vectors 0 and 10 to 13: "contributory" in those tables. */
const CONTRIBUTORY: u32 = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13);

/** A contributory exception or a page fault. */
function isSevere(vector: u32): bool {
  return vector == VECTOR_PF || (vector < 32 && ((CONTRIBUTORY >> vector) & 1) != 0);
}

/** Which of Combined: exception `second` is raised while `first` has not been delivered. Both are vectors. */
export function combineExceptions(first: u32, second: u32): u32 {
  if (!isSevere(second)) return Combined.Second;
  if (first == VECTOR_DF) return Combined.Shutdown;
  const both = first == VECTOR_PF || (isSevere(first) && second != VECTOR_PF);
  return both ? Combined.DoubleFault : Combined.Second;
}
