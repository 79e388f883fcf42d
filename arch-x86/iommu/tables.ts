/**
 * The page tables that IOMMUs walk: bus frame number ("page") to machine frame number, with the right to write. A radix tree of 512
 * entries a table, three levels, or four where a unit has no less. Their formats agree in where the frame is:
 *
 *   VT-d (4.1, 9.8)      bit 0 read, 1 write, 7 a page of 2 MiB; bits 12..51 frame
 *   AMD-Vi (3.08, 2.2.3) bit 0 present, 9..11 the level of the table below, 0: a page; 12..51 frame; 61 read, 62 write
 *
 * Where a unit does not look into the processor's caches, what it reads is written back before it can be reached.
 *
 * Calling context: any CPU, interrupts off; changes come from one domain's hypercalls only.
 */
import { ENOMEM } from "../../abi/errno";
import * as hw from "../hw";
import { allocFrame, freeFrame } from "../supply";

export const DMA_FORMAT_VTD: u32 = 0;
export const DMA_FORMAT_AMD: u32 = 1;

const FRAME: u64 = 0x000ffffffffff000;
const VTD_READ: u64 = 1;
const VTD_WRITE: u64 = 2;
const VTD_LARGE: u64 = 1 << 7;
const AMD_PRESENT: u64 = 1;
const AMD_LEVEL_SHIFT: u64 = 9;
/** Keeps the device's accesses coherent with the processor's caches, whatever the device asks for. */
const AMD_COHERENT: u64 = 1 << 60;
const AMD_READ: u64 = 1 << 61;
const AMD_WRITE: u64 = 1 << 62;

/** Frames of a page of 2 MiB, as a power of two. */
const LARGE_ORDER: u32 = 9;

/** What dmaTablesNext returns when there is nothing. */
export const DMA_END: u64 = ~0;

let format: u32 = DMA_FORMAT_VTD;
let levels: u32 = 3;
let largePages: bool = false;
let writeBack: bool = false;
let root: u64 = 0;

/** Sets the tables' shape and allocates the root. Once. False: no memory. */
export function dmaTablesInit(tableFormat: u32, tableLevels: u32, large: bool, incoherent: bool): bool {
  format = tableFormat;
  levels = tableLevels;
  largePages = large;
  writeBack = incoherent;
  const frame = allocFrame();
  if (!frame) return false;
  root = frame << 12;
  written(root, 4096);
  return true;
}

/** Physical address of the root. */
export function dmaTablesRoot(): u64 {
  return root;
}

export function dmaTablesLevels(): u32 {
  return levels;
}

