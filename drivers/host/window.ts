/**
 * Other domains' granted pages in this domain's memory: places in the window IO_MAP, one page each, and the hypercalls that fill
 * and empty them.
 */
import {
  GNTMAP_host_map,
  GNTST_okay,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
} from "../../abi/grant-table";
import { IO_MAP, IO_MAP_END } from "../../abi/io/layout";
import { heapAllocate } from "./heap";
import { grantTableOp } from "./hypercalls";

const PAGE_SHIFT: u32 = 12;
/** The window's lower half is given out by pages, its upper half in ranges. */
const PAGES: u32 = (IO_MAP_END - IO_MAP) >> (PAGE_SHIFT + 1);
const RANGES: usize = <usize>IO_MAP + ((<usize>PAGES) << PAGE_SHIFT);
const NONE: u32 = 0xffffffff;

const argument: usize = memory.data(32, 8);
/** Of each page used so far: its mapping's handle, or the next free page. */
let handles: usize = 0;
let used: u32 = 0;
let free: u32 = NONE;

/** A place of one page for a caller that maps by itself; 0 when there is none. */
export function windowPlace(): usize {
  if (!handles) {
    handles = heapAllocate((<usize>PAGES) << 2);
    if (!handles) return 0;
  }
  const page = free != NONE ? free : used;
  if (page >= PAGES) return 0;
  if (page == free) free = load<u32>(handles + ((<usize>page) << 2));
  else used++;
  return <usize>IO_MAP + ((<usize>page) << PAGE_SHIFT);
}

/** Gives a place back, in which nothing is mapped any more. */
export function windowPlaceGive(linear: usize): void {
  const page = (<u32>linear - IO_MAP) >> PAGE_SHIFT;
  store<u32>(handles + ((<usize>page) << 2), free);
  free = page;
}

/** Ranges of 2^order pages that were given back, by order: linked through `ranges`. */
const RANGE_ORDERS: u32 = 17;
const rangeHeads: usize = memory.data(17 * 4);
let rangeTop: usize = RANGES;
/** For each page of the upper half that begins a free range: the next one, u32. */
let ranges: usize = 0;

/** A place of 2^`order` pages, contiguous; 0 when there is none. */
export function windowRange(order: u32): usize {
  if (order >= RANGE_ORDERS) return 0;
  if (!ranges) {
    ranges = heapAllocate((<usize>PAGES) << 2);
    if (!ranges) return 0;
  }
  const head = rangeHeads + ((<usize>order) << 2);
  const at = load<usize>(head);
  if (at) {
    store<usize>(head, load<usize>(ranges + ((at - RANGES) >> (PAGE_SHIFT - 2))));
    return at;
  }
  const bytes = (<usize>1) << (order + PAGE_SHIFT);
  if (bytes > <usize>IO_MAP_END - rangeTop) return 0;
  const place = rangeTop;
  rangeTop += bytes;
  return place;
}

/** Gives a range back, in which nothing is mapped any more. */
export function windowRangeGive(at: usize, order: u32): void {
  const head = rangeHeads + ((<usize>order) << 2);
  store<usize>(ranges + ((at - RANGES) >> (PAGE_SHIFT - 2)), load<usize>(head));
  store<usize>(head, at);
}

/** Maps grant `ref` of `domid`, writable. Its linear address; 0 when it is refused or there is no room. */
export function windowMap(domid: u32, ref: u32): usize {
  if (!handles) {
    handles = heapAllocate((<usize>PAGES) << 2);
    if (!handles) return 0;
  }
  const page = free != NONE ? free : used;
  if (page >= PAGES) return 0;
  const linear = <usize>IO_MAP + ((<usize>page) << PAGE_SHIFT);
  memory.fill(argument, 0, GnttabMapGrantRef.SIZE);
  store<u64>(argument, linear, GnttabMapGrantRef.host_addr);
  store<u32>(argument, GNTMAP_host_map, GnttabMapGrantRef.flags);
  store<u32>(argument, ref, GnttabMapGrantRef.ref);
  store<u16>(argument, <u16>domid, GnttabMapGrantRef.dom);
  if (grantTableOp(GNTTABOP_map_grant_ref, argument, 1) != 0) return 0;
  if (load<i16>(argument, GnttabMapGrantRef.status) != GNTST_okay) return 0;
  if (page == free) free = load<u32>(handles + ((<usize>page) << 2));
  else used++;
  store<u32>(handles + ((<usize>page) << 2), load<u32>(argument, GnttabMapGrantRef.handle));
  return linear;
}

/** Unmaps what windowMap mapped at `linear`. */
export function windowUnmap(linear: usize): void {
  const page = (<u32>linear - IO_MAP) >> PAGE_SHIFT;
  const handle = handles + ((<usize>page) << 2);
  memory.fill(argument, 0, GnttabUnmapGrantRef.SIZE);
  store<u64>(argument, linear, GnttabUnmapGrantRef.host_addr);
  store<u32>(argument, load<u32>(handle), GnttabUnmapGrantRef.handle);
  grantTableOp(GNTTABOP_unmap_grant_ref, argument, 1);
  store<u32>(handle, free);
  free = page;
}
