/** memory_op: populating guests' memory, and mapping guests' frames into the window. */
import { EINVAL, ENOMEM } from "../../../abi/errno.ts";
import {
  AddToPhysmap,
  AddToPhysmapBatch,
  ForeignMemoryMap,
  MemoryReservation,
  RemoveFromPhysmap,
  XENMAPSPACE_gmfn_foreign,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_add_to_physmap_batch,
  XENMEM_decrease_reservation,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_set_memory_map,
} from "../../../abi/memory.ts";
import { __HYPERVISOR_memory_op, __HYPERVISOR_multicall, DOMID_SELF, MulticallEntry } from "../../../abi/xen.ts";
import { checked, hypercall, HypercallError } from "../hypercall.ts";
import { BUILD_WINDOW } from "../map-space.ts";
import { reserveScratch, type Scratch } from "../scratch.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../window.ts";

/** Frames in one batch: one page of 64-bit frame numbers. */
export const BATCH_PAGES = 512;

/** Lists of frame numbers: their high words stay zero, guests' frame numbers have 32 bits. */
const frameList = reserveScratch(BATCH_PAGES * 8);
const windowList = reserveScratch(BATCH_PAGES * 8);
const errorList = reserveScratch(BATCH_PAGES * 4);

const reservation = reserveScratch(MemoryReservation.SIZE, (words) => {
  words[MemoryReservation.extent_start / 4] = frameList.address;
});
const EXTENTS = MemoryReservation.nr_extents / 4;
const ORDER = MemoryReservation.extent_order / 4;
const RESERVATION_DOMID = MemoryReservation.domid / 4;

/**
 * Gives a domain zeroed memory at consecutive frame numbers, in extents of 2^order frames.
 * @returns the number of extents populated: fewer than requested when memory of that order has run out
 */
export function populateRange(domain: number, firstGfn: number, order: number, extents: number): number {
  return reserve("XENMEM_populate_physmap", XENMEM_populate_physmap, domain, firstGfn, order, extents);
}

/**
 * Takes memory away from a domain again: extents of 2^order frames at consecutive frame numbers, which are all there.
 * @throws HypercallError EINVAL where some are not; those before them are gone
 */
export function releaseRange(domain: number, firstGfn: number, order: number, extents: number): void {
  const name = "XENMEM_decrease_reservation";
  const done = reserve(name, XENMEM_decrease_reservation, domain, firstGfn, order, extents);
  if (done < extents) throw new HypercallError(name, EINVAL);
}

/** One of the two, in as many calls as it takes; returns the extents done. */
function reserve(
  name: string,
  command: number,
  domain: number,
  firstGfn: number,
  order: number,
  extents: number,
): number {
  const list = frameList.words;
  const { words } = reservation;
  const step = 2 ** order;
  words[ORDER] = order;
  words[RESERVATION_DOMID] = domain;
  for (let done = 0; done < extents;) {
    const batch = Math.min(extents - done, BATCH_PAGES);
    const end = 2 * batch;
    for (let i = 0, gfn = firstGfn + done * step; i < end; i += 2, gfn += step) list[i] = gfn;
    words[EXTENTS] = batch;
    const given = checked(name, hypercall(__HYPERVISOR_memory_op, command, reservation.address));
    done += given;
    if (given < batch) return done;
  }
  return extents;
}

/** As `populateRange`, for single frames, and all of them: throws HypercallError ENOMEM where memory runs out. */
export function populateAll(domain: number, firstGfn: number, frames: number): void {
  if (populateRange(domain, firstGfn, 0, frames) < frames) throw new HypercallError("XENMEM_populate_physmap", ENOMEM);
}

/** Gives domain 0 zeroed memory at consecutive frame numbers, for a part of its window; false, with nothing given: memory has run out. */
export function takeOwnMemory(firstGfn: number, frames: number): boolean {
  const given = populateRange(DOMID_SELF, firstGfn, 0, frames);
  if (given === frames) return true;
  releaseRange(DOMID_SELF, firstGfn, 0, given);
  return false;
}

/** Gives back memory of domain 0's own, which is all there. @throws HypercallError EINVAL where it is not */
export function releaseOwnMemory(firstGfn: number, frames: number): void {
  releaseRange(DOMID_SELF, firstGfn, 0, frames);
}

