/**
 * Requests whose segments are not whole sectors of the disk, as they may be where those are larger than 512 bytes: their data goes through
 * a buffer. There are few; a request takes all that it needs at once, or waits.
 */
import { dmaAllocate, dmaMachine } from "../../drivers/host/dma";
import { Segment, segmentAt, segmentSet } from "../../drivers/segment";
import { sliceCopy } from "../volumes/disks/slice";
import { segmentsOf } from "./entries";
import { Request } from "./records";

const BUFFERS: u32 = 8;
const BYTES: u32 = 65536;
/** Largest request that can be served so. */
export const BOUNCE_MOST: u32 = 524288;

const addresses: usize = memory.data(8 * 4);
let have: u32 = 0;
let user: usize = 0;
let waiting: usize = 0;
const list: usize = memory.data(8 * 16, 8);

/** Whether any segment of a request is not whole sectors of `unit` bytes. */
export function needsBounce(r: Request, unit: u32): bool {
  if (unit <= 512) return false;
  const segments = segmentsOf(r);
  for (let i: u32 = 0; i < r.entry.count; i++) {
    const s = segmentAt(segments, i);
    if (((<u32>s.machine) | s.bytes) & (unit - 1)) return true;
  }
  return false;
}

/** Gives a request the buffers: true; false: it waits, or there is no memory for them and it never will. */
export function bounceTake(r: Request): bool {
  for (; have < BUFFERS; have++) {
    const at = dmaAllocate(BYTES >> 12);
    if (!at) return false;
    store<usize>(addresses + ((<usize>have) << 2), at);
  }
  if (user && user != changetype<usize>(r)) {
    r.next = waiting;
    waiting = changetype<usize>(r);
    return false;
  }
  user = changetype<usize>(r);
  r.bounces = (r.bytes + BYTES - 1) / BYTES;
  return true;
}

/** Segments of the buffers, for all of the request's bytes; and how many there are: Request.bounces. */
export function bounceSegments(r: Request): usize {
  for (let i: u32 = 0; i < r.bounces; i++) {
    const at = load<usize>(addresses + ((<usize>i) << 2));
    segmentSet(list, i, dmaMachine(at), at, min(r.bytes - i * BYTES, BYTES));
  }
  return list;
}

/** Copies between the guest's pages and the buffers. */
export function bounceCopy(r: Request, toBuffers: bool): void {
  for (let i: u32 = 0; i < r.bounces; i++) {
    const at = load<usize>(addresses + ((<usize>i) << 2));
    sliceCopy(segmentsOf(r), i * BYTES, min(r.bytes - i * BYTES, BYTES), at, toBuffers);
  }
}

/** The request is done with the buffers: the next one that waits for them, which is to be started; 0 none. */
export function bounceGive(r: Request): usize {
  r.bounces = 0;
  user = 0;
  const next = waiting;
  if (next) {
    waiting = changetype<Request>(next).next;
    changetype<Request>(next).next = 0;
  }
  assert(offsetof<Segment>() == 16);
  return next;
}
