/**
 * A bridge's card: frames to it, and those that come from it. What the card cannot do for a frame (checksum, segmentation) is done
 * here. Frames that the card has no room for wait, each sender with a bounded part of the room, so that one who floods does
 * not crowd out the others. A vif's frame is promised its part before it is taken from the ring (uplink-wait.ts).
 */
import {
  BRIDGE_NAME_BYTES,
  Counters,
  DROP_CHECKSUM,
  DROP_GSO,
  DROP_MEMORY,
  DROP_UPLINK,
} from "../../abi/io/control-net";
import { EAGAIN } from "../../abi/errno";
import { XEN_NETIF_GSO_TYPE_NONE, XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6 } from "../../abi/io/netif";
import { dmaMachine } from "../../drivers/host/dma";
import { heapAllocate } from "../../drivers/host/heap";
import { say, sayEnd, sayText } from "../../drivers/host/log";
import {
  Frame as CardFrame,
  FRAME_CHECKSUM_PARTIAL,
  FRAME_CHECKSUM_VALID,
  FRAME_GSO_NONE,
  FRAME_GSO_TCP4,
  FRAME_GSO_TCP6,
  NETWORK_OPEN,
  NETWORK_SEGMENTS_MAX,
  NETWORK_TX_CHECKSUM,
  NETWORK_TX_TSO4,
  NETWORK_TX_TSO6,
  NetworkDevice,
  networkFirst,
  networkKick,
  networkOpen,
  networkReclaim,
  networkTransmit,
} from "../../drivers/network";
import { Segment, segmentAt, segmentSet } from "../../drivers/segment";
import { PORT_UPLINK } from "./addresses";
import { Bridge, bridgeCounters, bridgeName, countBridgeDrops } from "./bridges";
import {
  chunkAddress,
  chunkAfter,
  chunkBytes,
  Frame,
  FRAME_CSUM_BLANK,
  FRAME_VALIDATED,
  frameAllocate,
  frameAppend,
  frameHead,
  frameHold,
  frameRelease,
  HEADER_BYTES,
  NO_CHUNK,
  poolReady,
} from "./frame/frames";
import { Headers, headersParse, NONE } from "./frame/headers";
import { checksumFill, checksumPartial, segmentCount, segmentMake } from "./frame/offload";
import { count, countDrops, Vif, vifAt, vifCharge, VIFS_MAX } from "./records";
import { MILLISECOND_NS, nowNs, nowSeconds } from "./structures/clock";
import { Tx } from "./tx";
import { waitAdd, waitDone, waiting, waitIsOver, waitServe } from "./uplink-wait";

/** A frame has come from a bridge's card, complete; the callee keeps its own references. */
export type UplinkInputFn = (b: Bridge, f: Frame) => void;

/** Places for frames that wait for cards, and how much of the pool they may hold (units of 2 KiB). */
const BACKLOG: u32 = 1024;
const BACKLOG_WEIGHT: u32 = 1024;

/** Vifs that wait of which one turn, and a frame that is done, look at so many. */
const WAKE_TURN: u32 = 64;
const WAKE_FRAME: u32 = 4;

let input: usize = 0;
/** Frames that wait, of all cards, in order: Frame and Bridge. */
let backlog: usize = 0;
let backlogFirst: u32 = 0;
let backlogCount: u32 = 0;
/** Of the pool, what frames hold that wait or that a card has; of that each vif's, u16. */
let held: u32 = 0;
let heldOf: usize = 0;
const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));
const segmentHeaders: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));
const cardFrame: CardFrame = changetype<CardFrame>(memory.data(offsetof<CardFrame>(), 8));
const segments: usize = memory.data(20 * 16, 8);

/** Before anything else here; false without memory. `fn` gets all frames of all cards. */
export function uplinkInit(fn: UplinkInputFn): bool {
  input = changetype<usize>(fn);
  backlog = heapAllocate(BACKLOG << 3);
  heldOf = heapAllocate((<usize>VIFS_MAX + 1) << 1);
  return backlog != 0 && heldOf != 0 && NETWORK_SEGMENTS_MAX * offsetof<Segment>() <= 20 * 16;
}

/** The card with an index of NIC_LIST; 0 when there is none. */
export function uplinkCard(nic: u32): usize {
  let at = networkFirst();
  for (let n = nic; at && n; n--) at = changetype<NetworkDevice>(at).next;
  return at;
}

