/**
 * Frames from a guest: requests of its transmit ring are copied once, checked and made into frames, whose first bytes are copied
 * with the batch; when what becomes of them is settled, the requests are answered, in their order.
 *
 * What a frontend that follows netif.h never does disconnects it (vifFail), as Linux's back end does: impossible indices,
 * missing or too many slots, slots that leave their page, unknown extra info. What can be answered is answered with an
 * error: a frame of more than XEN_NETIF_NR_SLOTS_MIN further slots, slots longer than the frame.
 */
import {
  Counters,
  DROP_COPY,
  DROP_MALFORMED,
  DROP_MEMORY,
  DROP_SLOTS,
  VIF_FAIL_BOUNDS,
  VIF_FAIL_EXTRA,
  VIF_FAIL_GONE,
  VIF_FAIL_GSO,
  VIF_FAIL_INDEX,
  VIF_FAIL_SLOTS,
} from "../../abi/io/control-net";
import { GNTST_bad_domain, GNTST_okay } from "../../abi/grant-table";
import {
  NET_TX_RING_SIZE,
  NET_TX_SLOT,
  NETIF_RSP_DROPPED,
  NETIF_RSP_ERROR,
  NETIF_RSP_NULL,
  NETIF_RSP_OKAY,
  NetifTxRequest,
  NetifTxResponse,
  NETTXF_csum_blank,
  NETTXF_data_validated,
  NETTXF_extra_info,
  NETTXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE_GSO,
  XEN_NETIF_EXTRA_TYPE_MAX,
  XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
  XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
  XEN_NETIF_EXTRA_TYPE_NONE,
  XEN_NETIF_GSO_TYPE_TCPV4,
  XEN_NETIF_GSO_TYPE_TCPV6,
  XEN_NETIF_NR_SLOTS_MIN,
} from "../../abi/io/netif";
import { SRING_HEADER } from "../../abi/io/ring";
import { heapAllocate } from "../../drivers/host/heap";
import { read32, write16, write32 } from "../../drivers/host/host";
import { RING_BROKEN, ringRequests, ringRequestsAwait } from "../ring";
import { bridgeCounters, bridgeOf, countBridgeDrops } from "./bridges";
import { copiesAt, copiesStatus, copyIn } from "./frame/copies";
import {
  Frame,
  FRAME_CSUM_BLANK,
  FRAME_VALIDATED,
  frameAddPage,
  frameAllocate,
  frameComplete,
  frameExtend,
  frameRelease,
  HEADER_BYTES,
  PAGE_BYTES,
  Piece,
  pieceAt,
  WHOLE_BYTES,
} from "./frame/frames";
import { touch } from "./notify";
import { count, countDrops, countersOf, Queue, Vif, vifFail } from "./records";
import { DELIVERY_SLOTS_MAX, rxRoom } from "./rx";
import { multicastAdd, multicastRemove } from "./vif-extras";

/** A frontend whose frames have this many slots beyond the first is disconnected: Linux's FATAL_SKB_SLOTS_DEFAULT. */
const SLOTS_FATAL: u32 = 20;
const TX_MAX: u32 = 64;
/** Slots of a batch: 256 may be one frame's, nearly all extra info. */
const SLOTS_MAX: u32 = 1024;
const PIECES_MAX: u32 = 1024;
/** Copies set aside for what becomes of a frame: to a receiver, or into this domain's memory. */
const PULL_COPIES_MAX: u32 = 40;
/** Of a slot: extra info, which has no id to answer. */
const SLOT_EXTRA: u32 = 0x10000;

/** A frame's requests, and what becomes of it. */
@unmanaged
export class Tx {
  queue: Queue;
  /** 0: none, the requests ask for something else, or are dropped. */
  frame: usize;
  /** Index in the ring of its first request; its slots in `slots`. */
  ringFirst: u32;
  slotFirst: u32;
  slotCount: u32;
  /** NETIF_RSP_*. */
  status: i32;
  /** Bytes that it says it has; DROP_* for which it is dropped, -1: it is not. */
  bytes: u32;
  drop: i32;
  /** What the card of its bridge has promised it (uplinkPromise). */
  promised: u32;
  /** The copies of its first bytes, and of the rest if that is pulled. */
  copyFirst: u32;
  copyEnd: u32;
  pullFirst: u32;
  pullEnd: u32;
  /** switch.ts: what is to be done with the frame when it is complete. */
  action: u32;
  target: usize;
}

let txs: usize = 0;
/** Frames of the batch. */
export let txCount: u32 = 0;
/** Ids, or SLOT_EXTRA. */
let slots: usize = 0;
let slotCount: u32 = 0;
let pieces: usize = 0;
let pieceCount: u32 = 0;
/** Copies and receive slots that the frames collected may yet need. */
let copiesSetAside: u32 = 0;
let slotsSetAside: u32 = 0;

