/**
 * Entry of the network back end's unit tests (test/unit/io/net): the back end as the module has it, parts of it one by one, and a
 * card whose driver is TypeScript in Node. Not part of io.wasm.
 */
import { dmaMachine } from "../../drivers/host/dma";
import { eventDeliver, eventsStart } from "../../drivers/host/events";
import { heapAllocate } from "../../drivers/host/heap";
import { keptPortsEnd, keptPortsStart } from "../../drivers/host/kept-ports";
import {
  Frame as CardFrame,
  NETWORK_OPEN,
  NetworkDevice,
  networkReceive,
  networkReceiveEnd,
  networkRegister,
  networkTransmitDone,
  networkTransmitReady,
} from "../../drivers/network";
import { segmentSet } from "../../drivers/segment";
import { copyBytes, copyCount, copyHypercalls } from "./frame/copies";
import { frameAllocate, frameAppend, frameRead, frameRelease, poolUsed } from "./frame/frames";
import { Headers, headersParse } from "./frame/headers";
import { netDeadline, netInit, netTurn } from "./net";
import { netBulkBytes, netControl, netResponseBytes } from "./net-dispatch";
import { restartUplink } from "./net-restart";
import { eventsSent } from "./notify";
import { checksumFill, segmentCount, segmentMake } from "./frame/offload";
import { Bucket, bucketFill, bucketInit, bucketTake, bucketWait } from "./structures/token-bucket";
import { KeyTable, keyFind, keyInsert, keyRemove, keyTableInit, keyValue } from "./structures/key-table";
import { toeplitz } from "./vif-extras";
import { Queue, Vif, StableVif, STABLE_VIF_BYTES } from "./records";
import {
  WHEEL_NONE,
  wheelAdvance,
  wheelArm,
  wheelDeadline,
  wheelInit,
  wheelNext,
  wheelReserve,
} from "./structures/wheel";

@external("unit", "transmit") declare function unitTransmit(queue: u32, frame: usize, cookie: usize): i32;
@external("unit", "kick") declare function unitKick(queue: u32): void;
@external("unit", "reclaim") declare function unitReclaim(queue: u32): void;

export {
  eventDeliver,
  eventsStart,
  heapAllocate,
  keptPortsEnd,
  keptPortsStart,
  headersParse,
  netDeadline,
  netControl,
  netInit,
  netTurn,
  poolUsed,
  restartUplink,
  toeplitz,
  bucketFill,
  bucketInit,
  bucketTake,
  bucketWait,
  keyFind,
  keyInsert,
  keyRemove,
  keyTableInit,
  keyValue,
  wheelAdvance,
  wheelArm,
  wheelDeadline,
  wheelInit,
  wheelNext,
  wheelReserve,
  WHEEL_NONE,
};

export const HEADERS_BYTES: u32 = offsetof<Headers>();
export const BUCKET_BYTES: u32 = offsetof<Bucket>();
export const KEY_TABLE_BYTES: u32 = offsetof<KeyTable>();
export const VIF_BYTES: u32 = offsetof<Vif>();
export const QUEUE_BYTES: u32 = offsetof<Queue>();
export const STABLE_BYTES: u32 = STABLE_VIF_BYTES;
export const STABLE_FIELDS_BYTES: u32 = offsetof<StableVif>();

/** Of netControl's last answer. */
export function responseBytes(): u32 {
  return netResponseBytes;
}
export function bulkBytes(): u32 {
  return netBulkBytes;
}

/** Totals: GNTTABOP_copy hypercalls, copies, bytes, events sent. */
export function totals(to: usize): void {
  store<u64>(to, copyHypercalls);
  store<u64>(to + 8, copyCount);
  store<u64>(to + 16, copyBytes);
  store<u64>(to + 24, eventsSent);
}

// --- Offload -----------------------------------------------------------------------------------------------------------------

const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/** Fills in the checksum of `length` bytes at `at`, in place; false when it cannot be. */
export function fillChecksum(at: usize, length: u32): bool {
  const f = frameAllocate(length)!;
  frameAppend(f, at, length);
  headersParse(parsed, at, min(length, 192), length);
  const filled = checksumFill(f, parsed);
  frameRead(f, 0, at, length);
  frameRelease(f);
  return filled;
}

/**
 * Cuts `length` bytes at `at` into segments, one behind the other at `to`, their lengths as u32 at `lengths`.
 * @returns their number; 0 when what is asked does not fit
 */
export function cut(at: usize, length: u32, gsoType: u32, gsoSize: u32, to: usize, lengths: usize): u32 {
  const f = frameAllocate(length)!;
  frameAppend(f, at, length);
  f.gsoType = gsoType;
  f.gsoSize = gsoSize;
  headersParse(parsed, at, min(length, 192), length);
  const count = segmentCount(f, parsed);
  for (let i: u32 = 0; i < count; i++) {
    headersParse(parsed, at, min(length, 192), length);
    const s = segmentMake(f, parsed, i, count)!;
    frameRead(s, 0, to, s.length);
    store<u32>(lengths + (i << 2), s.length);
    to += s.length;
    frameRelease(s);
  }
  frameRelease(f);
  return count;
}

// --- A card ------------------------------------------------------------------------------------------------------------------

function open(device: usize): i32 {
  changetype<NetworkDevice>(device).state = NETWORK_OPEN;
  return 0;
}

function transmit(_device: usize, queue: u32, frame: usize, cookie: usize): i32 {
  return unitTransmit(queue, frame, cookie);
}

function kick(_device: usize, queue: u32): void {
  unitKick(queue);
}

function reclaim(_device: usize, queue: u32): void {
  unitReclaim(queue);
}

const received: CardFrame = changetype<CardFrame>(memory.data(offsetof<CardFrame>(), 8));
const receivedSegments: usize = memory.data(20 * 16, 8);

/** Plugs a card in; its record. */
export function cardPlug(features: u32, mtu: u32): usize {
  const d = changetype<NetworkDevice>(heapAllocate(offsetof<NetworkDevice>()));
  d.features = features;
  d.mtu = mtu;
  d.queues = 1;
  d.linkUp = 1;
  d.openFn = changetype<usize>(open);
  d.transmitFn = changetype<usize>(transmit);
  d.kickFn = changetype<usize>(kick);
  d.reclaimFn = changetype<usize>(reclaim);
  networkRegister(d);
  return changetype<usize>(d);
}

export function cardLink(device: usize, up: u32): void {
  changetype<NetworkDevice>(device).linkUp = up;
}

/** A frame comes in, in segments of at most `segment` bytes of DMA memory at `at`. */
export function cardReceive(
  device: usize,
  at: usize,
  length: u32,
  segment: u32,
  flags: u32,
  gso: u32,
  gsoSize: u32,
): void {
  let count: u32 = 0;
  for (let done: u32 = 0; done < length; done += segment) {
    segmentSet(receivedSegments, count++, dmaMachine(at + done), at + done, min(segment, length - done));
  }
  received.segments = receivedSegments;
  received.count = count;
  received.length = length;
  received.flags = flags;
  received.gso = gso;
  received.gsoSize = <u16>gsoSize;
  networkReceive(changetype<NetworkDevice>(device), 0, received);
  networkReceiveEnd(changetype<NetworkDevice>(device), 0);
}

export function cardDone(device: usize, cookie: usize, status: i32): void {
  networkTransmitDone(changetype<NetworkDevice>(device), 0, cookie, status);
}

export function cardReady(device: usize): void {
  networkTransmitReady(changetype<NetworkDevice>(device), 0);
}
