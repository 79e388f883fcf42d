/**
 * A batch of GNTTABOP_copy: copies between two guests' granted pages, or between one and this domain's memory, collected and then
 * done in one hypercall. Each has a status of its own.
 */
import {
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTST_general_error,
  GNTST_okay,
  GnttabCopy,
  GNTTABOP_copy,
} from "../../../abi/grant-table";
import { DOMID_SELF } from "../../../abi/xen";
import { heapAllocate } from "../../../drivers/host/heap";
import { grantTableOp } from "../../../drivers/host/hypercalls";

/** Most copies of a batch. */
export const COPIES_MAX: u32 = 1024;
const PAGE_SHIFT: u32 = 12;
const PAGE_MASK: u32 = 4095;

let elements: usize = 0;
/** Copies collected, and how many of them are done. */
let collected: u32 = 0;
let done: u32 = 0;
/** Totals, for measurements: hypercalls, copies, bytes. */
export let copyHypercalls: u64 = 0;
export let copyCount: u64 = 0;
export let copyBytes: u64 = 0;

/** Before anything else here; false without memory. */
export function copiesInit(): bool {
  elements = heapAllocate(COPIES_MAX * GnttabCopy.SIZE);
  return elements != 0;
}

/** Begins a batch. */
export function copiesBegin(): void {
  collected = 0;
  done = 0;
}

/** Copies collected: the index of the next one. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function copiesAt(): u32 {
  return collected;
}

/** Copies that still fit. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function copiesRoom(): u32 {
  return COPIES_MAX - collected;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function begin(flags: u32, length: u32): usize {
  assert(collected < COPIES_MAX, "more copies than were reckoned with");
  const e = elements + collected++ * GnttabCopy.SIZE;
  copyBytes += length;
  store<u16>(e, <u16>length, GnttabCopy.len);
  store<u16>(e, <u16>flags, GnttabCopy.flags);
  store<i16>(e, <i16>GNTST_general_error, GnttabCopy.status);
  return e;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function source(e: usize, name: u64, domid: u32, offset: u32): void {
  store<u64>(e, name, GnttabCopy.source_u_gmfn);
  store<u16>(e, <u16>domid, GnttabCopy.source_domid);
  store<u16>(e, <u16>offset, GnttabCopy.source_offset);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function dest(e: usize, name: u64, domid: u32, offset: u32): void {
  store<u64>(e, name, GnttabCopy.dest_u_gmfn);
  store<u16>(e, <u16>domid, GnttabCopy.dest_domid);
  store<u16>(e, <u16>offset, GnttabCopy.dest_offset);
}

/** From a guest's page to this domain's memory at `linear`, within one page on both sides. */
export function copyIn(domid: u32, ref: u32, offset: u32, linear: usize, length: u32): void {
  const e = begin(GNTCOPY_source_gref, length);
  source(e, ref, domid, offset);
  dest(e, <u64>(linear >> PAGE_SHIFT), DOMID_SELF, (<u32>linear) & PAGE_MASK);
}

/** From this domain's memory to a guest's page. */
export function copyOut(linear: usize, domid: u32, ref: u32, offset: u32, length: u32): void {
  const e = begin(GNTCOPY_dest_gref, length);
  source(e, <u64>(linear >> PAGE_SHIFT), DOMID_SELF, (<u32>linear) & PAGE_MASK);
  dest(e, ref, domid, offset);
}

/** From a guest's page to another guest's. */
export function copyAcross(
  fromDomid: u32,
  fromRef: u32,
  fromOffset: u32,
  toDomid: u32,
  toRef: u32,
  toOffset: u32,
  length: u32,
): void {
  const e = begin(GNTCOPY_source_gref | GNTCOPY_dest_gref, length);
  source(e, fromRef, fromDomid, fromOffset);
  dest(e, toRef, toDomid, toOffset);
}

/** Does the copies collected since the last call. What they wrote to this domain's memory is there afterwards. */
export function copiesRun(): void {
  if (done == collected) return;
  const count = collected - done;
  copyHypercalls++;
  copyCount += count;
  // An error of the call as a whole leaves the statuses at GNTST_general_error.
  grantTableOp(GNTTABOP_copy, elements + done * GnttabCopy.SIZE, count);
  done = collected;
}

/** The first status other than GNTST_okay of the copies from `first` up to `end`, which are done. */
export function copiesStatus(first: u32, end: u32): i32 {
  for (let i = first; i < end; i++) {
    const status = load<i16>(elements + i * GnttabCopy.SIZE, GnttabCopy.status);
    if (status != GNTST_okay) return status;
  }
  return GNTST_okay;
}