/** Results of txNext. */
export const TX_NONE: u32 = 0; // nothing waits: the frontend will notify
export const TX_TAKEN: u32 = 1;
export const TX_BATCH_FULL: u32 = 2;
export const TX_FAILED: u32 = 3; // the frontend is to be disconnected

/** Bytes of the frame that txNext has taken. */
export let txTakenBytes: u32 = 0;

// The request being looked at.
let ref: u32 = 0;
let offset: u32 = 0;
let flags: u32 = 0;
let id: u32 = 0;
let size: u32 = 0;
// What the extra info said.
let gsoSize: u32 = 0;
let gsoType: u32 = 0;
let hasGso: bool = false;
let multicast: u32 = 0;
let multicastMac: u64 = 0;

/** Before anything else here; false without memory. */
export function txInit(): bool {
  txs = heapAllocate(TX_MAX * offsetof<Tx>());
  slots = heapAllocate(SLOTS_MAX << 2);
  pieces = heapAllocate(PIECES_MAX * offsetof<Piece>());
  return txs != 0 && slots != 0 && pieces != 0;
}

/** Begins a batch. */
export function txBegin(): void {
  txCount = 0;
  slotCount = 0;
  pieceCount = 0;
  copiesSetAside = 0;
  slotsSetAside = 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function txAt(index: u32): Tx {
  return changetype<Tx>(txs + <usize>index * offsetof<Tx>());
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function slotOf(q: Queue, index: u32): usize {
  return q.tx + SRING_HEADER + <usize>(index & (NET_TX_RING_SIZE - 1)) * NET_TX_SLOT;
}

/** Copies the request at `index`: three loads, each field is seen once. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function readRequest(q: Queue, index: u32): void {
  const slot = slotOf(q, index);
  ref = read32(slot + NetifTxRequest.gref);
  const second = read32(slot + NetifTxRequest.offset);
  const third = read32(slot + NetifTxRequest.id);
  offset = second & 0xffff;
  flags = second >> 16;
  id = third & 0xffff;
  size = third >> 16;
}

/** Whether the batch can take another frame of any shape. */
function hasRoom(): bool {
  return (
    txCount < TX_MAX &&
    slotCount + NET_TX_RING_SIZE <= SLOTS_MAX &&
    pieceCount + SLOTS_FATAL + 1 <= PIECES_MAX &&
    rxRoom(copiesSetAside + SLOTS_FATAL + 1 + PULL_COPIES_MAX, slotsSetAside + DELIVERY_SLOTS_MAX)
  );
}

/**
 * Whether a frame waits, and how long it says it is: what a rate limit must know before it is taken.
 * @returns its bytes; 0: none waits (the frontend will notify), or the frontend is to be disconnected
 */
export function txPeek(q: Queue): u32 {
  if (!q.txWaiting) {
    let waiting = ringRequests(q.tx, q.txCons, q.txDone, NET_TX_RING_SIZE);
    if (!waiting) waiting = ringRequestsAwait(q.tx, q.txCons, q.txDone, NET_TX_RING_SIZE, 1);
    if (waiting == RING_BROKEN) {
      vifFail(q.vif, VIF_FAIL_INDEX);
      return 0;
    }
    q.txWaiting = waiting;
    if (!waiting) return 0;
  }
  return max(read32(slotOf(q, q.txCons) + NetifTxRequest.id) >> 16, 1);
}

/** Takes the next frame that waits (txPeek) into the batch. TX_*. */
export function txNext(q: Queue): u32 {
  if (!hasRoom()) return TX_BATCH_FULL;
  readRequest(q, q.txCons);
  const firstRef = ref;
  const firstOffset = offset;
  const firstFlags = flags;
  const firstId = id;
  const total = size;
  const x = txAt(txCount);
  memory.fill(changetype<usize>(x), 0, offsetof<Tx>());
  x.queue = q;
  x.ringFirst = q.txCons;
  x.slotFirst = slotCount;
  x.drop = -1;
  addSlot(firstId);
  gsoType = 0;
  gsoSize = 0;
  hasGso = false;
  multicast = 0;
  if (firstFlags & NETTXF_extra_info && !readExtras(q)) return fail(q, VIF_FAIL_EXTRA);
  if (multicast) {
    x.status = changeMulticast(q.vif) ? NETIF_RSP_OKAY : NETIF_RSP_ERROR;
    return take(q, x, 0);
  }
  const firstPiece = pieceCount;
  pieceCount++; // the first slot's length is known when those of the others are
  let drop: i32 = -1;
  let left = total;
  let further: u32 = 0;
  for (let more = firstFlags & NETTXF_more_data; more; more = flags & NETTXF_more_data) {
    if (slotCount - x.slotFirst >= q.txWaiting || further >= SLOTS_FATAL) return fail(q, VIF_FAIL_SLOTS);
    readRequest(q, q.txCons + (slotCount - x.slotFirst));
    addSlot(id);
    if (offset + size > PAGE_BYTES) return fail(q, VIF_FAIL_BOUNDS);
    if (further++ >= XEN_NETIF_NR_SLOTS_MIN) drop = DROP_SLOTS;
    else if (size > left && drop < 0) drop = DROP_MALFORMED;
    if (drop >= 0) continue;
    left -= size;
    addPiece(ref, offset, size);
  }
  if (drop < 0) {
    if (firstOffset + left > PAGE_BYTES) return fail(q, VIF_FAIL_BOUNDS);
    if (hasGso && (!gsoSize || (gsoType != XEN_NETIF_GSO_TYPE_TCPV4 && gsoType != XEN_NETIF_GSO_TYPE_TCPV6))) {
      return fail(q, VIF_FAIL_GSO);
    }
    setPiece(firstPiece, firstRef, firstOffset, left);
    if (total < 14) drop = DROP_MALFORMED;
  }
  if (drop < 0 && !makeFrame(x, total, firstFlags, firstPiece)) drop = DROP_MEMORY;
  if (drop >= 0) {
    x.drop = drop;
    x.status = drop == DROP_MEMORY ? NETIF_RSP_DROPPED : NETIF_RSP_ERROR;
    pieceCount = firstPiece;
  }
  return take(q, x, total);
}

function take(q: Queue, x: Tx, bytes: u32): u32 {
  x.slotCount = slotCount - x.slotFirst;
  x.bytes = bytes;
  q.txCons += x.slotCount;
  q.txWaiting -= x.slotCount;
  txTakenBytes = bytes;
  txCount++;
  touch(q);
  return TX_TAKEN;
}

function fail(q: Queue, reason: u32): u32 {
  vifFail(q.vif, reason);
  return TX_FAILED;
}

function addSlot(value: u32): void {
  store<u32>(slots + ((<usize>slotCount) << 2), value);
  slotCount++;
}

function addPiece(r: u32, o: u32, length: u32): void {
  if (length) setPiece(pieceCount++, r, o, length);
}

function setPiece(index: u32, r: u32, o: u32, length: u32): void {
  const p = pieceAt(pieces, index);
  p.ref = r;
  p.offset = o;
  p.length = length;
}

/** Copies the extra info that follows the first request; false when it is not there, or of a type that does not exist. */
function readExtras(q: Queue): bool {
  const first = slotCount - 1;
  let extraFlags: u32 = 0;
  do {
    const at = slotCount - first;
    if (at >= q.txWaiting) return false;
    const slot = slotOf(q, q.txCons + at);
    const low = read32(slot);
    const high = read32(slot + 4);
    addSlot(SLOT_EXTRA);
    const type = low & 0xff;
    extraFlags = (low >> 8) & 0xff;
    if (type == XEN_NETIF_EXTRA_TYPE_NONE || type >= XEN_NETIF_EXTRA_TYPE_MAX) return false;
    if (type == XEN_NETIF_EXTRA_TYPE_GSO) {
      hasGso = true;
      gsoSize = low >> 16;
      gsoType = high & 0xff;
    } else if (type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD || type == XEN_NETIF_EXTRA_TYPE_MCAST_DEL) {
      multicast = type;
      multicastMac = (<u64>(low >> 16)) | ((<u64>high) << 16);
    }
  } while (extraFlags & XEN_NETIF_EXTRA_FLAG_MORE);
  return true;
}

function changeMulticast(v: Vif): bool {
  if (multicast == XEN_NETIF_EXTRA_TYPE_MCAST_ADD) return multicastAdd(v, multicastMac);
  multicastRemove(v, multicastMac);
  return true;
}

/** Makes the frame and has its first bytes copied; what is left of the pieces is its rest. */
function makeFrame(x: Tx, total: u32, requestFlags: u32, firstPiece: u32): bool {
  const f = frameAllocate(total);
  if (f == null) return false;
  x.frame = changetype<usize>(f);
  const v = x.queue.vif;
  f.source = v.index;
  if (requestFlags & NETTXF_csum_blank) f.flags |= FRAME_CSUM_BLANK;
  else if (requestFlags & NETTXF_data_validated) f.flags |= FRAME_VALIDATED;
  f.gsoSize = gsoSize;
  f.gsoType = gsoType;
  const wanted = total <= WHOLE_BYTES ? total : HEADER_BYTES;
  x.copyFirst = copiesAt();
  let first = firstPiece;
  while (f.inChunks < wanted) {
    const p = pieceAt(pieces, first);
    const bytes = min(p.length, wanted - f.inChunks);
    if (bytes) copyIn(v.stable.domid, p.ref, p.offset, frameExtend(f, bytes), bytes);
    p.offset += bytes;
    p.length -= bytes;
    if (!p.length) first++;
  }
  x.copyEnd = copiesAt();
  f.rest = changetype<usize>(pieceAt(pieces, first));
  f.restCount = pieceCount - first;
  f.restDomid = v.stable.domid;
  copiesSetAside += frameComplete(f) ? 2 : PULL_COPIES_MAX;
  slotsSetAside += frameComplete(f) ? 3 : DELIVERY_SLOTS_MAX;
  return true;
}

/**
 * Leaves a frame in the ring, and what of its queue is behind it in the batch: they are taken again in a later one. Frames of the
 * batch are gone through in order.
 */
export function txLeave(x: Tx): void {
  const q = x.queue;
  q.txStays = 1;
  q.txCons -= x.slotCount;
  q.txWaiting += x.slotCount;
  x.slotCount = 0;
  txDone(x);
}

/** Whether it is a frame whose first bytes were copied; otherwise it is dropped here, or there was none. */
export function txCopied(x: Tx): bool {
  if (x.drop >= 0) txDrop(x, x.drop, x.status);
  if (!x.frame) return false;
  const status = copiesStatus(x.copyFirst, x.copyEnd);
  if (status == GNTST_okay) return true;
  if (status == GNTST_bad_domain) vifFail(x.queue.vif, VIF_FAIL_GONE);
  txDrop(x, DROP_COPY, NETIF_RSP_ERROR);
  return false;
}

/** Has the rest of a frame copied into this domain's memory with the batch; false when there is no room. */
export function txPull(x: Tx): bool {
  const f = changetype<Frame>(x.frame);
  x.pullFirst = copiesAt();
  let room: u32 = 0;
  for (let i: u32 = 0; i < f.restCount; i++) {
    const p = pieceAt(f.rest, i);
    // A piece that would straddle pages begins the next one: a copy less for each, and a few pages more than a full frame needs.
    if (p.length > room) {
      if (!frameAddPage(f)) return false;
      room = PAGE_BYTES;
    }
    copyIn(f.restDomid, p.ref, p.offset, frameExtend(f, p.length), p.length);
    room -= p.length;
  }
  f.restCount = 0;
  x.pullEnd = copiesAt();
  return true;
}

/** Whether what txPull had copied was; otherwise the frame is dropped here. */
export function txPulled(x: Tx): bool {
  if (copiesStatus(x.pullFirst, x.pullEnd) == GNTST_okay) return true;
  txDrop(x, DROP_COPY, NETIF_RSP_ERROR);
  return false;
}

/** Drops a frame for a reason of the sender's, and counts it. */
export function txDrop(x: Tx, reason: u32, status: i32): void {
  x.status = status;
  countDrops(x.queue.vif, reason);
  countBridgeDrops(bridgeOf(x.queue.vif), reason);
  txDone(x);
}

/** Ends the batch's interest in a frame. */
export function txDone(x: Tx): void {
  if (!x.frame) return;
  const f = changetype<Frame>(x.frame);
  f.restCount = 0;
  frameRelease(f);
  x.frame = 0;
}

/** Counts a frame that the switch has taken. */
export function txCountFrame(x: Tx, bytes: u32): void {
  const counters = countersOf(x.queue.vif);
  count(counters, Counters.tx_frames, 1);
  count(counters, Counters.tx_bytes, bytes);
  const all = bridgeCounters(bridgeOf(x.queue.vif));
  count(all, Counters.tx_frames, 1);
  count(all, Counters.tx_bytes, bytes);
}

/** Answers the requests of the batch. */
export function txRespond(): void {
  for (let n: u32 = 0; n < txCount; n++) {
    const x = txAt(n);
    txDone(x);
    const q = x.queue;
    q.txStays = 0;
    if (q.vif.failing) continue;
    for (let i: u32 = 0; i < x.slotCount; i++) {
      const slot = slotOf(q, x.ringFirst + i);
      const value = load<u32>(slots + ((<usize>(x.slotFirst + i)) << 2));
      if (value == SLOT_EXTRA) write16(slot + NetifTxResponse.status, <u32>NETIF_RSP_NULL);
      else write32(slot, value | ((<u32>x.status) << 16));
    }
  }
}
