/**
 * A domain's physmap: guest frame number (gfn) to machine frame number (mfn) and type, as the nested page tables that
 * the processor itself walks. Radix tree of four levels of 512 entries; EPT (SDM 3C 29.3.2) and nested paging (APM 2,
 * 15.25: the format of long mode's page tables) agree in all that the lookup needs:
 *
 *   bits 0..2   EPT: read, write, execute; NPT: present, write, user. An entry that is not zero has some of them set
 *   bit 7       a leaf above the lowest level: 2 MiB or 1 GiB
 *   bits 12..51 frame
 *   bits 52..55 ignored by both: here the P2M_* type of a leaf; 0 marks a table
 *
 * Tables once linked stay until p2mFree, so that no processor's cache of them can outlive the frame. Calling context:
 * the domain's lock is held; lookups need none, for every change is one 64-bit store.
 */
import { EEXIST, EINVAL, ENOENT, ENOMEM } from "../abi/errno";
import { load64, store64 } from "./hw";
import {
  P2M_FOREIGN,
  P2M_GRANT_RW,
  P2M_MFN_MASK,
  P2M_MMIO,
  P2M_NONE,
  P2M_RAM,
  P2M_RAM_RO,
  P2M_SHARED,
  P2M_TYPE_LAST,
} from "./p2m-types";
import { allocFrame, freeFrame } from "./supply";
import { vendor, VENDOR_SVM } from "./vendor";

@unmanaged
export class P2m {
  /** Physical address of the root table, for EPTP or nested CR3. */
  rootPa: u64;
  /** Frames of tables, the root included. */
  tablePages: u32;
  /** P2M_FORMAT_*. */
  format: u32;
  /** gfns from here up are refused; at most 1 << 36. */
  maxGfn: u64;
  /**
   * The latest table of a GiB that a lookup passed: its frame in bits 19 and up, and below them the number of its GiB plus
   * one. One word, so that it is never half of two. As tables stay linked until p2mFree, it never goes stale.
   */
  recent: u64;
}

export const P2M_FORMAT_EPT: u32 = 0;
export const P2M_FORMAT_NPT: u32 = 1;

/** What p2mUnmap returns when it had to split a superpage and there was no frame for the table. */
export const P2M_NO_MEMORY: u64 = ~0;
/** What p2mNext returns when nothing is mapped. */
export const P2M_END: u64 = ~0;

const GFN_BITS: u64 = 36; // four levels of 9 bits
const RECENT_SHIFT: u64 = 19;
const RECENT_GIB: u64 = (1 << RECENT_SHIFT) - 1;
const TABLE: u64 = 7; // EPT: read, write, execute; NPT: present, write, user
const SUPERPAGE: u64 = 1 << 7;
const TYPE_SHIFT: u64 = 52;
const TYPE_BITS: u64 = 0xf << TYPE_SHIFT;

const EPT_READ: u64 = 1;
const EPT_WRITE: u64 = 2;
const EPT_EXECUTE: u64 = 4;
const EPT_WRITE_BACK: u64 = 6 << 3;
/** The guest's PAT does not count: what it shares by grants has one memory type, whoever looks. */
const EPT_IGNORE_PAT: u64 = 1 << 6;

const NPT_PRESENT: u64 = 1;
const NPT_WRITE: u64 = 2;
const NPT_USER: u64 = 4; // nested walks are user accesses (APM 2, 15.25.5)
const NPT_NO_EXECUTE: u64 = 1 << 63;

/** Whether the processor's nested tables can map 1 GiB at once; else such mappings are made of 2 MiB ones. */
let gibPages: bool = false;

/** Set by the vendor's CPU initialisation. */
export function p2mSetGibPages(on: bool): void {
  gibPages = on;
}

/**
 * Allocates the root. Sets the format that this machine's vendor needs; a machine without one (software domains only)
 * gets EPT's. `maxGfn` is the caller's, 0 standing for all that four levels reach.
 * @returns 0 or -ENOMEM
 */
export function p2mInit(p: P2m): i32 {
  const mfn = allocFrame();
  if (mfn == 0) return -ENOMEM;
  p.rootPa = mfn << 12;
  p.recent = 0;
  p.tablePages = 1;
  p.format = vendor == VENDOR_SVM ? P2M_FORMAT_NPT : P2M_FORMAT_EPT;
  if (p.maxGfn == 0 || p.maxGfn > (<u64>1) << GFN_BITS) p.maxGfn = (<u64>1) << GFN_BITS;
  return 0;
}

/** Frees all tables; the frames of the leaves are the caller's responsibility. No vCPU may enter with this root any more. */
export function p2mFree(p: P2m): void {
  if (p.rootPa == 0) return;
  freeTable(p.rootPa, 3);
  p.rootPa = 0;
  p.recent = 0;
  p.tablePages = 0;
}

