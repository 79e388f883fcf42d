/** memory_op: giving memory to guests, and mapping guests' frames into the window. */
import {
  AddToPhysmapBatch,
  ForeignMemoryMap,
  MemoryReservation,
  RemoveFromPhysmap,
  XENMAPSPACE_gmfn_foreign,
  XENMEM_add_to_physmap_batch,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_set_memory_map,
} from "../../../abi/memory.ts";
import { __HYPERVISOR_memory_op, __HYPERVISOR_multicall, DOMID_SELF, MulticallEntry } from "../../../abi/xen.ts";
import { ENOMEM } from "../../../abi/errno.ts";
import { memory } from "../host.ts";
import { checked, hypercall, HypercallError } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";
import { PAGE_SHIFT, PAGE_SIZE, store64, words } from "../window.ts";

/** Frames in one batch: what a page of 64-bit frame numbers holds. */
export const BATCH_PAGES = 512;

const argument = reserveScratch(AddToPhysmapBatch.SIZE);
const frameList = reserveScratch(BATCH_PAGES * 8);
const windowList = reserveScratch(BATCH_PAGES * 8);
const errorList = reserveScratch(BATCH_PAGES * 4);

/** Multicall that unmaps consecutive pages of the builder's window: entry i, and its argument structure. */
const unmapCalls = reserveScratch(BATCH_PAGES * MulticallEntry.SIZE);
const unmapArguments = reserveScratch(BATCH_PAGES * RemoveFromPhysmap.SIZE);

/** First page number that `windowList` and the multicall are filled for, and for how many entries. */
let listedFrom = -1;
let listedWindow = 0;
let listedUnmaps = 0;

function populate(domain: number, order: number, extents: number): number {
  store64(memory, argument + MemoryReservation.extent_start, frameList);
  store64(memory, argument + MemoryReservation.nr_extents, extents);
  memory.store32(argument + MemoryReservation.extent_order, order);
  memory.store32(argument + MemoryReservation.mem_flags, 0);
  memory.store32(argument + MemoryReservation.domid, domain);
  const done = hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, argument);
  return checked("XENMEM_populate_physmap", done);
}

/**
 * Gives a domain zeroed memory at consecutive frame numbers, in extents of 2^order frames.
 * @returns the number of extents given: fewer than asked when memory of that order has run out
 */
export function populateRange(domain: number, firstGfn: number, order: number, extents: number): number {
  const list = words(memory, frameList, BATCH_PAGES * 2);
  const step = 2 ** order;
  for (let done = 0; done < extents;) {
    const batch = Math.min(extents - done, BATCH_PAGES);
    for (let i = 0, gfn = firstGfn + done * step; i < batch; i++, gfn += step) {
      list[2 * i] = gfn;
      list[2 * i + 1] = 0;
    }
    const given = populate(domain, order, batch);
    done += given;
    if (given < batch) return done;
  }
  return extents;
}

/** As `populateRange`, for single frames, and all of them: throws HypercallError ENOMEM where memory runs out. */
export function populateAll(domain: number, firstGfn: number, frames: number): void {
  if (populateRange(domain, firstGfn, 0, frames) < frames) throw new HypercallError("XENMEM_populate_physmap", ENOMEM);
}

/** The list of guest frame numbers for `mapForeign`: the caller writes frame i to word 2i. */
export function foreignFrames(): Uint32Array {
  return words(memory, frameList, BATCH_PAGES * 2);
}

/**
 * Maps the `pages` frames of `domain` listed in `foreignFrames` at consecutive pages from `address` in the window, all
 * or none.
 * @throws HypercallError, for instance for a frame that the guest does not have
 */
