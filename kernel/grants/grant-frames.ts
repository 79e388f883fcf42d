/**
 * A domain's grant table: the shared frames in which the guest writes its entries (version 1), and for
 * each the hypervisor's own record of the entries in use ("active"), so that the accounting does not depend on
 * the shared copy. Active records come in chunks, allocated when an entry of the chunk is first used.
 */
import { EINVAL, ENOMEM } from "../../abi/errno";
import { GrantEntryV1, GTF_reading, GTF_writing } from "../../abi/grant-table";
import * as hw from "../../arch-x86/hw";
import { zeroFrame } from "../../arch-x86/hw";
import { Domain } from "../records/domain";
import { FrameType } from "../memory/frames";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { overheadFrame, overheadFrameFree } from "../memory/overhead";

/** Most frames of a table: 32,768 entries. Xen's default for gnttab_max_frames. */
export const GRANT_FRAMES_MAX: u32 = 64;
/** Most pages of handles: 262,144 mappings. Xen's default for gnttab_max_maptrack_frames. */
export const MAPTRACK_FRAMES_MAX: u32 = 1024;
/** The only version supported: gnttab=max-ver:1 in Xen's terms. */
export const GRANT_VERSION: u32 = 1;

const ENTRIES_PER_FRAME: u32 = 4096 / GrantEntryV1.SIZE;
const CHUNK_ENTRIES: u32 = 64;
const CHUNKS: u32 = 8; // ENTRIES_PER_FRAME / CHUNK_ENTRIES

@unmanaged
export class GrantTable {
  lock: u32;
  frames: u32;
  maxFrames: u32;
  maxMaptrackFrames: u32;
  /** GRANT_FRAMES_MAX pointers to GrantFrame. */
  frameTable: usize;
  /** grant-map.ts: maxMaptrackFrames pointers to pages of Mapping, 0 until the domain maps something. */
  maptrack: usize;
  maptrackPages: u32;
  /** First free handle; NO_HANDLE if all are in use. */
  freeHandle: u32;
  /** Grants of others this domain has mapped. */
  mapped: u32;
  /** Progress of a release of all mappings: handles below this have been released. 0: none in progress. */
  releaseAt: u32;
}

const TABLE_BYTES: usize = 40;
const FRAME_TABLE_BYTES: usize = 64 * 4;

@unmanaged
class GrantFrame {
  mfn: u64;
  // Pointers to CHUNKS chunks of Active follow.
}

const CHUNKS_AT: usize = 8;
const FRAME_BYTES: usize = 40;

/** One entry in use. */
@unmanaged
export class Active {
  mfn: u32;
  /** The domain using it, while reads or writes is not 0. */
  domid: u16;
  /** Uses (mappings, copies in progress) that only read, and that may write. */
  reads: u16;
  writes: u16;
}

const ACTIVE_BYTES: usize = 12;
const CHUNK_BYTES: usize = 768;

export const NO_HANDLE: u32 = 0xffffffff;