/**
 * Maps 2^order frames.
 * @param order 0 (4 KiB), 9 (2 MiB) or 18 (1 GiB); gfn and mfn are multiples of 2^order
 * @returns 0; -EINVAL for arguments out of range; -EEXIST when anything is mapped in the range; -ENOMEM. On failure
 *   nothing has changed.
 */
export function p2mMap(p: P2m, gfn: u64, mfn: u64, type: u32, order: u32): i32 {
  const span = (<u64>1) << order;
  if (order != 0 && order != 9 && order != 18) return -EINVAL;
  if (((gfn | mfn) & (span - 1)) != 0 || gfn >= p.maxGfn || span > p.maxGfn - gfn) return -EINVAL;
  if (type == P2M_NONE || type > P2M_TYPE_LAST) return -EINVAL;
  if (order != 0 && p2mNext(p, gfn, gfn + span) != P2M_END) return -EEXIST;
  if (order != 18 || gibPages) return mapAt(p, gfn, mfn, type, order / 9);
  // The range is empty and the first piece links the table of all others: none but the first can fail.
  for (let i: u64 = 0; i < span; i += 512) {
    const error = mapAt(p, gfn + i, mfn + i, type, 1);
    if (error != 0) return error;
  }
  return 0;
}

/**
 * Unmaps one gfn, splitting the superpage it is part of. The caller flushes every vCPU of the domain (hvmFlush) before the
 * frame is reused.
 * @returns the old entry as p2mLookup gives it; 0 if there was none; P2M_NO_MEMORY, with nothing changed
 */
export function p2mUnmap(p: P2m, gfn: u64): u64 {
  const old = p2mLookup(p, gfn);
  if (old == 0) return 0;
  const at = leafOf(p, gfn);
  if (at == 0) return P2M_NO_MEMORY;
  store64(at, 0);
  return old;
}

/**
 * Changes the type of one mapped gfn, splitting the superpage it is part of. The caller flushes as for p2mUnmap.
 * @returns 0, -ENOENT, -EINVAL for a type that does not exist, -ENOMEM; on failure nothing has changed
 */
export function p2mSetType(p: P2m, gfn: u64, type: u32): i32 {
  if (type == P2M_NONE || type > P2M_TYPE_LAST) return -EINVAL;
  const old = p2mLookup(p, gfn);
  if (old == 0) return -ENOENT;
  const at = leafOf(p, gfn);
  if (at == 0) return -ENOMEM;
  store64(at, makeLeaf(p.format, (old & P2M_MFN_MASK) >> 12, type, 0));
  return 0;
}

/** The entry of one gfn: bits 12..51 its frame, bits 0..7 its P2M_* type; 0 when nothing is mapped. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function p2mLookup(p: P2m, gfn: u64): u64 {
  const recent = p.recent;
  if ((recent & RECENT_GIB) != (gfn >> 18) + 1) return lookupFromRoot(p, gfn);
  const middle = load64(slot((recent >> RECENT_SHIFT) << 12, gfn, 1));
  if (middle == 0) return 0;
  if (isLeaf(middle)) return found(middle, gfn & 511);
  const entry = load64(slot(middle & P2M_MFN_MASK, gfn, 0));
  return entry == 0 ? 0 : found(entry, 0);
}

/** p2mLookup of a gfn in another GiB than the latest; the table of that one is noted. */
function lookupFromRoot(p: P2m, gfn: u64): u64 {
  if (gfn >> GFN_BITS != 0) return 0;
  let table = p.rootPa;
  let level: u64 = 3;
  while (true) {
    if (level == 1) p.recent = ((table >> 12) << RECENT_SHIFT) | ((gfn >> 18) + 1);
    const entry = load64(slot(table, gfn, level));
    if (entry == 0) return 0;
    if (isLeaf(entry)) return found(entry, gfn & (((<u64>1) << (9 * level)) - 1));
    table = entry & P2M_MFN_MASK;
    level--;
  }
}

