/**
 * Frames to a guest: the copies into the buffers that its frontend has posted, and the responses that describe them.
 *
 * A frame takes a buffer for each 4 KiB, and a slot for each extra info. Where the sender's pieces would straddle buffers, each
 * begins a new one as long as the slots suffice: a copy less for each page. The copies run with the batch; then the responses are
 * written into the slots of their requests, as Linux's frontend expects.
 */
import {
  VIF_FAIL_INDEX,
  VIF_FE_GSO_TCPV4,
  VIF_FE_GSO_TCPV6,
  VIF_FE_IPV6_CSUM_OFFLOAD,
  VIF_FE_NO_CSUM_OFFLOAD,
  VIF_FE_SG,
  Counters,
  DROP_RX_COPY,
} from "../../abi/io/control-net";
import {
  NET_RX_RING_SIZE,
  NET_RX_SLOT,
  NETIF_RSP_ERROR,
  NetifExtraInfo,
  NetifRxRequest,
  NETRXF_csum_blank,
  NETRXF_data_validated,
  NETRXF_extra_info,
  NETRXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE_GSO,
  XEN_NETIF_GSO_TYPE_NONE,
  XEN_NETIF_GSO_TYPE_TCPV4,
} from "../../abi/io/netif";
import { SRING_HEADER } from "../../abi/io/ring";
import { GNTST_okay } from "../../abi/grant-table";
import { heapAllocate } from "../../drivers/host/heap";
import { read32, write32 } from "../../drivers/host/host";
import { RING_BROKEN, ringRequests, ringRequestsAwait } from "../ring";
import { copiesAt, copiesRoom, copiesStatus, copyAcross, copyOut } from "./frame/copies";
import {
  chunkAddress,
  chunkAfter,
  chunkBytes,
  Frame,
  FRAME_CSUM_BLANK,
  FRAME_VALIDATED,
  frameHead,
  frameHold,
  frameRelease,
  HEADER_BYTES,
  NO_CHUNK,
  PAGE_BYTES,
  pieceAt,
} from "./frame/frames";
import { journalAdd, journalBegin, journalInit } from "./extra-journal";
import { Headers, headersParse, IPV6 } from "./frame/headers";
import { touch } from "./notify";
import { count, countDrops, countersOf, Queue, Vif, vifFail } from "./records";
import { extrasOf, hashEnabled, hashExtra, hashFrame, hashTypeBit } from "./vif-extras";
import { bridgeCounters, bridgeOf } from "./bridges";

// What becomes of a frame.
export const RX_DELIVERED: u32 = 0;
export const RX_NO_BUFFERS: u32 = 1; // the frontend will notify when it has posted enough
export const RX_BATCH_FULL: u32 = 2;
export const RX_TOO_LARGE: u32 = 3;
export const RX_FAILED: u32 = 4; // the frontend is to be disconnected

/** Buffers of a frame that Linux's frontend takes, and one more when the first holds no more than headers. */
const BUFFERS_MAX: u32 = 17;
const FIRST_IS_HEADERS: u32 = 256;
const DELIVERIES_MAX: u32 = 256;
const RESPONSES_MAX: u32 = 1024;
/** Most slots and copies of one delivery. */
export const DELIVERY_SLOTS_MAX: u32 = 20;
export const DELIVERY_COPIES_MAX: u32 = 40;
/** Source of a piece that is this domain's own memory. */
const OWN: u32 = 0xffffffff;

@unmanaged
class Delivery {
  queue: Queue;
  /** Held until the copies are done. */
  frame: Frame;
  /** Index in the ring of its first response, and in `responses`. */
  ringFirst: u32;
  first: u32;
  slots: u32;
  /** Slots after the first that are extra info. */
  extras: u32;
  copyFirst: u32;
  copyEnd: u32;
}

/** A piece of the frame being delivered. */
@unmanaged
class Source {
  domid: u32;
  /** Grant reference, or linear address when domid is OWN. */
  name: u32;
  offset: u32;
  length: u32;
}

let deliveries: usize = 0;
let deliveryCount: u32 = 0;
/** Two words each, as they go into the ring. */
let responses: usize = 0;
let responseCount: u32 = 0;
/** HEADER chunk, pages or the sender's pieces. */
const sources: usize = memory.data(16 * 48, 4);
let sourceCount: u32 = 0;
const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/** Before anything else here; false without memory. */
export function rxInit(): bool {
  deliveries = heapAllocate(DELIVERIES_MAX * offsetof<Delivery>());
  responses = heapAllocate(RESPONSES_MAX << 3);
  return deliveries != 0 && responses != 0 && journalInit();
}

/** Begins a batch. */
export function rxBegin(): void {
  deliveryCount = 0;
  responseCount = 0;
  journalBegin();
}

/** Whether another frame of any size fits into the batch when `copies` copies and `slots` slots are set aside. */
export function rxRoom(copies: u32, slots: u32): bool {
  return (
    deliveryCount < DELIVERIES_MAX &&
    responseCount + slots + DELIVERY_SLOTS_MAX <= RESPONSES_MAX &&
    copiesRoom() >= copies + DELIVERY_COPIES_MAX
  );
}

