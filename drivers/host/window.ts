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
const PAGES: u32 = (IO_MAP_END - IO_MAP) >> PAGE_SHIFT;
const NONE: u32 = 0xffffffff;

const argument: usize = memory.data(32, 8);
/** Of each page used so far: its mapping's handle, or the next free page. */
let handles: usize = 0;
let used: u32 = 0;
let free: u32 = NONE;

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
