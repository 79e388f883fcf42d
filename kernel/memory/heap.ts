/**
 * The hypervisor's heap, for objects that live as long as a domain, a vCPU or a mapping. Nothing on the exit path
 * allocates. Objects up to SMALL_MAX bytes share 4 KiB pages, one size class a page; larger ones have whole pages.
 *
 * Linear pages above the frame table are backed by frames on demand; when a page's last object is freed, its frame is freed
 * immediately, so that the accounting returns exactly to its previous values.
 */
import { DOMID_XEN } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { Domain } from "../records/domain";
import { frameAlloc, frameFree, FrameType } from "./frames";
import { framesEndPage } from "./frames-boot";
import { overheadGive, overheadTake } from "./overhead";
import { framesAvailable } from "./promises";

/** Head of a page of small objects; the objects follow it. */
@unmanaged
class SlabPage {
  next: usize; // pages of this class with free objects, both ways
  prev: usize;
  freeHead: usize; // first free object; each holds the next
  used: u16;
  sizeClass: u16;
}

const PAGE: usize = 4096;
const HEADER: usize = 32; // keeps objects 16-byte aligned
const SMALL_MAX: usize = 2032;
/** Linear pages the heap may use: 512 MiB; one bit each. */
const HEAP_PAGES: u32 = 131072;

const lockWord: usize = memory.data(4);
const classSizes: usize = memory.data<u16>([16, 32, 48, 64, 96, 128, 192, 256, 496, 1008, 2032]);
const partial: usize = memory.data(4 * 11); // first page with free objects, by class
const bitmap: usize = memory.data(16384); // 1: linear page in use

/** First linear page of the table that says which frame is behind each heap page (u32 each), mapped as it is needed. */
let tableStart: u32 = 0;
/** First linear page of the heap itself. */
let basePage: u32 = 0;
/** No free page below this one. */
let searchFrom: u32 = 0;

/** A page of that table: its own frame, and the number of heap pages it describes. */
@unmanaged
class TablePage {
  mfn: u32;
  used: u32;
}
const TABLE_PAGE_BYTES: usize = 8;
const FRAMES_PER_TABLE_PAGE: u32 = 1024;
const TABLE_PAGES: u32 = HEAP_PAGES / FRAMES_PER_TABLE_PAGE;
const tablePages: usize = memory.data(8 * 128);

/** Sets the heap's location; after framesInit, before any allocation. */
export function heapInit(): void {
  tableStart = framesEndPage();
  basePage = tableStart + TABLE_PAGES;
}

function inUse(page: u32): bool {
  return (load<u8>(bitmap + (page >> 3)) & (1 << (page & 7))) != 0;
}

function setUse(page: u32, used: bool): void {
  const p = bitmap + (page >> 3);
  const bit: u8 = 1 << ((<u8>page) & 7);
  store<u8>(p, used ? load<u8>(p) | bit : load<u8>(p) & ~bit);
}

/** Backs linear page `page` of space 0 with a zeroed frame; its number, 0 when out of memory. */
function mapFrame(page: u32): u64 {
  const mfn = frameAlloc(DOMID_XEN, FrameType.Heap);
  if (mfn && hw.spaceMap(0, page, mfn, 1) != 0) {
    frameFree(mfn);
    return 0;
  }
  return mfn;
}

function unmapFrame(page: u32, mfn: u64): void {
  hw.spaceUnmap(0, page);
  frameFree(mfn);
}

/** Backs heap page `page` with a frame, and allocates the page of the frame-number table that records it, if needed. */
function back(page: u32): bool {
  const entry = changetype<TablePage>(tablePages + <usize>(page / FRAMES_PER_TABLE_PAGE) * TABLE_PAGE_BYTES);
  const tablePage = tableStart + page / FRAMES_PER_TABLE_PAGE;
  if (!entry.used) {
    entry.mfn = <u32>mapFrame(tablePage);
    if (!entry.mfn) return false;
  }
  const mfn = mapFrame(basePage + page);
  if (!mfn) {
    if (!entry.used) unmapFrame(tablePage, entry.mfn);
    return false;
  }
  entry.used++;
  store<u32>(((<usize>tableStart) << 12) + ((<usize>page) << 2), <u32>mfn);
  setUse(page, true);
  return true;
}

function unback(page: u32): void {
  const entry = changetype<TablePage>(tablePages + <usize>(page / FRAMES_PER_TABLE_PAGE) * TABLE_PAGE_BYTES);
  unmapFrame(basePage + page, load<u32>(((<usize>tableStart) << 12) + ((<usize>page) << 2)));
  if (--entry.used == 0) unmapFrame(tableStart + page / FRAMES_PER_TABLE_PAGE, entry.mfn);
  setUse(page, false);
  if (page < searchFrom) searchFrom = page;
}

