/**
 * Grants of this domain's own pages to others: its grant table, whose frames appear at IO_GRANT_TABLE as they are needed. An
 * entry is free when its flags and domain are 0. Those that this run has given back are linked by their frame fields and used again
 * first, the latest before the others: the hypervisor keeps records for each 64 entries that were ever used. Which others are free
 * is read from the table itself.
 *
 * A restart of the domain empties the table but for the flags of uses, which go on: whoever has granted a page of stable memory
 * grants it again under the same reference (grantAccessAs), before anything new is granted.
 */
import {
  GNTTAB_NR_RESERVED_ENTRIES,
  GrantEntryV1,
  GTF_permit_access,
  GTF_reading,
  GTF_writing,
} from "../../abi/grant-table";
import { IO_GRANT_TABLE, IO_GRANT_TABLE_END } from "../../abi/io/layout";
import { AddToPhysmap, XENMAPSPACE_grant_table, XENMEM_add_to_physmap } from "../../abi/memory";
import { __HYPERVISOR_memory_op, DOMID_SELF } from "../../abi/xen";
import { barrier, compareExchange32, fetchOr32, hypercall, read32, write32 } from "./host";

const FRAMES: u32 = (IO_GRANT_TABLE_END - IO_GRANT_TABLE) >> 12;
const PAGE_SHIFT: u32 = 12;
const FRAME_ENTRIES: u32 = 4096 / GrantEntryV1.SIZE;

const argument: usize = memory.data(24, 8);
/** Frames mapped. */
let frames: u32 = 0;
/** The entry that was given back last, whose frame field is the next such; 0: none. */
let given: u32 = 0;
/** Where the search for another free entry begins. */
let next: u32 = GNTTAB_NR_RESERVED_ENTRIES;

function entryOf(ref: u32): usize {
  return <usize>IO_GRANT_TABLE + <usize>ref * GrantEntryV1.SIZE;
}

/** Maps table frames up to the one with entry `ref`. */
function tableReaches(ref: u32): bool {
  while (ref >= frames * FRAME_ENTRIES) {
    if (frames == FRAMES) return false;
    memory.fill(argument, 0, AddToPhysmap.SIZE);
    store<u16>(argument, <u16>DOMID_SELF, AddToPhysmap.domid);
    store<u32>(argument, XENMAPSPACE_grant_table, AddToPhysmap.space);
    store<u64>(argument, frames, AddToPhysmap.idx);
    store<u64>(argument, ((<u64>IO_GRANT_TABLE) >> PAGE_SHIFT) + frames, AddToPhysmap.gpfn);
    if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, argument, 0, 0, 0) < 0) return false;
    frames++;
  }
  return true;
}

/**
 * Lets `domid` map the page at `linear`, for reading and writing. The reference; 0 when no entry is free. The table grows only when
 * every entry of the frames it has is in use: they are looked through once for each frame more.
 */
export function grantAccess(domid: u32, linear: usize): u32 {
  if (given) {
    const ref = given;
    given = read32(entryOf(ref) + GrantEntryV1.frame);
    publish(ref, domid, linear);
    return ref;
  }
  while (true) {
    const mapped = frames * FRAME_ENTRIES;
    for (let i = GNTTAB_NR_RESERVED_ENTRIES; i < mapped; i++) {
      const ref = next < mapped ? next : GNTTAB_NR_RESERVED_ENTRIES;
      next = ref + 1;
      if (read32(entryOf(ref)) != 0) continue;
      publish(ref, domid, linear);
      return ref;
    }
    if (!tableReaches(mapped)) return 0;
    next = max(mapped, GNTTAB_NR_RESERVED_ENTRIES);
  }
}

/** As grantAccess, under a reference that an earlier run of the domain gave out; false when the table cannot be mapped. */
export function grantAccessAs(ref: u32, domid: u32, linear: usize): bool {
  if (ref < GNTTAB_NR_RESERVED_ENTRIES || !tableReaches(ref)) return false;
  publish(ref, domid, linear);
  return true;
}

function publish(ref: u32, domid: u32, linear: usize): void {
  const entry = entryOf(ref);
  write32(entry + GrantEntryV1.frame, <u32>(linear >> PAGE_SHIFT));
  barrier();
  fetchOr32(entry, GTF_permit_access | (domid << 16));
}

/** Revokes a grant; false, and nothing done, while the other domain still uses the page. */
export function grantEnd(ref: u32): bool {
  const entry = entryOf(ref);
  let header = read32(entry);
  if (!header) return true;
  while (!(header & (GTF_reading | GTF_writing))) {
    const found = compareExchange32(entry, header, 0);
    if (found == header) {
      write32(entry + GrantEntryV1.frame, given);
      given = ref;
      return true;
    }
    header = found;
  }
  return false;
}
