/**
 * Vbds, their rings, and requests: the records of the block back end. What is needed to go on after a restart of the domain is in stable
 * memory, beside records in RAM that are made from it: which vbds there are, what their frontends have said, how far each ring
 * was consumed and answered, and every request that was consumed and is not answered.
 */
import { VBD_RINGS_MAX } from "../../abi/io/control-block";
import { BlockRequest } from "../../drivers/block";
import { heapAllocate } from "../../drivers/host/heap";
import { stableIsThere, stableRegion } from "../../drivers/host/stable";
import { Task } from "../volumes/disks/task";
import { Target } from "../volumes/targets";

export const VBDS_MAX: u32 = 2048;
/** Requests in progress, of all vbds; those with more than 11 segments; segments of a request. */
export const ENTRIES_MAX: u32 = 1024;
export const INDIRECTS_MAX: u32 = 128;
export const SEGMENTS_MAX: u32 = 256;
export const SEGMENTS_DIRECT: u32 = 11;
const RING_REFS: u32 = 16;

// --- Stable memory -------------------------------------------------------------------------------------------------------

@unmanaged
export class StableRing {
  port: u32; // the frontend's
  consumed: u32; // req_cons
  answered: u32; // rsp_prod, as last published
  refs: u32; // 2^order of them from here on
}
export const STABLE_RING_BYTES: u32 = 80; // StableRing with RING_REFS grants

@unmanaged
export class StableVbd {
  present: u32;
  going: u32; // removed: its control page is still mapped by the guest
  domid: u32;
  vdev: u32;
  model: u32;
  writable: u32;
  kept: u32; // Target.kept
  grant: u32; // of the control page
  port: u32; // of the control page, this domain's
  frontPort: u32; // the frontend's end of it, 0 until it is known
  connected: u32;
  failure: u32;
  rings: u32;
  order: u32;
  protocol: u32;
  features: u32;
  // Counters.
  reads: u64;
  writes: u64;
  flushes: u64;
  discards: u64;
  readBytes: u64;
  writtenBytes: u64;
  errors: u64;
  refused: u64;
}
const STABLE_TARGET: usize = 128;
const STABLE_RINGS: usize = 256;
const STABLE_VBD_BYTES: u32 = 576; // STABLE_RINGS + VBD_RINGS_MAX * STABLE_RING_BYTES

// Entry.state
export const ENTRY_FREE: u32 = 0;
export const ENTRY_BUSY: u32 = 1; // consumed, not answered
export const ENTRY_ANSWERED: u32 = 2; // the response has a slot, and may have been published

/** A request that was consumed. Its segments follow, or are in the block `indirect`. */
@unmanaged
export class Entry {
  state: u32;
  vbd: u32; // index
  ring: u32;
  index: u32; // of the request: req_cons
  response: u32; // index of the response
  status: i32; // BLKIF_RSP_*
  operation: u32; // BLKIF_OP_*; of an indirect request the one in it
  count: u32; // segments
  indirect: u32; // index + 1 of the block that its segments are in
  reason: i32; // not 0: it is refused with this BLKIF_RSP_*
  id: u64;
  sector: u64;
  sectors: u64;
}
const ENTRY_SEGMENTS: usize = 64;
const ENTRY_BYTES: u32 = 152; // ENTRY_SEGMENTS + SEGMENTS_DIRECT * BlkifSegment.SIZE
const INDIRECT_BYTES: u32 = 2048; // SEGMENTS_MAX * BlkifSegment.SIZE

const TAG_VBDS: u32 = 0x56424453; // "VBDS"
const TAG_ENTRIES: u32 = 0x56424549; // "VBEI"
const TAG_PAGES: u32 = 0x56425047; // "VBPG"

let stableVbds: usize = 0;
let stableEntries: usize = 0;
let stablePages: usize = 0;

export function stableVbdAt(i: u32): StableVbd {
  return changetype<StableVbd>(stableVbds + <usize>i * STABLE_VBD_BYTES);
}
export function stableTarget(s: StableVbd): usize {
  return changetype<usize>(s) + STABLE_TARGET;
}
export function stableRing(s: StableVbd, ring: u32): StableRing {
  return changetype<StableRing>(changetype<usize>(s) + STABLE_RINGS + <usize>ring * STABLE_RING_BYTES);
}
export function ringRef(r: StableRing, page: u32): usize {
  return changetype<usize>(r) + offsetof<StableRing>("refs") + ((<usize>page) << 2);
}
/** The control page of a vbd of model NoXS. */
export function controlPage(i: u32): usize {
  return stablePages + ((<usize>i) << 12);
}
export function entryAt(i: u32): Entry {
  return changetype<Entry>(stableEntries + <usize>i * ENTRY_BYTES);
}
/** The BlkifSegments of an entry. */
export function entrySegments(e: Entry): usize {
  if (!e.indirect) return changetype<usize>(e) + ENTRY_SEGMENTS;
  return stableEntries + ENTRIES_MAX * ENTRY_BYTES + <usize>(e.indirect - 1) * INDIRECT_BYTES;
}

// --- RAM -----------------------------------------------------------------------------------------------------------------

@unmanaged
export class Ring {
  mapped: usize; // its pages, contiguous; 0: not connected
  order: u32;
  slots: u32;
  slotBytes: u32;
  port: u32; // this domain's
  consumed: u32;
  produced: u32; // responses put into the ring
  published: u32; // of these, told to the frontend
  busy: u32; // requests in progress
  handles: usize; // u32 for each page
  unpublished: u32; // 1: on the list of rings with responses to be published
  next: usize;
  vbd: usize;
  number: u32;
}

