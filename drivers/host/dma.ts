/**
 * Memory for devices: frames of the domain's own whose addresses for devices it knows, the machine's, or its own linear ones where an
 * IOMMU confines devices: the hypervisor says which. Each allocation is contiguous in both, up to 2 MiB; nothing is freed, because drivers keep their rings and buffers for as long as they run.
 */
import { IO_DMA, IO_DMA_END } from "../../abi/io/layout";
import { populatePhysmap } from "./hypercalls";

const PAGE_SHIFT: u32 = 12;
const ORDER_MAX: u32 = 9;
/** Frame of each page from IO_DMA up, u32. */
const frameTable: usize = memory.data(16384 * 4);

/** First unused byte from IO_DMA up. */
let used: usize = 0;

/**
 * Allocates 2^n pages, at least `pages`, zeroed and contiguous.
 * @param pages 1 to 512
 * @returns the linear address, aligned to the size; 0 when there is no memory
 */
export function dmaAllocate(pages: u32): usize {
  let order: u32 = 0;
  while ((<u32>1) << order < pages) order++;
  if (order > ORDER_MAX) return 0;
  const bytes: usize = (<usize>1) << (PAGE_SHIFT + order);
  const start = (used + bytes - 1) & ~(bytes - 1);
  if (start + bytes > IO_DMA_END - IO_DMA) return 0;
  const linear = <usize>IO_DMA + start;
  const mfn = populatePhysmap((<u64>linear) >> PAGE_SHIFT, order);
  if (mfn < 0) return 0;
  used = start + bytes;
  for (let i: usize = 0; i < (<usize>1) << order; i++) {
    store<u32>(frameTable + (((start >> PAGE_SHIFT) + i) << 2), <u32>mfn + <u32>i);
  }
  return linear;
}

/** The address by which devices reach a byte of DMA memory. */
export function dmaMachine(linear: usize): u64 {
  const offset = linear - IO_DMA;
  return (
    ((<u64>load<u32>(frameTable + ((offset >> PAGE_SHIFT) << 2))) << PAGE_SHIFT) |
    (<u64>(offset & ((1 << PAGE_SHIFT) - 1)))
  );
}