/** Gives a domain zeroed memory at these frame numbers, BATCH_PAGES at most: throws HypercallError ENOMEM as `populateAll`. */
export function populateFrames(domain: number, gfns: number[]): void {
  const list = frameList.words;
  gfns.forEach((gfn, i) => {
    list[2 * i] = gfn;
  });
  const { words } = reservation;
  words[ORDER] = 0;
  words[RESERVATION_DOMID] = domain;
  words[EXTENTS] = gfns.length;
  const name = "XENMEM_populate_physmap";
  const given = checked(name, hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, reservation.address));
  if (given < gfns.length) throw new HypercallError(name, ENOMEM);
}

/** The list of guest frame numbers for `mapForeign`: the caller writes frame i to word 2i. */
export function foreignFrames(): Uint32Array {
  return frameList.words;
}

const batchArgument = reserveScratch(AddToPhysmapBatch.SIZE, (words) => {
  // domid in the low half, space in the high half
  words[AddToPhysmapBatch.domid / 4] = DOMID_SELF | (XENMAPSPACE_gmfn_foreign << 16);
  words[AddToPhysmapBatch.idxs / 4] = frameList.address;
  words[AddToPhysmapBatch.gpfns / 4] = windowList.address;
  words[AddToPhysmapBatch.errs / 4] = errorList.address;
});
/** size in the low half, u.foreign_domid in the high half. */
const SIZE_AND_DOMID = AddToPhysmapBatch.size / 4;

/** First page number that `windowList` is filled for, and for how many entries. */
let listedFrom = -1;
let listed = 0;

/**
 * Maps the `pages` frames of `domain` listed in `foreignFrames` at consecutive pages from `address` in the window, all
 * or none.
 * @throws HypercallError, for instance for a frame that the guest does not have
 */
export function mapForeign(domain: number, pages: number, address: number): void {
  const page = address >>> PAGE_SHIFT;
  if (listedFrom !== page) {
    listedFrom = page;
    listed = 0;
  }
  for (; listed < pages; listed++) windowList.words[2 * listed] = page + listed;
  batchArgument.words[SIZE_AND_DOMID] = pages | (domain << 16);
  let failure = hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, batchArgument.address);
  if (failure >= 0) {
    const errors = errorList.words;
    for (let i = 0; i < pages; i++) failure |= errors[i]!;
  }
  if (failure === 0) return;
  const first = errorList.words.subarray(0, pages).find((error) => error !== 0);
  // Removing a page that was not mapped is refused and harmless.
  for (let i = 0; i < pages; i++) removePage(page + i);
  throw new HypercallError("XENMEM_add_to_physmap_batch", -(first === undefined ? failure : first | 0));
}

const REMOVE_DOMID = RemoveFromPhysmap.domid / 4;
const REMOVE_GPFN = RemoveFromPhysmap.gpfn / 4;
const removeArgument = reserveScratch(RemoveFromPhysmap.SIZE, (words) => {
  words[REMOVE_DOMID] = DOMID_SELF;
});

function removePage(page: number): number {
  removeArgument.words[REMOVE_GPFN] = page;
  return hypercall(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, removeArgument.address);
}

/** Unmaps one page of the window. */
export function unmapPage(address: number): void {
  checked("XENMEM_remove_from_physmap", removePage(address >>> PAGE_SHIFT));
}

/** Multicalls that unmap the builder's window, a scratch page of entries and arguments for CALLS pages each. */
const CALLS = Math.floor(PAGE_SIZE / (MulticallEntry.SIZE + RemoveFromPhysmap.SIZE));
const CALL_WORDS = MulticallEntry.SIZE / 4;
const CALL_RESULT = MulticallEntry.result / 4;
const unmapCalls: Scratch[] = [];
for (let first = 0; first < BATCH_PAGES; first += CALLS) unmapCalls.push(reserveScratch(PAGE_SIZE));
/** Pages whose entries have been written. */
let prepared = 0;