/** Makes `bytes` that were written at `pa` visible to units that do not look into caches. */
export function written(pa: u64, bytes: u32): void {
  if (writeBack) hw.cacheFlush(pa, bytes);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function slot(table: u64, page: u64, level: u32): u64 {
  return table + (((page >> (9 * level)) & 511) << 3);
}

function set(at: u64, entry: u64): void {
  hw.store64(at, entry);
  written(at, 8);
}

function leaf(mfn: u64, writable: bool, level: u32): u64 {
  if (format == DMA_FORMAT_VTD) {
    return (mfn << 12) | VTD_READ | (writable ? VTD_WRITE : 0) | (level ? VTD_LARGE : 0);
  }
  return (mfn << 12) | AMD_PRESENT | AMD_COHERENT | AMD_READ | (writable ? AMD_WRITE : 0);
}

function link(table: u64, below: u32): u64 {
  if (format == DMA_FORMAT_VTD) return table | VTD_READ | VTD_WRITE;
  return table | AMD_PRESENT | AMD_READ | AMD_WRITE | ((<u64>below + 1) << AMD_LEVEL_SHIFT);
}

/** Whether an entry of a table above the lowest is a page. */
function isLarge(entry: u64): bool {
  return format == DMA_FORMAT_VTD ? (entry & VTD_LARGE) != 0 : (entry & (7 << AMD_LEVEL_SHIFT)) == 0;
}

/** The table below `at`, made if there is none; 0: no memory. A page of 2 MiB there is split. */
function below(at: u64, level: u32): u64 {
  const entry = hw.load64(at);
  if (entry && !isLarge(entry)) return entry & FRAME;
  const frame = allocFrame();
  if (!frame) return 0;
  const table = frame << 12;
  if (entry) {
    for (let i: u64 = 0; i < 512; i++)
      hw.store64(table + (i << 3), leaf(((entry & FRAME) + (i << 12)) >> 12, isWritable(entry), 0));
  }
  written(table, 4096);
  set(at, link(table, level - 1));
  return table;
}

function isWritable(entry: u64): bool {
  return (entry & (format == DMA_FORMAT_VTD ? VTD_WRITE : AMD_WRITE)) != 0;
}

/** Address of the entry of `page` at `level`, tables made on the way; 0: no memory. */
function reach(page: u64, level: u32): u64 {
  let table = root;
  let above = levels - 1;
  while (above > level) {
    table = below(slot(table, page, above), above);
    if (!table) return 0;
    above--;
  }
  return slot(table, page, level);
}

/**
 * Maps 2^order consecutive frames, where nothing is mapped: one entry for 2 MiB where it fits.
 * @param order 0 to 9; page and mfn are multiples of 2^order
 * @returns false, with nothing mapped: no memory
 */
export function dmaTablesMap(page: u64, mfn: u64, order: u32, writable: bool): bool {
  if (order == LARGE_ORDER && largePages) {
    const at = reach(page, 1);
    if (!at) return false;
    if (!hw.load64(at)) {
      set(at, leaf(mfn, writable, 1));
      return true;
    }
  }
  const first = reach(page, 0);
  if (!first) return false;
  const frames: u32 = 1 << order;
  for (let i: u32 = 0; i < frames; i++) {
    const at = first + (i << 3);
    assert(hw.load64(at) == 0, "a bus address is mapped twice");
    hw.store64(at, leaf(mfn + i, writable, 0));
  }
  written(first, frames << 3);
  return true;
}

/**
 * Unmaps one page. What units have cached of it is the caller's to end.
 * @returns 1; 0: nothing is mapped; -ENOMEM: no memory to split the 2 MiB that it is part of, nothing changed
 */
export function dmaTablesUnmap(page: u64): i32 {
  if (!dmaTablesLookup(page)) return 0;
  const at = reach(page, 0);
  if (!at) return -ENOMEM;
  set(at, 0);
  return 1;
}

/** The machine address of what `page` is mapped to, with bit 0 set, and bit 1 if it can be written; 0: nothing is mapped. */
export function dmaTablesLookup(page: u64): u64 {
  if (page >> (9 * levels) != 0) return 0;
  let table = root;
  let level = levels - 1;
  while (true) {
    const entry = hw.load64(slot(table, page, level));
    if (!entry) return 0;
    if (level == 0 || isLarge(entry)) {
      const within = page & (((<u64>1) << (9 * level)) - 1);
      return ((entry & FRAME) + (within << 12)) | 1 | (isWritable(entry) ? 2 : 0);
    }
    table = entry & FRAME;
    level--;
  }
}

/** The first page at or above `page` that is mapped, or DMA_END. */
export function dmaTablesNext(page: u64): u64 {
  while (page >> (9 * levels) == 0) {
    let table = root;
    let level = levels - 1;
    while (true) {
      const entry = hw.load64(slot(table, page, level));
      if (!entry) break;
      if (level == 0 || isLarge(entry)) return page;
      table = entry & FRAME;
      level--;
    }
    page = ((page >> (9 * level)) + 1) << (9 * level);
  }
  return DMA_END;
}

/** Unmaps everything and frees all tables but the root. No device is attached, and nothing of the tables is cached. */
export function dmaTablesClear(): void {
  for (let i: u64 = 0; i < 512; i++) {
    const at = root + (i << 3);
    const entry = hw.load64(at);
    if (!entry) continue;
    set(at, 0);
    freeTable(entry & FRAME, levels - 2);
  }
}

function freeTable(table: u64, level: u32): void {
  for (let i: u64 = 0; level && i < 512; i++) {
    const entry = hw.load64(table + (i << 3));
    if (entry && !isLarge(entry)) freeTable(entry & FRAME, level - 1);
  }
  freeFrame(table >> 12);
}