/** Attaches a card to a bridge that has none; 0 or -errno (-EBUSY: it is another bridge's). */
export function uplinkAttach(b: Bridge, card: usize): i32 {
  const d = changetype<NetworkDevice>(card);
  if (d.state != NETWORK_OPEN || d.client) {
    const rc = networkOpen(d, changetype<usize>(b), receive, receiveEnd, transmitDone, transmitReady, changed);
    if (rc) return rc;
  }
  d.client = changetype<usize>(b);
  b.uplink = card;
  b.linkDown = 0;
  sayLink(b, d);
  return 0;
}

/** Lines about a link in a minute: a loose cable is not to fill the log. */
const LINK_LINES: u32 = 10;

/** Logs that the link of a bridge's card is down, or up again. */
function sayLink(b: Bridge, d: NetworkDevice): void {
  const down: u32 = d.linkUp ? 0 : 1;
  if (down == b.linkDown) return;
  b.linkDown = down;
  const minute = nowSeconds / 60;
  if (b.linkMinute != minute) b.linkLines = 0;
  b.linkMinute = minute;
  if (b.linkLines++ >= LINK_LINES) return;
  say("Bridge ");
  sayText(bridgeName(b), BRIDGE_NAME_BYTES);
  say(down ? ": its network card's link is down." : ": its network card's link is up.");
  sayEnd();
}

/** Detaches a bridge's card, which stays open for the next. */
export function uplinkDetach(b: Bridge): void {
  if (!b.uplink) return;
  changetype<NetworkDevice>(b.uplink).client = 0;
  b.uplink = 0;
}

/** Whether a bridge has a card that sends. */
export function uplinkReady(b: Bridge): bool {
  if (!b.uplink) return false;
  const d = changetype<NetworkDevice>(b.uplink);
  return d.state == NETWORK_OPEN && d.linkUp != 0;
}

/**
 * Before a frame of a batch to a bridge's card is taken: promises it its part of the room, until uplinkPromiseKept, and has the
 * pool have the pages that it needs.
 * @param segments into how many it is to be cut, 1 for one that is not
 * @returns false: its vif waits until there is room, and the frame with it
 */
export function uplinkPromise(x: Tx, b: Bridge, f: Frame, segments: u32): bool {
  if (!uplinkReady(b)) return true; // it is dropped, and counted
  const v = x.queue.vif;
  // Cut here, each segment takes a part, and the frame none.
  const weight = segments > 1 && !cutByCard(changetype<NetworkDevice>(b.uplink), f) ? segments : 1 + (f.restCount << 1);
  if (!mayTake(v, weight)) takeBack();
  if (mayTake(v, weight) && (poolReady(f.restCount) || !held)) {
    hold(v.index, <i32>weight);
    x.promised = weight;
    waitDone(v);
    return true;
  }
  if (waitIsOver(v)) return true;
  waitAdd(v, weight);
  return false;
}

/** Whether a card segments frames of this kind. */
function cutByCard(d: NetworkDevice, f: Frame): bool {
  const tso = f.gsoType == XEN_NETIF_GSO_TYPE_TCPV4 ? NETWORK_TX_TSO4 : NETWORK_TX_TSO6;
  return (d.features & NETWORK_TX_CHECKSUM) != 0 && (d.features & tso) != 0;
}

/** Ends the promise to a frame of the batch: what becomes of it is next. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function uplinkPromiseKept(x: Tx): void {
  if (x.promised) hold(x.queue.vif.index, -(<i32>x.promised));
}

/** Before a batch: sees to the vifs that wait. */
export function uplinkTurn(): void {
  if (!waiting()) return;
  takeBack();
  waitServe(WAKE_TURN, mayTake);
}

/** When it is to be called again, ns; u64.MAX_VALUE: nobody waits. */
export function uplinkDeadline(): u64 {
  return waiting() ? nowNs + MILLISECOND_NS : u64.MAX_VALUE;
}

/**
 * Has a complete frame sent by a bridge's card. The caller keeps its own reference.
 * @param promised there is room for it
 */
