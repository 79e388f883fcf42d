/**
 * Entries of the in-flight table, with the request of each: taken when a request is consumed, given back when its response is in the
 * ring and published.
 */
import { heapAllocate } from "../../drivers/host/heap";
import { Segment } from "../../drivers/segment";
import {
  ENTRIES_MAX,
  Entry,
  entryAt,
  ENTRY_FREE,
  INDIRECTS_MAX,
  Mapping,
  Request,
  requestAt,
  SEGMENTS_DIRECT,
  SEGMENTS_MAX,
} from "./records";

let freeRequests: usize = 0;
let freeCount: u32 = 0;
/** Index + 1 of each free block of segments: u32 each, a stack. */
const blocks: usize = memory.data(128 * 4);
let blocksFree: u32 = 0;
/** Segments and mappings of requests with more than SEGMENTS_DIRECT segments, by block. */
const large: usize = memory.data(128 * 8);

/** Which entries are free is in the entries; false when there is no memory. Those in use are kept. */
export function entriesInit(): bool {
  let busy: u64 = 0;
  let busyHigh: u64 = 0;
  for (let i: u32 = 0; i < ENTRIES_MAX; i++) {
    const e = entryAt(i);
    const r = requestAt(i);
    r.segments = heapAllocate(SEGMENTS_DIRECT * offsetof<Segment>());
    r.grants = heapAllocate(SEGMENTS_DIRECT * offsetof<Mapping>());
    if (!r.segments || !r.grants) return false;
    if (e.state == ENTRY_FREE) {
      e.indirect = 0;
      requestFree(r);
    } else if (e.indirect > 64) {
      busyHigh |= (<u64>1) << (e.indirect - 65);
    } else if (e.indirect) {
      busy |= (<u64>1) << (e.indirect - 1);
    }
  }
  for (let i: u32 = 0; i < INDIRECTS_MAX; i++) {
    const used = i < 64 ? (busy >> i) & 1 : (busyHigh >> (i - 64)) & 1;
    if (!used) blockGive(i + 1);
  }
  return true;
}

function requestFree(r: Request): void {
  r.next = freeRequests;
  freeRequests = changetype<usize>(r);
  freeCount++;
}

function blockGive(block: u32): void {
  store<u32>(blocks + ((<usize>blocksFree) << 2), block);
  blocksFree++;
}

export function entriesFree(): u32 {
  return freeCount;
}

/** Whether a request can be consumed, whatever it turns out to be. */
export function entryReady(): bool {
  return freeCount != 0 && blocksFree != 0;
}

/** Takes a request with its entry; after entryReady. */
export function requestTake(): Request {
  const r = changetype<Request>(freeRequests);
  freeRequests = r.next;
  freeCount--;
  r.next = 0;
  r.step = 0;
  r.status = 0;
  r.bytes = 0;
  r.result = 0;
  r.done = 0;
  r.segment = 0;
  r.mapped = 0;
  r.bounces = 0;
  r.entry.indirect = 0;
  return r;
}

/** Gives its entry a block for many segments; after entryReady. */
export function blockTake(r: Request): void {
  blocksFree--;
  r.entry.indirect = load<u32>(blocks + ((<usize>blocksFree) << 2));
}

/** Makes room for a request's segments and mappings; false when there is no memory. */
export function requestRoom(r: Request): bool {
  const block = r.entry.indirect;
  if (!block) return true;
  const at = large + ((<usize>(block - 1)) << 3);
  if (!load<usize>(at)) {
    const segments = heapAllocate(SEGMENTS_MAX * offsetof<Segment>());
    const grants = heapAllocate(SEGMENTS_MAX * offsetof<Mapping>());
    if (!segments || !grants) return false;
    store<usize>(at, segments);
    store<usize>(at, grants, 4);
  }
  return true;
}

/** The request's Segment[] and Mapping[]. */
export function segmentsOf(r: Request): usize {
  const block = r.entry.indirect;
  return block ? load<usize>(large + ((<usize>(block - 1)) << 3)) : r.segments;
}
export function grantsOf(r: Request): usize {
  const block = r.entry.indirect;
  return block ? load<usize>(large + ((<usize>(block - 1)) << 3), 4) : r.grants;
}

/** The response is published, or will never be. */
export function requestGive(r: Request): void {
  const e: Entry = r.entry;
  const block = e.indirect;
  e.state = ENTRY_FREE;
  e.indirect = 0;
  if (block) blockGive(block);
  requestFree(r);
}