// @ts-expect-error: decorator of AssemblyScript
@inline
export function grants(d: Domain): GrantTable {
  return changetype<GrantTable>(d.grants);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function frameOf(t: GrantTable, index: u32): GrantFrame {
  return changetype<GrantFrame>(load<usize>(t.frameTable + ((<usize>index) << 2)));
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function chunkSlot(t: GrantTable, ref: u32): usize {
  const frame = changetype<usize>(frameOf(t, ref / ENTRIES_PER_FRAME));
  return frame + CHUNKS_AT + ((<usize>(ref % ENTRIES_PER_FRAME) / CHUNK_ENTRIES) << 2);
}

/** Allocates a new domain's grant table, one frame long, with Xen's default limits. 0 or -ENOMEM. */
export function grantTableInit(d: Domain): i32 {
  d.grants = heapAllocFor(d, TABLE_BYTES);
  if (!d.grants) return -ENOMEM;
  const t = grants(d);
  t.maxFrames = GRANT_FRAMES_MAX;
  t.maxMaptrackFrames = MAPTRACK_FRAMES_MAX;
  t.freeHandle = NO_HANDLE;
  t.frameTable = heapAllocFor(d, FRAME_TABLE_BYTES);
  if (t.frameTable && grantGrow(d, 1)) return 0;
  grantTableFree(d);
  return -ENOMEM;
}

/**
 * Sets the limits of a domain's table (XEN_DOMCTL_createdomain); only before it is used.
 * @param d null: only checks the values
 * @param maxFrames 1 .. GRANT_FRAMES_MAX, negative: the default
 * @param maxMaptrackFrames 0 .. MAPTRACK_FRAMES_MAX, negative: the default
 * @param maxVersion must be 1
 * @returns 0 or -EINVAL
 */
export function grantTableLimits(d: Domain | null, maxFrames: i32, maxMaptrackFrames: i32, maxVersion: u32): i32 {
  const frames: u32 = maxFrames < 0 ? GRANT_FRAMES_MAX : maxFrames;
  const maptrack: u32 = maxMaptrackFrames < 0 ? MAPTRACK_FRAMES_MAX : maxMaptrackFrames;
  if (maxVersion != GRANT_VERSION || frames < 1 || frames > GRANT_FRAMES_MAX || maptrack > MAPTRACK_FRAMES_MAX) {
    return -EINVAL;
  }
  if (d == null) return 0;
  grants(d).maxFrames = frames;
  grants(d).maxMaptrackFrames = maptrack;
  return 0;
}

/**
 * Frees the table of a dying domain that has no mappings left. Others may still map frames it granted: their own
 * records (grant-map.ts) and the frames' references are enough to undo that. May be called again.
 */
export function grantTableFree(d: Domain): void {
  if (!d.grants) return;
  const t = grants(d);
  assert(t.mapped == 0 && t.maptrack == 0, "a grant table is freed with mappings in it");
  for (let i: u32 = 0; i < t.frames; i++) {
    const f = frameOf(t, i);
    for (let c: u32 = 0; c < CHUNKS; c++) {
      const chunk = load<usize>(changetype<usize>(f) + CHUNKS_AT + ((<usize>c) << 2));
      if (chunk) heapFreeFor(d, chunk, CHUNK_BYTES);
    }
    overheadFrameFree(d, f.mfn);
    heapFreeFor(d, changetype<usize>(f), FRAME_BYTES);
  }
  heapFreeFor(d, t.frameTable, FRAME_TABLE_BYTES);
  heapFreeFor(d, d.grants, TABLE_BYTES);
  d.grants = 0;
}

/**
 * Revokes everything a domain has granted: domain 0 is restarted and its entries refer to memory it no longer has. Uses
 * in progress continue until their users end them; until then those entries cannot be reused, and show as in use: the domain
 * that starts sees which of its stable pages others still map.
 */
export function grantTableReset(d: Domain): void {
  if (!d.grants) return;
  for (let i: u32 = 0; i < grants(d).frames; i++) {
    const f = frameOf(grants(d), i);
    zeroFrame(f.mfn);
    for (let c: u32 = 0; c < CHUNKS; c++) {
      const chunk = load<usize>(changetype<usize>(f) + CHUNKS_AT + ((<usize>c) << 2));
      if (chunk) showUses(chunk, (f.mfn << 12) + c * CHUNK_ENTRIES * GrantEntryV1.SIZE);
    }
  }
}

/** Writes the flags of the uses of a chunk's entries into the entries, which are at `pa` and blank. */
function showUses(chunk: usize, pa: u64): void {
  for (let i: u32 = 0; i < CHUNK_ENTRIES; i++) {
    const a = changetype<Active>(chunk + <usize>i * ACTIVE_BYTES);
    const flags: u32 = a.reads | a.writes ? (a.writes ? GTF_reading | GTF_writing : GTF_reading) : 0;
    if (flags) hw.store32(pa + i * GrantEntryV1.SIZE, flags);
  }
}

/** Grows the table to at least `frames`. False, possibly partly grown, beyond maxFrames or out of memory. */
export function grantGrow(d: Domain, frames: u32): bool {
  const t = grants(d);
  if (frames > t.maxFrames) return false;
  while (t.frames < frames) {
    const record = heapAllocFor(d, FRAME_BYTES);
    if (!record) return false;
    const mfn = overheadFrame(d, FrameType.XenShared);
    if (!mfn) {
      heapFreeFor(d, record, FRAME_BYTES);
      return false;
    }
    changetype<GrantFrame>(record).mfn = mfn;
    store<usize>(t.frameTable + ((<usize>t.frames) << 2), record);
    t.frames++;
  }
  return true;
}

/** Machine frame of table frame `index`, growing the table up to it; 0: -EINVAL. */
export function grantFrameMfn(d: Domain, index: u64): u64 {
  if (!d.grants || index >= grants(d).maxFrames || !grantGrow(d, <u32>index + 1)) return 0;
  return frameOf(grants(d), <u32>index).mfn;
}

/** The same without growing the table; 0 beyond its end. */
export function grantFrameOf(d: Domain, index: u32): u64 {
  return d.grants && index < grants(d).frames ? frameOf(grants(d), index).mfn : 0;
}

/** Number of entries; references at and above it are bad. */
export function grantEntries(t: GrantTable): u32 {
  return t.frames * ENTRIES_PER_FRAME;
}

/** Physical address of the shared entry `ref`, which exists. */
export function grantEntryPa(t: GrantTable, ref: u32): u64 {
  return (frameOf(t, ref / ENTRIES_PER_FRAME).mfn << 12) + (ref % ENTRIES_PER_FRAME) * GrantEntryV1.SIZE;
}

/** The hypervisor's record of entry `ref`, which exists; null when no entry near it was ever used. */
export function activeOf(t: GrantTable, ref: u32): Active | null {
  const chunk = load<usize>(chunkSlot(t, ref));
  return changetype<Active | null>(chunk ? chunk + <usize>(ref % CHUNK_ENTRIES) * ACTIVE_BYTES : 0);
}

/** As activeOf, allocating the record if need be; null when out of memory. */
export function activeMake(d: Domain, ref: u32): Active | null {
  const t = grants(d);
  const slot = chunkSlot(t, ref);
  if (!load<usize>(slot)) store<usize>(slot, heapAllocFor(d, CHUNK_BYTES));
  return activeOf(t, ref);
}