/** Machine address of guest-physical `gpa` whatever is mapped there, 0 for nothing: for page walks. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function p2mAddress(p: P2m, gpa: u64): u64 {
  const recent = p.recent;
  if ((recent & RECENT_GIB) != (gpa >> 30) + 1) return addressFromRoot(p, gpa);
  const middle = load64(slot((recent >> RECENT_SHIFT) << 12, gpa >> 12, 1));
  if (middle == 0) return 0;
  if (isLeaf(middle)) return (middle & P2M_MFN_MASK) | (gpa & 0x1fffff);
  const entry = load64(slot(middle & P2M_MFN_MASK, gpa >> 12, 0));
  return entry == 0 ? 0 : (entry & P2M_MFN_MASK) | (gpa & 0xfff);
}

function addressFromRoot(p: P2m, gpa: u64): u64 {
  const entry = lookupFromRoot(p, gpa >> 12);
  return entry == 0 ? 0 : (entry & P2M_MFN_MASK) | (gpa & 0xfff);
}

/** What p2mLookup returns for a leaf and the number of a frame within it. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function found(leaf: u64, within: u64): u64 {
  return ((leaf & P2M_MFN_MASK) + (within << 12)) | ((leaf >> TYPE_SHIFT) & 0xf);
}

/** The first mapped gfn that is not below `gfn` but below `end`, or P2M_END. */
export function p2mNext(p: P2m, gfn: u64, end: u64 = p.maxGfn): u64 {
  while (gfn < end) {
    let table = p.rootPa;
    let level: u64 = 3;
    for (; ; level--) {
      const entry = load64(slot(table, gfn, level));
      if (entry == 0) break;
      if (isLeaf(entry)) return gfn;
      table = entry & P2M_MFN_MASK;
    }
    // Nothing below this slot: on to the next slot of the same level.
    gfn = ((gfn >> (9 * level)) + 1) << (9 * level);
  }
  return P2M_END;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function slot(table: u64, gfn: u64, level: u64): u64 {
  return table + (((gfn >> (9 * level)) & 511) << 3);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function isLeaf(entry: u64): bool {
  return (entry & TYPE_BITS) != 0;
}

/** Maps one page of 2^(9 * level) frames whose whole range is known to be empty, except at level 0. 0, -EEXIST, -ENOMEM. */
function mapAt(p: P2m, gfn: u64, mfn: u64, type: u32, level: u64): i32 {
  let table = p.rootPa;
  let above: u64 = 3;
  let at: u64 = 0;
  for (; ; above--) {
    at = slot(table, gfn, above);
    const entry = load64(at);
    if (entry == 0) break;
    if (isLeaf(entry)) return -EEXIST;
    table = entry & P2M_MFN_MASK;
    if (above == level) {
      fill(p.format, table, mfn, type, level - 1);
      return 0;
    }
  }
  // The missing tables are made from the lowest up and linked by the last store, so that a failure shows nowhere.
  let entry = makeLeaf(p.format, mfn, type, level);
  for (let below = level; below < above; below++) {
    const frame = allocFrame();
    if (frame == 0) {
      for (let made = below; made > level; made--) {
        const unused = entry & P2M_MFN_MASK;
        entry = load64(slot(unused, gfn, made - 1));
        freeFrame(unused >> 12);
      }
      return -ENOMEM;
    }
    store64(slot(frame << 12, gfn, below), entry);
    entry = (frame << 12) | TABLE;
  }
  p.tablePages += <u32>(above - level);
  store64(at, entry);
  return 0;
}

/** Fills a table that maps nothing, and the tables it links, with leaves to consecutive frames. */
function fill(format: u32, table: u64, mfn: u64, type: u32, level: u64): void {
  for (let i: u64 = 0; i < 512; i++) {
    const at = table + (i << 3);
    const frame = mfn + (i << (9 * level));
    const entry = load64(at);
    if (entry == 0) store64(at, makeLeaf(format, frame, type, level));
    else fill(format, entry & P2M_MFN_MASK, frame, type, level - 1);
  }
}

/** Address of the level-0 entry of a mapped gfn, its superpage split on the way; 0 when there is no frame for a table. */
function leafOf(p: P2m, gfn: u64): u64 {
  let table = p.rootPa;
  let level: u64 = 3;
  while (true) {
    const at = slot(table, gfn, level);
    const entry = load64(at);
    if (level == 0) return at;
    if (isLeaf(entry)) {
      const frame = allocFrame();
      if (frame == 0) return 0;
      table = frame << 12;
      fill(p.format, table, (entry & P2M_MFN_MASK) >> 12, (<u32>(entry >> TYPE_SHIFT)) & 0xf, level - 1);
      p.tablePages++;
      store64(at, table | TABLE);
    } else {
      table = entry & P2M_MFN_MASK;
    }
    level--;
  }
}

/** The processor's entry for a leaf; types other than RAM cannot be executed, as on Xen. */
function makeLeaf(format: u32, mfn: u64, type: u32, level: u64): u64 {
  const writable =
    type == P2M_RAM || type == P2M_FOREIGN || type == P2M_GRANT_RW || type == P2M_SHARED || type == P2M_MMIO;
  const executable = type == P2M_RAM || type == P2M_RAM_RO;
  let entry = (mfn << 12) | ((<u64>type) << TYPE_SHIFT);
  if (level != 0) entry |= SUPERPAGE;
  if (format == P2M_FORMAT_EPT) {
    entry |= EPT_READ | EPT_WRITE_BACK | EPT_IGNORE_PAT;
    if (writable) entry |= EPT_WRITE;
    if (executable) entry |= EPT_EXECUTE;
  } else {
    entry |= NPT_PRESENT | NPT_USER;
    if (writable) entry |= NPT_WRITE;
    if (!executable) entry |= NPT_NO_EXECUTE;
  }
  return entry;
}

function freeTable(table: u64, level: u64): void {
  if (level != 0) {
    for (let i: u64 = 0; i < 512; i++) {
      const entry = load64(table + (i << 3));
      if (entry != 0 && !isLeaf(entry)) freeTable(entry & P2M_MFN_MASK, level - 1);
    }
  }
  freeFrame(table >> 12);
}