export function uplinkSend(b: Bridge, f: Frame, promised: bool = false): void {
  if (!uplinkReady(b)) {
    dropped(b, f, DROP_UPLINK, 1);
    return;
  }
  const d = changetype<NetworkDevice>(b.uplink);
  const gso = f.gsoType != XEN_NETIF_GSO_TYPE_NONE;
  const blank = (f.flags & FRAME_CSUM_BLANK) != 0;
  if (!gso && !blank) {
    queue(b, f, promised);
    return;
  }
  headersParse(parsed, frameHead(f), min(f.inChunks, HEADER_BYTES), f.length);
  const cardSums = (d.features & NETWORK_TX_CHECKSUM) != 0;
  if (!gso) {
    if (parsed.layer4 == NONE) {
      dropped(b, f, DROP_CHECKSUM, 1);
      return;
    }
    if (cardSums) checksumPartial(f, parsed);
    else checksumFill(f, parsed);
    queue(b, f, promised);
    return;
  }
  const count = segmentCount(f, parsed);
  if (!count) {
    dropped(b, f, DROP_GSO, 1);
    return;
  }
  const fits = f.gsoSize + parsed.layer4At + parsed.layer4Bytes <= d.mtu + 14;
  if (count > 1 && cutByCard(d, f) && fits) {
    f.flags |= FRAME_CSUM_BLANK;
    checksumPartial(f, parsed);
    queue(b, f, promised);
    return;
  }
  if (f.source != PORT_UPLINK && f.source) vifCharge(vifAt(f.source), count, 0);
  for (let i: u32 = 0; i < count; i++) {
    const s = segmentMake(f, parsed, i, count);
    if (s == null) {
      dropped(b, f, DROP_MEMORY, count - i);
      return;
    }
    if (!cardSums) {
      headersParse(segmentHeaders, frameHead(s), min(s.inChunks, HEADER_BYTES), s.length);
      checksumFill(s, segmentHeaders);
    }
    queue(b, s, promised);
    frameRelease(s);
  }
}

function dropped(b: Bridge, f: Frame, reason: u32, frames: u32): void {
  countBridgeDrops(b, reason, frames);
  if (f.source != PORT_UPLINK && f.source) countDrops(vifAt(f.source), reason, frames);
}

/** The vif whose frame it is; 0: no vif's. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function senderOf(f: Frame): u32 {
  return f.source != PORT_UPLINK ? f.source : 0;
}

/** Whether a sender may hold so much more: half of what is left may be one sender's, some is always left for another. */
function mayHold(sender: u32, weight: u32): bool {
  const left = BACKLOG_WEIGHT > held ? BACKLOG_WEIGHT - held : 0;
  return <u32>load<u16>(heldOf + ((<usize>sender) << 1)) + weight <= left >> 1;
}

function mayTake(v: Vif, weight: u32): bool {
  return mayHold(v.index, weight);
}

/** A sender holds so much more, or less. */
function hold(sender: u32, weight: i32): void {
  const slot = heldOf + ((<usize>sender) << 1);
  held += weight;
  store<u16>(slot, <u16>(<i32>load<u16>(slot) + weight));
}

/** Has cards give back what they have sent: they do it by themselves only when their rings have no room, or each second. */
function takeBack(): void {
  for (let at = networkFirst(); at; at = changetype<NetworkDevice>(at).next) {
    const d = changetype<NetworkDevice>(at);
    for (let i: u32 = 0; i < d.queues; i++) networkReclaim(d, i);
  }
}

/** Gives a frame to the card, or has it wait. */
function queue(b: Bridge, f: Frame, promised: bool): void {
  if (!promised && !mayHold(senderOf(f), f.weight)) {
    takeBack();
    if (!mayHold(senderOf(f), f.weight)) {
      dropped(b, f, DROP_UPLINK, 1);
      return;
    }
  }
  frameHold(f);
  hold(senderOf(f), f.weight);
  if (!backlogCount && transmit(b, f)) return;
  if (backlogCount == BACKLOG) {
    dropped(b, f, DROP_UPLINK, 1);
    letGo(f);
    return;
  }
  const at = backlog + (((backlogFirst + backlogCount++) & (BACKLOG - 1)) << 3);
  store<usize>(at, changetype<usize>(f));
  store<usize>(at + 4, changetype<usize>(b));
}

function letGo(f: Frame): void {
  hold(senderOf(f), -(<i32>f.weight));
  frameRelease(f);
  if (waiting()) waitServe(WAKE_FRAME, mayTake);
}

