/**
 * Frames in this domain's memory. A frame's bytes are in a chain of chunks: the first of 2 KiB, the others pages, so that each can be
 * one side of a GNTTABOP_copy and one segment for a card, and no frame has more than a card takes (NETWORK_SEGMENTS_MAX).
 *
 * A short frame is copied here whole, into its first chunk. Of a longer one the first HEADER_BYTES are, and the rest goes from
 * the sender's pages to the receiver's directly, or follows into further chunks when it cannot (batch.ts).
 *
 * A frame is freed with its last reference. The last chunks are for frames being looked at: nothing that waits gets them.
 */
import { dmaAllocate } from "../../../drivers/host/dma";
import { heapAllocate } from "../../../drivers/host/heap";

export const PAGE_BYTES: u32 = 4096;
const SMALL_BYTES: u32 = 2048;
/** The pool grows by slabs of 256 KiB of either kind of chunk, up to 4 MiB of each. */
export const SLAB_PAGES: u32 = 64;
const SLABS_MAX: u32 = 16;
const SLAB_SMALLS_SHIFT: u32 = 7;
const SLAB_PAGES_SHIFT: u32 = 6;
/** Most small chunks: numbers from here on are pages. */
const SMALLS: u32 = SLABS_MAX << SLAB_SMALLS_SHIFT;
const PAGES: u32 = SLABS_MAX << SLAB_PAGES_SHIFT;
/** Free chunks of a kind that frames which wait leave alone. */
const SMALLS_RESERVE: u32 = 96;
const PAGES_RESERVE: u32 = 24;
/** Bytes in front of a frame that belong to a card's driver (NETWORK_HEADROOM), and keep the frame's start aligned. */
export const HEADROOM: u32 = 64;
/** Frames up to this are copied whole: an Ethernet frame of the usual MTU, with a VLAN tag. */
export const WHOLE_BYTES: u32 = 1536;
/** What is copied of longer ones: Ethernet, IP and TCP headers with all options are in it. */
export const HEADER_BYTES: u32 = 192;
/** No chunk. */
export const NO_CHUNK: u32 = 0xffff;

/** Frame.flags: the layer 4 checksum is blank (its sender left it to the card); was found right. */
export const FRAME_CSUM_BLANK: u32 = 1;
export const FRAME_VALIDATED: u32 = 2;
/** flood.ts: for vifs that may have unknown addresses only. */
export const FRAME_TO_OPEN: u32 = 4;

@unmanaged
export class Frame {
  /** Bytes of the frame, and how many of them, from the first on, are in its chunks. */
  length: u32;
  inChunks: u32;
  references: u32;
  firstChunk: u32;
  lastChunk: u32;
  /** Its part of the pool: 1 for the first chunk, 2 for each page. */
  weight: u32;
  flags: u32;
  /** XEN_NETIF_GSO_TYPE_*, and the payload of each segment. */
  gsoType: u32;
  gsoSize: u32;
  /** The port of the bridge at which it came in: addresses.ts. */
  source: u32;
  /** FRAME_CSUM_BLANK, its pseudo-header summed: where layer 4 and its data begin, and where the checksum is. */
  layer4At: u16;
  dataAt: u16;
  checksumAt: u16;
  /** Of its flow: frames of one flow go through one queue. */
  flow: u32;
  /** During the batch in which it was sent, while it is not complete: the pieces of the sender's pages with the rest. */
  rest: usize;
  restCount: u32;
  restDomid: u32;
  /** The next frame of a list that it alone is in. */
  next: usize;
}

/** Part of a granted page. */
@unmanaged
export class Piece {
  ref: u32;
  offset: u32;
  length: u32;
}

/** Piece `index` of an array of them. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function pieceAt(array: usize, index: u32): Piece {
  return changetype<Piece>(array + <usize>index * offsetof<Piece>());
}

/** Linear addresses of the slabs: those of small chunks, then those of pages. */
const slabs: usize = memory.data(4 * 32, 4);
let smallSlabs: u32 = 0;
let pageSlabs: u32 = 0;
/** Of each chunk the next in its chain and its bytes, u16. */
let chunkNext: usize = 0;
let chunkUsed: usize = 0;
let freeSmall: u32 = NO_CHUNK;
let freeSmalls: u32 = 0;
let freePage: u32 = NO_CHUNK;
let freePages: u32 = 0;
let freeFrame: usize = 0;

