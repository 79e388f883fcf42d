/**
 * Captures: the first bytes of every frame that comes into a bridge, with the time, in a ring of fixed size that all captures
 * share. Old frames are overwritten; domain 0 reads (BRIDGE_DUMP) and makes a pcap file of them. A capture that nobody reads any more
 * ends by itself: domain 0 may have been restarted.
 */
import {
  BridgeCaptureResponse,
  BridgeDumpResponse,
  CAPTURE_UNREAD_SECONDS,
  CaptureRecord,
} from "../../abi/io/control-net";
import { heapAllocate } from "../../drivers/host/heap";
import { Bridge } from "./bridges";
import { nowNs, nowSeconds } from "./structures/clock";
import { chunkBytes, Frame, frameHead } from "./frame/frames";

const RING_BYTES: u32 = 1 << 20;

/** In front of a CaptureRecord and its bytes, in the ring. A record is not split: what is left at the end is one of no bridge. */
@unmanaged
class Header {
  /** Of the record, this included; a multiple of 8. */
  bytes: u32;
  /** The bridge's index plus 1. */
  bridge: u32;
}

let ring: usize = 0;
/** Positions of the oldest record and behind the newest: bytes since the start, so that a reader notices what it missed. */
let oldest: u64 = 0;
let newest: u64 = 0;

/**
 * Starts a capture on a bridge, of up to `bytes` bytes of each frame; 0 ends it. False without memory.
 * @param response BridgeCaptureResponse
 */
export function captureStart(b: Bridge, bytes: u32, response: usize): bool {
  if (bytes && !ring) ring = heapAllocate(RING_BYTES);
  if (bytes && !ring) return false;
  b.capture = bytes;
  if (bytes) b.captured = 0;
  b.captureRead = nowSeconds;
  store<u64>(response, newest, BridgeCaptureResponse.position);
  return true;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function headerAt(position: u64): Header {
  return changetype<Header>(ring + ((<usize>position) & (RING_BYTES - 1)));
}

/** Makes room for `bytes` bytes in one piece, at `newest`. */
function makeRoom(bytes: u32): void {
  const atEnd = RING_BYTES - ((<u32>newest) & (RING_BYTES - 1));
  const wanted = bytes + (atEnd < bytes ? atEnd : 0);
  while (newest + wanted - oldest > RING_BYTES) oldest += headerAt(oldest).bytes;
  if (atEnd < bytes) {
    const h = headerAt(newest);
    h.bytes = atEnd;
    h.bridge = 0;
    newest += atEnd;
  }
}

/** Captures a frame that has come into a bridge, if it has a capture. */
export function captureFrame(b: Bridge, f: Frame): void {
  if (!b.capture) return;
  if (nowSeconds - b.captureRead > CAPTURE_UNREAD_SECONDS) {
    b.capture = 0;
    return;
  }
  b.captured++;
  const captured = min(b.capture, chunkBytes(f.firstChunk));
  const bytes = <u32>offsetof<Header>() + CaptureRecord.SIZE + ((captured + 7) & ~7);
  makeRoom(bytes);
  const h = headerAt(newest);
  h.bytes = bytes;
  h.bridge = b.index + 1;
  const record = changetype<usize>(h) + offsetof<Header>();
  store<u64>(record, nowNs, CaptureRecord.time);
  store<u32>(record, f.length, CaptureRecord.length);
  store<u32>(record, captured, CaptureRecord.captured);
  store<u32>(record, b.captured, CaptureRecord.number);
  memory.copy(record + CaptureRecord.SIZE, frameHead(f), captured);
  newest += bytes;
}

/**
 * Copies records of a bridge to `to`, from `position` on, as many as fit into `room` bytes.
 * @param response BridgeDumpResponse
 */
export function captureRead(b: Bridge, position: u64, to: usize, room: u32, response: usize): void {
  b.captureRead = nowSeconds;
  // What is before `oldest` was overwritten; what is behind `newest` was never here.
  let at = position < oldest || position > newest ? oldest : position;
  let done: u32 = 0;
  // A position that is no record's start (a reader made it up) ends at a nonsensical size.
  while (at < newest) {
    const h = headerAt(at);
    if (h.bytes < <u32>offsetof<Header>() || at + h.bytes > newest) {
      at = newest;
      break;
    }
    if (h.bridge == b.index + 1) {
      const bytes = h.bytes - <u32>offsetof<Header>();
      if (done + bytes > room) break;
      memory.copy(to + done, changetype<usize>(h) + offsetof<Header>(), bytes);
      done += bytes;
    }
    at += h.bytes;
  }
  store<u64>(response, at, BridgeDumpResponse.position);
  store<u32>(response, done, BridgeDumpResponse.bytes);
  store<u32>(response, b.capture, BridgeDumpResponse.capture);
}