/** Whether the receiver takes a frame of this kind with a blank checksum. */
export function rxTakesBlank(v: Vif, h: Headers): bool {
  const features = v.stable.features;
  return h.layer3 == IPV6 ? (features & VIF_FE_IPV6_CSUM_OFFLOAD) != 0 : !(features & VIF_FE_NO_CSUM_OFFLOAD);
}

/** Whether the receiver takes large TCP frames. */
export function rxTakesGso(v: Vif, gsoType: u32): bool {
  const wanted = VIF_FE_SG | (gsoType == XEN_NETIF_GSO_TYPE_TCPV4 ? VIF_FE_GSO_TCPV4 : VIF_FE_GSO_TCPV6);
  return (v.stable.features & wanted) == wanted;
}

/** The queue of a vif for a frame's flow. The vif is connected. */
export function rxQueue(v: Vif, flow: u32): Queue {
  let q = changetype<Queue>(v.queues);
  for (let n = flow % v.stable.queueCount; n; n--) q = changetype<Queue>(q.next);
  return q;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function sourceAt(index: u32): Source {
  return changetype<Source>(sources + <usize>index * offsetof<Source>());
}

function addSource(domid: u32, name: u32, offset: u32, length: u32): void {
  const s = sourceAt(sourceCount++);
  s.domid = domid;
  s.name = name;
  s.offset = offset;
  s.length = length;
}

/** The pieces of a frame: its chunks, then the sender's. */
function collectSources(f: Frame): void {
  sourceCount = 0;
  for (let chunk = f.firstChunk; chunk != NO_CHUNK; chunk = chunkAfter(chunk)) {
    if (chunkBytes(chunk)) addSource(OWN, <u32>chunkAddress(chunk), 0, chunkBytes(chunk));
  }
  for (let i: u32 = 0; i < f.restCount; i++) {
    const p = pieceAt(f.rest, i);
    addSource(f.restDomid, p.ref, p.offset, p.length);
  }
}

/** Bytes of the first buffer, as bufferCount found them. */
let firstBytes: u32 = 0;

/** Buffers that the pieces take. `dense`: each is filled; otherwise a piece that does not fit begins the next one. */
function bufferCount(dense: bool): u32 {
  let buffers: u32 = 1;
  let fill: u32 = 0;
  firstBytes = 0;
  for (let i: u32 = 0; i < sourceCount; i++) {
    let length = sourceAt(i).length;
    if (!dense && fill && length > PAGE_BYTES - fill) {
      buffers++;
      fill = 0;
    }
    while (length) {
      if (fill == PAGE_BYTES) {
        buffers++;
        fill = 0;
      }
      const bytes = min(length, PAGE_BYTES - fill);
      fill += bytes;
      length -= bytes;
      if (buffers == 1) firstBytes = fill;
    }
  }
  return buffers;
}

/**
 * Delivers a frame to a queue of a connected vif, which takes frames of its kind (rxTakesBlank, rxTakesGso): adds its copies to
 * the batch and takes its buffers. Unless RX_DELIVERED, nothing was taken.
 */
export function rxDeliver(q: Queue, f: Frame): u32 {
  const v = q.vif;
  if (v.failing) return RX_FAILED;
  if (!rxRoom(0, 0)) return RX_BATCH_FULL;
  collectSources(f);
  let dense = false;
  let buffers = bufferCount(false);
  if (buffers > BUFFERS_MAX + (firstBytes <= FIRST_IS_HEADERS ? 1 : 0)) {
    dense = true;
    buffers = bufferCount(true);
  }
  const features = v.stable.features;
  if (buffers > 1 && !(features & VIF_FE_SG)) return RX_TOO_LARGE;
  const gso = f.gsoType != XEN_NETIF_GSO_TYPE_NONE;
  const extras = extrasOf(v);
  let hash: u32 = 0;
  let hashed = hashEnabled(extras);
  if (hashed) {
    headersParse(parsed, frameHead(f), min(f.inChunks, HEADER_BYTES), f.length);
    hash = hashFrame(extras!, frameHead(f), parsed);
    hashed = hashTypeBit != 0xff;
  }
  const extraSlots: u32 = (gso ? 1 : 0) + (hashed ? 1 : 0);
  const slots = buffers + extraSlots;
  let waiting = ringRequests(q.rx, q.rxCons, q.rxDone, NET_RX_RING_SIZE);
  if (waiting >= 0 && <u32>waiting < slots) {
    waiting = ringRequestsAwait(q.rx, q.rxCons, q.rxDone, NET_RX_RING_SIZE, slots);
  }
  if (waiting == RING_BROKEN) {
    vifFail(v, VIF_FAIL_INDEX);
    return RX_FAILED;
  }
  if (<u32>waiting < slots) return RX_NO_BUFFERS;
  for (let i: u32 = 1; i <= extraSlots; i++) {
    const id = read32(requestAt(q, q.rxCons + i) + NetifRxRequest.id) & 0xffff;
    if (!journalAdd(q, q.rxCons + i, id)) return RX_BATCH_FULL;
  }

  const d = changetype<Delivery>(deliveries + <usize>deliveryCount * offsetof<Delivery>());
  deliveryCount++;
  d.queue = q;
  d.ringFirst = q.rxCons;
  d.first = responseCount;
  d.slots = slots;
  d.extras = extraSlots;
  d.frame = f;
  frameHold(f);
  d.copyFirst = copiesAt();
  const domid = v.stable.domid;
  let flags: u32 = 0;
  if (f.flags & FRAME_CSUM_BLANK) flags |= NETRXF_csum_blank | NETRXF_data_validated;
  else if (f.flags & FRAME_VALIDATED) flags |= NETRXF_data_validated;
  if (extraSlots) flags |= NETRXF_extra_info;
  fill(q, domid, flags, extraSlots, buffers, dense);
  if (gso) {
    addExtra(d.first + 1, XEN_NETIF_EXTRA_TYPE_GSO | (f.gsoSize << (NetifExtraInfo.gso_size * 8)), f.gsoType);
    if (hashed) markMore(d.first + 1);
  }
  if (hashed) addExtra(d.first + extraSlots, hashExtra(hashTypeBit), hash);
  d.copyEnd = copiesAt();
  q.rxCons += slots;
  responseCount += slots;
  touch(q);
  return RX_DELIVERED;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function responseAt(index: u32): usize {
  return responses + ((<usize>index) << 3);
}

function addExtra(index: u32, low: u32, high: u32): void {
  store<u32>(responseAt(index), low);
  store<u32>(responseAt(index) + 4, high);
}

function markMore(index: u32): void {
  const at = responseAt(index) + NetifExtraInfo.flags;
  store<u8>(at, load<u8>(at) | XEN_NETIF_EXTRA_FLAG_MORE);
}

/** Adds the copies of the pieces into the posted buffers, and the buffers' responses. */
function fill(q: Queue, domid: u32, flags: u32, extraSlots: u32, buffers: u32, dense: bool): void {
  let slot: u32 = 0;
  let used: u32 = 0;
  let request = requestAt(q, q.rxCons);
  let id = read32(request + NetifRxRequest.id) & 0xffff;
  let ref = read32(request + NetifRxRequest.gref);
  let i: u32 = 0;
  let done: u32 = 0;
  for (;;) {
    const more = i < sourceCount;
    const s = sourceAt(i);
    const left = more ? s.length - done : 0;
    const startsAnew = !dense && !done && used && left > PAGE_BYTES - used;
    if (!more || used == PAGE_BYTES || startsAnew) {
      const index = responseCount + (slot ? slot + extraSlots : 0);
      const slotFlags = (slot ? 0 : flags) | (slot + 1 < buffers ? NETRXF_more_data : 0);
      store<u32>(responseAt(index), id);
      store<u32>(responseAt(index) + 4, slotFlags | (used << 16));
      if (!more) return;
      slot++;
      used = 0;
      request = requestAt(q, q.rxCons + extraSlots + slot);
      id = read32(request + NetifRxRequest.id) & 0xffff;
      ref = read32(request + NetifRxRequest.gref);
      continue;
    }
    const bytes = min(left, PAGE_BYTES - used);
    if (s.domid == OWN) copyOut(s.name + done, domid, ref, used, bytes);
    else copyAcross(s.domid, s.name, s.offset + done, domid, ref, used, bytes);
    used += bytes;
    done += bytes;
    if (done == s.length) {
      i++;
      done = 0;
    }
  }
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function requestAt(q: Queue, index: u32): usize {
  return q.rx + SRING_HEADER + <usize>(index & (NET_RX_RING_SIZE - 1)) * NET_RX_SLOT;
}

/** Writes the responses of the batch; its copies are done. */
export function rxRespond(): void {
  for (let n: u32 = 0; n < deliveryCount; n++) {
    const d = changetype<Delivery>(deliveries + <usize>n * offsetof<Delivery>());
    const q = d.queue;
    const bytes = d.frame.length;
    frameRelease(d.frame);
    if (q.vif.failing) continue;
    const status = copiesStatus(d.copyFirst, d.copyEnd);
    for (let i: u32 = 0; i < d.slots; i++) {
      const response = responseAt(d.first + i);
      let high = load<u32>(response + 4);
      const isExtra = i >= 1 && i <= d.extras;
      if (status != GNTST_okay && !isExtra) high = (high & 0xffff) | ((<u32>NETIF_RSP_ERROR) << 16);
      const slot = requestAt(q, d.ringFirst + i);
      write32(slot, load<u32>(response));
      write32(slot + 4, high);
    }
    if (status != GNTST_okay) {
      countDrops(q.vif, DROP_RX_COPY);
      continue;
    }
    const counters = countersOf(q.vif);
    count(counters, Counters.rx_frames, 1);
    count(counters, Counters.rx_bytes, bytes);
    const all = bridgeCounters(bridgeOf(q.vif));
    count(all, Counters.rx_frames, 1);
    count(all, Counters.rx_bytes, bytes);
  }
}
