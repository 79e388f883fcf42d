/**
 * Memory of the module itself: for records that live as long as it does, and pools of records that come and go. It is asked for
 * before it is touched, so that there being none is an answer and not the domain's end.
 */
import { IO_RAM_END } from "../../abi/io/layout";
import { populatePhysmap } from "./hypercalls";

const ALIGNMENT: usize = 16;
const PAGE: usize = 4096;

/** First free byte, and the end of what has been asked for; 0 before the first allocation. */
let top: usize = 0;
let limit: usize = 0;

/** Has memory from `top` up to `end`. False when there is none. */
function reach(end: usize): bool {
  while (limit < end) {
    // By 2 MiB where as much is wanted and it is aligned.
    const order: u32 = end - limit >= 512 * PAGE && (limit & (512 * PAGE - 1)) == 0 ? 9 : 0;
    if (populatePhysmap((<u64>limit) >> 12, order) < 0) return false;
    limit += PAGE << order;
  }
  return true;
}

function begin(): void {
  if (top) return;
  top = (__heap_base + (ALIGNMENT - 1)) & ~(ALIGNMENT - 1);
  // The page that the module's data ends in is there; it may be the image's.
  limit = (top + (PAGE - 1)) & ~(PAGE - 1);
}

/** Allocates `bytes` zeroed bytes, aligned to 16; 0 when there is no memory. They are never freed. */
export function heapAllocate(bytes: usize): usize {
  begin();
  if (bytes > <usize>IO_RAM_END - top) return 0;
  const start = top;
  const end = start + ((bytes + (ALIGNMENT - 1)) & ~(ALIGNMENT - 1));
  if (end > <usize>IO_RAM_END || !reach(end)) return 0;
  top = end;
  return start;
}

/** As heapAllocate: whole pages, page-aligned. */
export function heapAllocatePages(pages: u32): usize {
  begin();
  const start = (top + (PAGE - 1)) & ~(PAGE - 1);
  const bytes = (<usize>pages) << 12;
  if (start > <usize>IO_RAM_END || bytes > <usize>IO_RAM_END - start || !reach(start + bytes)) return 0;
  top = start + bytes;
  return start;
}

/** Records of one size: those that were freed are used again. */
@unmanaged
export class Pool {
  /** Bytes of a record, a multiple of 16; how many there are at most, and were made so far. */
  bytes: u32;
  most: u32;
  made: u32;
  free: usize;
  used: u32;
}

/** Prepares a pool of at most `most` records of `bytes` bytes, 4 at least. */
export function poolInit(p: Pool, bytes: u32, most: u32): void {
  p.bytes = (bytes + 15) & ~15;
  p.most = most;
  p.made = 0;
  p.free = 0;
  p.used = 0;
}

/** A zeroed record; 0: as many as there may be are in use, or there is no memory. */
export function poolTake(p: Pool): usize {
  let record = p.free;
  if (record) {
    p.free = load<usize>(record);
    memory.fill(record, 0, p.bytes);
  } else {
    if (p.made == p.most) return 0;
    record = heapAllocate(p.bytes);
    if (!record) return 0;
    p.made++;
  }
  p.used++;
  return record;
}

/** Gives a record back. */
export function poolGive(p: Pool, record: usize): void {
  store<usize>(record, p.free);
  p.free = record;
  p.used--;
}