/** Before anything else here; false without memory. */
export function framesInit(): bool {
  chunkNext = heapAllocate((SMALLS + PAGES) << 1);
  chunkUsed = heapAllocate((SMALLS + PAGES) << 1);
  return chunkNext != 0 && chunkUsed != 0 && addSmalls() && addPages();
}

/** Whether there are so many free pages, if need be after letting the pool grow. */
export function poolReady(pages: u32): bool {
  while (freePages < pages) if (pageSlabs == SLABS_MAX || !addPages()) return false;
  return true;
}

/** Between two batches: lets the pool grow while much of it is in use. Without memory it stays what it is. */
export function poolGrow(): void {
  if (freeSmalls < SMALLS_RESERVE << 1 && smallSlabs < SLABS_MAX) addSmalls();
  if (freePages < PAGES_RESERVE << 1 && pageSlabs < SLABS_MAX) addPages();
}

/** Adds a slab of small chunks, and a Frame for each. */
function addSmalls(): bool {
  const slab = dmaAllocate(SLAB_PAGES);
  const frames = slab ? heapAllocate(((<usize>1) << SLAB_SMALLS_SHIFT) * offsetof<Frame>()) : 0;
  if (!frames) return false;
  store<usize>(slabs + (smallSlabs << 2), slab);
  const first = smallSlabs++ << SLAB_SMALLS_SHIFT;
  for (let i: u32 = 0; i < 1 << SLAB_SMALLS_SHIFT; i++) {
    const f = changetype<Frame>(frames + <usize>i * offsetof<Frame>());
    f.next = freeFrame;
    freeFrame = changetype<usize>(f);
    chunkPut(first + i);
  }
  return true;
}

function addPages(): bool {
  const slab = dmaAllocate(SLAB_PAGES);
  if (!slab) return false;
  store<usize>(slabs + ((SLABS_MAX + pageSlabs) << 2), slab);
  const first = SMALLS + (pageSlabs++ << SLAB_PAGES_SHIFT);
  for (let i: u32 = 0; i < 1 << SLAB_PAGES_SHIFT; i++) chunkPut(first + i);
  return true;
}

function chunkPut(chunk: u32): void {
  if (chunk < SMALLS) {
    store<u16>(chunkNext + (chunk << 1), <u16>freeSmall);
    freeSmall = chunk;
    freeSmalls++;
  } else {
    store<u16>(chunkNext + (chunk << 1), <u16>freePage);
    freePage = chunk;
    freePages++;
  }
}

/** Linear address of the frame's bytes in a chunk. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function chunkAddress(chunk: u32): usize {
  if (chunk < SMALLS) {
    const slab = load<usize>(slabs + ((chunk >> SLAB_SMALLS_SHIFT) << 2));
    return slab + <usize>(chunk & ((1 << SLAB_SMALLS_SHIFT) - 1)) * SMALL_BYTES + HEADROOM;
  }
  const page = chunk - SMALLS;
  const slab = load<usize>(slabs + ((SLABS_MAX + (page >> SLAB_PAGES_SHIFT)) << 2));
  return slab + <usize>(page & ((1 << SLAB_PAGES_SHIFT) - 1)) * PAGE_BYTES;
}

/** Bytes of the frame in this chunk. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function chunkBytes(chunk: u32): u32 {
  return load<u16>(chunkUsed + (chunk << 1));
}

/** The next chunk of the frame, NO_CHUNK after the last. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function chunkAfter(chunk: u32): u32 {
  return load<u16>(chunkNext + (chunk << 1));
}

/** How much of the pool frames that wait may still take, what it may grow by included (units of 2 KiB). */
export function poolSpare(): u32 {
  if (freeSmalls < SMALLS_RESERVE || freePages < PAGES_RESERVE) return 0;
  const smalls = freeSmalls - SMALLS_RESERVE + ((SLABS_MAX - smallSlabs) << SLAB_SMALLS_SHIFT);
  return smalls + ((freePages - PAGES_RESERVE + ((SLABS_MAX - pageSlabs) << SLAB_PAGES_SHIFT)) << 1);
}

