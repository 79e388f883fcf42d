/**
 * Memory of the module itself, for records that live as long as it does: drivers allocate when a device is found, never on a
 * data path, and nothing is freed.
 */
import { IO_HEAP_END } from "../../abi/io/layout";

const ALIGNMENT: usize = 16;

/** First free byte; 0 before the first allocation. */
let top: usize = 0;

/** Allocates `bytes` zeroed bytes, aligned to 16; 0 when there is no room. */
export function heapAllocate(bytes: usize): usize {
  if (!top) top = (__heap_base + (ALIGNMENT - 1)) & ~(ALIGNMENT - 1);
  const start = top;
  if (bytes > <usize>IO_HEAP_END - start) return 0;
  top = (start + bytes + (ALIGNMENT - 1)) & ~(ALIGNMENT - 1);
  return start;
}