export function mapForeign(domain: number, pages: number, address: number): void {
  const page = address >>> PAGE_SHIFT;
  if (listedFrom !== page) {
    listedFrom = page;
    listedWindow = 0;
  }
  if (listedWindow < pages) {
    const list = words(memory, windowList, BATCH_PAGES * 2);
    for (let i = listedWindow; i < pages; i++) {
      list[2 * i] = page + i;
      list[2 * i + 1] = 0;
    }
    listedWindow = pages;
  }
  memory.store16(argument + AddToPhysmapBatch.domid, DOMID_SELF);
  memory.store16(argument + AddToPhysmapBatch.space, XENMAPSPACE_gmfn_foreign);
  memory.store16(argument + AddToPhysmapBatch.size, pages);
  memory.store16(argument + AddToPhysmapBatch.u_foreign_domid, domain);
  store64(memory, argument + AddToPhysmapBatch.idxs, frameList);
  store64(memory, argument + AddToPhysmapBatch.gpfns, windowList);
  store64(memory, argument + AddToPhysmapBatch.errs, errorList);
  const result = hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, argument);
  let failure = result;
  if (result >= 0) {
    const errors = words(memory, errorList, BATCH_PAGES);
    for (let i = 0; i < pages; i++) {
      if (errors[i] !== 0) {
        failure = errors[i]! | 0;
        break;
      }
    }
  }
  if (failure < 0) {
    // The pages mapped before the failing one; removing one that is not mapped is refused and harmless.
    for (let i = 0; i < pages; i++) removePage(page + i);
    throw new HypercallError("XENMEM_add_to_physmap_batch", -failure);
  }
}

function removePage(page: number): number {
  memory.store16(argument + RemoveFromPhysmap.domid, DOMID_SELF);
  store64(memory, argument + RemoveFromPhysmap.gpfn, page);
  return hypercall(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, argument);
}

/** Unmaps one page of the window. */
export function unmapPage(address: number): void {
  checked("XENMEM_remove_from_physmap", removePage(address >>> PAGE_SHIFT));
}

/**
 * Unmaps the first `pages` pages of the builder's window, which begins at `window`, with one multicall whose entries
 * are written only once in domain 0's life.
 */
export function unmapWindow(window: number, pages: number): void {
  for (let i = listedUnmaps; i < pages; i++) {
    const entry = unmapCalls + i * MulticallEntry.SIZE;
    const structure = unmapArguments + i * RemoveFromPhysmap.SIZE;
    store64(memory, entry + MulticallEntry.op, __HYPERVISOR_memory_op);
    store64(memory, entry + MulticallEntry.args, XENMEM_remove_from_physmap);
    store64(memory, entry + MulticallEntry.args + 8, structure);
    memory.store16(structure + RemoveFromPhysmap.domid, DOMID_SELF);
    store64(memory, structure + RemoveFromPhysmap.gpfn, (window + i * PAGE_SIZE) / PAGE_SIZE);
  }
  listedUnmaps = Math.max(listedUnmaps, pages);
  checked("multicall", hypercall(__HYPERVISOR_multicall, unmapCalls, pages));
  for (let i = 0; i < pages; i++) {
    const result = memory.load32(unmapCalls + i * MulticallEntry.SIZE + MulticallEntry.result) | 0;
    checked("XENMEM_remove_from_physmap", result);
  }
}

const E820_ENTRY = 20;
const E820_MAX = 128;
const mapList = reserveScratch(E820_MAX * E820_ENTRY);

/** One range of a guest's physical memory; `type` is XEN_HVM_MEMMAP_TYPE_*, the same numbers as E820's. */
export interface MemoryRange {
  start: number;
  size: number;
  type: number;
}

/** Sets what the guest's XENMEM_memory_map answers. */
export function setMemoryMap(domain: number, ranges: MemoryRange[]): void {
  ranges.forEach((range, i) => {
    store64(memory, mapList + i * E820_ENTRY, range.start);
    store64(memory, mapList + i * E820_ENTRY + 8, range.size);
    memory.store32(mapList + i * E820_ENTRY + 16, range.type);
  });
  memory.store16(argument + ForeignMemoryMap.domid, domain);
  memory.store32(argument + ForeignMemoryMap.map_nr_entries, ranges.length);
  store64(memory, argument + ForeignMemoryMap.map_buffer, mapList);
  checked("XENMEM_set_memory_map", hypercall(__HYPERVISOR_memory_op, XENMEM_set_memory_map, argument));
}