/** Gives a frame to the card; false when it has no room now. A frame that it refuses otherwise is dropped. */
function transmit(b: Bridge, f: Frame): bool {
  const d = changetype<NetworkDevice>(b.uplink);
  const c = cardFrame;
  let n: u32 = 0;
  for (let chunk = f.firstChunk; chunk != NO_CHUNK; chunk = chunkAfter(chunk)) {
    const bytes = chunkBytes(chunk);
    if (bytes) segmentSet(segments, n++, dmaMachine(chunkAddress(chunk)), chunkAddress(chunk), bytes);
  }
  c.segments = segments;
  c.count = n;
  c.length = f.length;
  c.flags = 0;
  c.gso = FRAME_GSO_NONE;
  if (f.flags & FRAME_CSUM_BLANK) {
    c.flags = FRAME_CHECKSUM_PARTIAL;
    c.checksumStart = f.layer4At;
    c.checksumOffset = f.checksumAt - f.layer4At;
    if (f.gsoType != XEN_NETIF_GSO_TYPE_NONE) {
      c.gso = f.gsoType == XEN_NETIF_GSO_TYPE_TCPV4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
      c.gsoSize = <u16>f.gsoSize;
      c.headerBytes = f.dataAt;
    }
  }
  const rc = networkTransmit(d, f.flow % d.queues, c, changetype<usize>(f));
  if (rc == -EAGAIN) return false;
  if (rc) {
    dropped(b, f, DROP_UPLINK, 1);
    letGo(f);
    return true;
  }
  const counters = bridgeCounters(b);
  count(counters, Counters.rx_frames, 1);
  count(counters, Counters.rx_bytes, f.length);
  return true;
}

/** Gives frames that wait to their cards, as far as they have room. */
function drain(): void {
  while (backlogCount) {
    const at = backlog + ((backlogFirst & (BACKLOG - 1)) << 3);
    const f = changetype<Frame>(load<usize>(at));
    const b = changetype<Bridge>(load<usize>(at + 4));
    if (!b.uplink) letGo(f);
    else if (!transmit(b, f)) return;
    backlogFirst++;
    backlogCount--;
  }
}

/** At the end of a batch: tells a bridge's card of the frames sent. */
export function uplinkKick(b: Bridge): void {
  if (!b.uplink) return;
  const d = changetype<NetworkDevice>(b.uplink);
  for (let i: u32 = 0; i < d.queues; i++) networkKick(d, i);
}

// --- Called by the driver ----------------------------------------------------------------------------------------------------

function receive(device: usize, _queue: u32, frame: usize): void {
  const d = changetype<NetworkDevice>(device);
  if (!d.client) return;
  const b = changetype<Bridge>(d.client);
  const c = changetype<CardFrame>(frame);
  const f = frameAllocate(c.length);
  if (f == null) {
    countBridgeDrops(b, DROP_MEMORY);
    return;
  }
  f.source = PORT_UPLINK;
  if (c.flags & FRAME_CHECKSUM_PARTIAL) f.flags = FRAME_CSUM_BLANK;
  else if (c.flags & FRAME_CHECKSUM_VALID) f.flags = FRAME_VALIDATED;
  if (c.gso != FRAME_GSO_NONE) {
    f.gsoType = c.gso == FRAME_GSO_TCP4 ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6;
    f.gsoSize = c.gsoSize;
  }
  let whole: bool = true;
  for (let i: u32 = 0; i < c.count && whole; i++) {
    const s = segmentAt(c.segments, i);
    whole = frameAppend(f, s.linear, s.bytes);
  }
  if (whole) changetype<UplinkInputFn>(input)(b, f);
  else countBridgeDrops(b, DROP_MEMORY);
  frameRelease(f);
}

/** Frames were copied as they came. */
function receiveEnd(_device: usize, _queue: u32): void {}

function transmitDone(_device: usize, _queue: u32, cookie: usize, _status: i32): void {
  letGo(changetype<Frame>(cookie));
}

function transmitReady(device: usize, _queue: u32): void {
  drain();
  const b = changetype<NetworkDevice>(device).client;
  if (b) uplinkKick(changetype<Bridge>(b));
}

/** A card that is gone has given back its frames; those that wait are dropped when they are its turn. */
function changed(device: usize): void {
  const d = changetype<NetworkDevice>(device);
  if (d.client && d.state == NETWORK_OPEN) sayLink(changetype<Bridge>(d.client), d);
  drain();
}