function prepareUnmap(index: number): void {
  const { words, address } = unmapCalls[Math.floor(index / CALLS)]!;
  const entry = (index % CALLS) * CALL_WORDS;
  const structure = CALLS * MulticallEntry.SIZE + (index % CALLS) * RemoveFromPhysmap.SIZE;
  words[entry + MulticallEntry.op / 4] = __HYPERVISOR_memory_op;
  words[entry + MulticallEntry.args / 4] = XENMEM_remove_from_physmap;
  words[entry + MulticallEntry.args / 4 + 2] = address + structure;
  words[structure / 4 + REMOVE_DOMID] = DOMID_SELF;
  words[structure / 4 + REMOVE_GPFN] = (BUILD_WINDOW >>> PAGE_SHIFT) + index;
}

/** Unmaps the first `pages` pages of the builder's window, by multicalls whose entries are written only once. */
export function unmapBuildWindow(pages: number): void {
  for (; prepared < pages; prepared++) prepareUnmap(prepared);
  for (let first = 0, chunk = 0; first < pages; first += CALLS, chunk++) {
    const { words, address } = unmapCalls[chunk]!;
    const calls = Math.min(pages - first, CALLS);
    checked("multicall", hypercall(__HYPERVISOR_multicall, address, calls));
    let failed = 0;
    for (let i = CALL_RESULT; i < calls * CALL_WORDS; i += CALL_WORDS) failed |= words[i]!;
    if (failed !== 0) throw new Error("the hypervisor did not unmap a guest's frames");
  }
}

const placeArgument = reserveScratch(AddToPhysmap.SIZE, (words) => {
  words[AddToPhysmap.space / 4] = XENMAPSPACE_shared_info;
});
const PLACE_DOMID = AddToPhysmap.domid / 4; // and size
const PLACE_GFN = AddToPhysmap.gpfn / 4;

/** Maps a domain's shared_info at one of its frame numbers, in place of the RAM there. */
export function mapSharedInfo(domain: number, gfn: number): void {
  const { words, address } = placeArgument;
  words[PLACE_DOMID] = domain;
  words[PLACE_GFN] = gfn;
  checked("XENMEM_add_to_physmap", hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, address));
}

const tableArgument = reserveScratch(AddToPhysmap.SIZE, (words) => {
  words[AddToPhysmap.domid / 4] = DOMID_SELF; // and size
  words[AddToPhysmap.space / 4] = XENMAPSPACE_grant_table;
});

/** Maps a frame of domain 0's own grant table, which grows up to it, at a page of the window. */
export function mapGrantTable(index: number, address: number): void {
  tableArgument.words[AddToPhysmap.idx / 4] = index;
  tableArgument.words[PLACE_GFN] = address >>> PAGE_SHIFT;
  const { address: argument } = tableArgument;
  checked("XENMEM_add_to_physmap", hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, argument));
}

const E820_ENTRY = 20;
const E820_MAX = 128;
const mapList = reserveScratch(E820_MAX * E820_ENTRY);
const mapArgument = reserveScratch(ForeignMemoryMap.SIZE, (words) => {
  words[ForeignMemoryMap.map_buffer / 4] = mapList.address;
});
const MAP_DOMID = ForeignMemoryMap.domid / 4;
const MAP_ENTRIES = ForeignMemoryMap.map_nr_entries / 4;

/** One range of a guest's physical memory; `type` is XEN_HVM_MEMMAP_TYPE_*, the same numbers as E820's. */
export interface MemoryRange {
  start: number;
  size: number;
  type: number;
}

/** Sets the map returned by the guest's XENMEM_memory_map. */
export function setMemoryMap(domain: number, ranges: readonly MemoryRange[]): void {
  if (ranges !== listedRanges) listRanges(ranges);
  mapArgument.words[MAP_DOMID] = domain;
  mapArgument.words[MAP_ENTRIES] = ranges.length;
  checked("XENMEM_set_memory_map", hypercall(__HYPERVISOR_memory_op, XENMEM_set_memory_map, mapArgument.address));
}

/** What `mapList` holds: guests that are alike have the same map. */
let listedRanges: readonly MemoryRange[] | null = null;

function listRanges(ranges: readonly MemoryRange[]): void {
  listedRanges = ranges;
  const list = mapList.words;
  let at = 0;
  for (const { start, size, type } of ranges) {
    list[at++] = start;
    list[at++] = start / 0x100000000;
    list[at++] = size;
    list[at++] = size / 0x100000000;
    list[at++] = type;
  }
}
