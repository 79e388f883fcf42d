/** The E820 map that a toolstack gave a guest: entries of 20 bytes, u64 base, u64 size, u32 type (xen/memory.h). */
import { Domain } from "../records/domain";
import { heapFreeFor } from "./heap";

export const ENTRY_BYTES: u32 = 20;

/** Frees the guest's map. */
export function memoryMapFree(d: Domain): void {
  heapFreeFor(d, d.memoryMap, <usize>(d.memoryMapEntries * ENTRY_BYTES));
  d.memoryMap = 0;
  d.memoryMapEntries = 0;
}