/** A run of `pages` linear pages with frames; its linear address, 0 when out of memory. Contents: zero. */
function takePages(pages: u32): usize {
  let run: u32 = 0;
  while (inUse(searchFrom) && searchFrom < HEAP_PAGES - 1) searchFrom++;
  for (let page = searchFrom; page < HEAP_PAGES; page++) {
    run = inUse(page) ? 0 : run + 1;
    if (run < pages) continue;
    const start = page + 1 - pages;
    for (let i: u32 = 0; i < pages; i++) {
      if (back(start + i)) continue;
      while (i > 0) unback(start + --i);
      return 0;
    }
    return (<usize>basePage + start) << 12;
  }
  return 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function sizeOfClass(c: u32): usize {
  return load<u16>(classSizes + ((<usize>c) << 1));
}

function classFor(size: usize): u32 {
  let c: u32 = 0;
  while (sizeOfClass(c) < size) c++;
  return c;
}

function pageListPush(p: SlabPage): void {
  const head = partial + ((<usize>p.sizeClass) << 2);
  p.prev = 0;
  p.next = load<usize>(head);
  if (p.next) changetype<SlabPage>(p.next).prev = changetype<usize>(p);
  store<usize>(head, changetype<usize>(p));
}

function pageListDrop(p: SlabPage): void {
  if (p.prev) changetype<SlabPage>(p.prev).next = p.next;
  else store<usize>(partial + ((<usize>p.sizeClass) << 2), p.next);
  if (p.next) changetype<SlabPage>(p.next).prev = p.prev;
}

function newSlab(c: u32): usize {
  const base = takePages(1);
  if (!base) return 0;
  const p = changetype<SlabPage>(base);
  p.used = 0;
  p.sizeClass = <u16>c;
  const size = sizeOfClass(c);
  let head: usize = 0;
  for (let at = base + HEADER; at + size <= base + PAGE; at += size) {
    store<usize>(at, head);
    head = at;
  }
  p.freeHead = head;
  pageListPush(p);
  return base;
}

/** Whether all of [ptr, ptr + bytes) is backed by heap pages and thus readable. */
export function heapBacks(ptr: usize, bytes: usize): bool {
  const first = <u32>(ptr >> 12);
  const last = <u32>((ptr + bytes - 1) >> 12);
  return first >= basePage && last - basePage < HEAP_PAGES && inUse(first - basePage) && inUse(last - basePage);
}

/** Bytes of heap used by an allocation of `size` bytes: its size class, or whole pages. */
function costOf(size: usize): u32 {
  return <u32>(size > SMALL_MAX ? (size + PAGE - 1) & ~(PAGE - 1) : sizeOfClass(classFor(size)));
}

/**
 * Allocates `size` bytes of zeroes, 16-byte aligned (page-aligned from 2,033 bytes up), not charged to any domain.
 * @returns the linear address, 0 when out of unpromised memory
 */
export function heapAlloc(size: usize): usize {
  return framesAvailable() >= <u32>((size + PAGE - 1) / PAGE) ? heapTake(size) : 0;
}

/** As heapAlloc, also from the hypervisor's reserve: for memory that is freed before anything else happens. */
export function heapTake(size: usize): usize {
  if (size > SMALL_MAX) {
    hw.lock(lockWord);
    const run = takePages(<u32>((size + PAGE - 1) / PAGE));
    hw.unlock(lockWord);
    return run;
  }
  const c = classFor(size);
  hw.lock(lockWord);
  let page = load<usize>(partial + ((<usize>c) << 2));
  if (!page) page = newSlab(c);
  let object: usize = 0;
  if (page) {
    const p = changetype<SlabPage>(page);
    object = p.freeHead;
    p.freeHead = load<usize>(object);
    p.used++;
    if (!p.freeHead) pageListDrop(p);
  }
  hw.unlock(lockWord);
  if (object) memory.fill(object, 0, sizeOfClass(c));
  return object;
}

/** Frees memory from heapAlloc(size); 0 is ignored. `size` must be the same. */
export function heapFree(ptr: usize, size: usize): void {
  if (!ptr) return;
  hw.lock(lockWord);
  if (size > SMALL_MAX) {
    const pages = <u32>((size + PAGE - 1) / PAGE);
    for (let i: u32 = 0; i < pages; i++) unback(<u32>(ptr >> 12) - basePage + i);
  } else {
    const p = changetype<SlabPage>(ptr & ~(PAGE - 1));
    assert(p.used != 0 && sizeOfClass(p.sizeClass) >= size, "heap object freed with a wrong size, or twice");
    const wasFull = p.freeHead == 0;
    store<usize>(ptr, p.freeHead);
    p.freeHead = ptr;
    p.used--;
    if (wasFull) pageListPush(p);
    if (p.used == 0) {
      pageListDrop(p);
      unback(<u32>(changetype<usize>(p) >> 12) - basePage);
    }
  }
  hw.unlock(lockWord);
}

/** As heapAlloc, charged to the domain (kernel/memory/overhead.ts). 0 also beyond its quota. */
export function heapAllocFor(d: Domain, size: usize): usize {
  const cost = costOf(size);
  if (!overheadTake(d, 0, cost)) return 0;
  const ptr = heapTake(size);
  if (!ptr) overheadGive(d, 0, cost);
  return ptr;
}

/** As heapFree, for memory from heapAllocFor(d, size). */
export function heapFreeFor(d: Domain, ptr: usize, size: usize): void {
  if (!ptr) return;
  heapFree(ptr, size);
  overheadGive(d, 0, costOf(size));
}