/** What frames hold of the pool: for tests and reports. */
export function poolUsed(): u32 {
  const smalls = (smallSlabs << SLAB_SMALLS_SHIFT) - freeSmalls;
  return smalls + (((pageSlabs << SLAB_PAGES_SHIFT) - freePages) << 1);
}

/** A frame that will have `length` bytes, none of them there, with one reference; null when memory is short. */
export function frameAllocate(length: u32): Frame | null {
  if (!freeSmalls && (smallSlabs == SLABS_MAX || !addSmalls())) return null;
  const f = changetype<Frame>(freeFrame);
  freeFrame = f.next;
  memory.fill(changetype<usize>(f), 0, offsetof<Frame>());
  f.length = length;
  f.references = 1;
  const chunk = freeSmall;
  freeSmall = chunkAfter(chunk);
  freeSmalls--;
  chunkStart(chunk);
  f.firstChunk = chunk;
  f.lastChunk = chunk;
  f.weight = 1;
  return f;
}

function chunkStart(chunk: u32): void {
  store<u16>(chunkNext + (chunk << 1), <u16>NO_CHUNK);
  store<u16>(chunkUsed + (chunk << 1), 0);
}

/** Adds a page to a frame; false when memory is short. */
export function frameAddPage(f: Frame): bool {
  if (!poolReady(1)) return false;
  const chunk = freePage;
  freePage = chunkAfter(chunk);
  freePages--;
  chunkStart(chunk);
  store<u16>(chunkNext + (f.lastChunk << 1), <u16>chunk);
  f.lastChunk = chunk;
  f.weight += 2;
  return true;
}

/** Makes `bytes` more bytes of the last chunk the frame's. @returns where they are */
export function frameExtend(f: Frame, bytes: u32): usize {
  const slot = chunkUsed + (f.lastChunk << 1);
  const used: u32 = load<u16>(slot);
  store<u16>(slot, <u16>(used + bytes));
  f.inChunks += bytes;
  return chunkAddress(f.lastChunk) + used;
}

/** The frame's first bytes: at least HEADER_BYTES, or all of it. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function frameHead(f: Frame): usize {
  return chunkAddress(f.firstChunk);
}

/** Whether all of it is in this domain's memory. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function frameComplete(f: Frame): bool {
  return f.inChunks == f.length;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function frameHold(f: Frame): void {
  f.references++;
}

/** Drops a reference; the last one frees the frame. */
export function frameRelease(f: Frame): void {
  assert(f.references != 0, "a frame is released that is free");
  if (--f.references) return;
  for (let chunk = f.firstChunk; chunk != NO_CHUNK;) {
    const after = chunkAfter(chunk);
    chunkPut(chunk);
    chunk = after;
  }
  f.next = freeFrame;
  freeFrame = changetype<usize>(f);
}

/** Copies `length` bytes from `offset` on of a complete frame to `to`. */
export function frameRead(f: Frame, offset: u32, to: usize, length: u32): void {
  let skip = offset;
  for (let chunk = f.firstChunk; length; chunk = chunkAfter(chunk)) {
    const used = chunkBytes(chunk);
    if (skip >= used) {
      skip -= used;
      continue;
    }
    const bytes = min(used - skip, length);
    memory.copy(to, chunkAddress(chunk) + skip, bytes);
    to += bytes;
    length -= bytes;
    skip = 0;
  }
}

/** Appends bytes of this domain's memory to a frame, with pages as needed; false when memory is short. */
export function frameAppend(f: Frame, from: usize, length: u32): bool {
  while (length) {
    const isFirst = f.lastChunk == f.firstChunk;
    const size: u32 = isFirst ? SMALL_BYTES - HEADROOM : PAGE_BYTES;
    const room = size - chunkBytes(f.lastChunk);
    if (!room) {
      if (!frameAddPage(f)) return false;
      continue;
    }
    const bytes = min(room, length);
    memory.copy(frameExtend(f, bytes), from, bytes);
    from += bytes;
    length -= bytes;
  }
  return true;
}