@unmanaged
export class Vbd extends Task {
  index: u32;
  stable: StableVbd;
  chain: usize; // of the table by key
  target: Target;
  ready: u32; // 1: the target is open
  lost: u32; // 1: it could not be opened after a restart: requests fail
  rings: usize; // Ring[VBD_RINGS_MAX]
  // Scheduling (schedule.ts).
  active: u32; // 1: in the list of those with work
  activeNext: usize;
  deficit: i32;
  nextRing: u32;
  busy: u32; // requests in progress
  busyBytes: u32;
  persistent: u32; // grants that stay mapped
  barrier: usize; // Request that waits until it is alone, or is alone
  told: u32; // io.ts
  toldNext: usize;
  removing: u32; // 1: it goes when nothing is in progress
  disconnecting: u32; // 1: its rings go then
  reported: u32; // 1: the log has a line about its frontend
  call: usize; // who waits for either, or for the target: BlockCall
}

// Request.step
export const REQUEST_MAP: u32 = 0; // its grants are being mapped
export const REQUEST_FLUSH: u32 = 1; // before its data
export const REQUEST_DATA: u32 = 2;

/** One for each entry. */
@unmanaged
export class Request {
  next: usize; // of the free ones, or a batch
  index: u32; // of the entry
  entry: Entry;
  vbd: Vbd;
  ring: Ring;
  step: u32;
  status: i32; // negative errno
  result: i32; // BLKIF_RSP_*, when it is finished
  bytes: u32;
  done: u64; // sectors submitted
  segment: u32; // the next one to be submitted
  mapped: u32; // segments that may have a mapping
  segments: usize; // Segment[]
  grants: usize; // Mapping[]
  bounces: u32; // buffers in place of its own segments (bounces.ts)
  io: BlockRequest;
}

/** A grant mapped for a segment. */
@unmanaged
export class Mapping {
  linear: usize;
  handle: u32;
  persistent: usize; // Persistent, if it stays mapped
}

const vbds: usize = memory.data(2048 * 4);
let requests: usize = 0;

export function vbdAt(i: u32): usize {
  return load<usize>(vbds + ((<usize>i) << 2));
}
export function vbdSet(i: u32, v: usize): void {
  store<usize>(vbds + ((<usize>i) << 2), v);
}
export function ringOf(v: Vbd, i: u32): Ring {
  return changetype<Ring>(v.rings + <usize>i * offsetof<Ring>());
}
export function requestAt(i: u32): Request {
  return changetype<Request>(requests + <usize>i * offsetof<Request>());
}

/** Whether the back end had been started before a restart of the domain: its records are in stable memory. */
export function blockWasHere(): bool {
  return stableIsThere(TAG_VBDS);
}

/** Gets stable memory and allocates requests; false when there is none. */
export function recordsInit(): bool {
  stableVbds = stableRegion(TAG_VBDS, VBDS_MAX * STABLE_VBD_BYTES);
  stableEntries = stableRegion(TAG_ENTRIES, ENTRIES_MAX * ENTRY_BYTES + INDIRECTS_MAX * INDIRECT_BYTES);
  stablePages = stableRegion(TAG_PAGES, VBDS_MAX << 12);
  requests = heapAllocate(ENTRIES_MAX * offsetof<Request>());
  if (!stableVbds || !stableEntries || !stablePages || !requests) return false;
  for (let i: u32 = 0; i < ENTRIES_MAX; i++) {
    const r = requestAt(i);
    r.index = i;
    r.entry = entryAt(i);
    const io = heapAllocate(offsetof<BlockRequest>());
    if (!io) return false;
    r.io = changetype<BlockRequest>(io);
  }
  return true;
}

let freeVbds: usize = 0;

/** A record in RAM for vbd `i`, zeroed; null when there is no memory. */
export function vbdMake(i: u32): Vbd | null {
  let at = freeVbds;
  if (at) {
    freeVbds = changetype<Vbd>(at).chain;
  } else {
    at = heapAllocate(offsetof<Vbd>());
    const rings = heapAllocate(VBD_RINGS_MAX * offsetof<Ring>());
    const target = heapAllocate(offsetof<Target>());
    const handles = heapAllocate(VBD_RINGS_MAX * RING_REFS * 4);
    if (!at || !rings || !target || !handles) return null;
    const made = changetype<Vbd>(at);
    made.rings = rings;
    made.target = changetype<Target>(target);
    for (let r: u32 = 0; r < VBD_RINGS_MAX; r++) ringOf(made, r).handles = handles + r * RING_REFS * 4;
  }
  const v = changetype<Vbd>(at);
  const rings = v.rings;
  const target = v.target;
  memory.fill(at, 0, offsetof<Vbd>());
  memory.fill(changetype<usize>(target), 0, offsetof<Target>());
  v.rings = rings;
  v.target = target;
  v.index = i;
  v.stable = stableVbdAt(i);
  for (let r: u32 = 0; r < VBD_RINGS_MAX; r++) {
    const ring = ringOf(v, r);
    const handles = ring.handles;
    memory.fill(changetype<usize>(ring), 0, offsetof<Ring>());
    ring.handles = handles;
    ring.vbd = at;
    ring.number = r;
  }
  vbdSet(i, at);
  return v;
}

export function vbdFree(v: Vbd): void {
  vbdSet(v.index, 0);
  v.chain = freeVbds;
  freeVbds = changetype<usize>(v);
}
