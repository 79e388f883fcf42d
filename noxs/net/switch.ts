/**
 * The switch: where a frame goes. Frames of vifs are looked at when their first bytes have been copied (switchRoute); those that
 * must be complete first are finished when the batch's copies are done (switchFinish). Frames of cards come complete (switchInput).
 */
import {
  Counters,
  DROP_CHECKSUM,
  DROP_GSO,
  DROP_MEMORY,
  DROP_NO_DESTINATION,
  DROP_NO_FRONTEND,
  DROP_RX_SIZE,
  DROP_SOURCE_MAC,
  VIF_ANY_MAC,
} from "../../abi/io/control-net";
import { NETIF_RSP_DROPPED, NETIF_RSP_ERROR, NETIF_RSP_OKAY, XEN_NETIF_GSO_TYPE_NONE } from "../../abi/io/netif";
import { learn, macIsGroup, macLoad, PORT_NONE, PORT_UPLINK, portOf } from "./addresses";
import { ARP_ANSWERED, ARP_FLOOD_OPEN, ARP_IGNORED, ARP_TO_OWNER, arpHandle, arpOwner, arpReply } from "./arp";
import { Bridge, bridgeCounters, bridgeOf, countBridgeDrops } from "./bridges";
import { captureFrame } from "./capture";
import { dhcpAnswer, dhcpIsRequest, serverMac } from "./dhcp";
import { FILTER_PASS, filterReason } from "./filter";
import { floodStart } from "./flood";
import {
  Frame,
  FRAME_CSUM_BLANK,
  FRAME_TO_OPEN,
  frameComplete,
  frameHead,
  frameRelease,
  HEADER_BYTES,
} from "./frame/frames";
import { ETHERNET_BYTES, ETHERTYPE_ARP, Headers, headersParse, IPV4, IPV6, load16be } from "./frame/headers";
import { checksumFill, segmentCount } from "./frame/offload";
import { pendingAdd } from "./pending";
import { count, countDrops, Queue, Vif, vifAt } from "./records";
import { RX_DELIVERED, RX_FAILED, RX_TOO_LARGE, rxDeliver, rxQueue, rxTakesBlank, rxTakesGso } from "./rx";
import { scheduleRefund } from "./schedule";
import { Tx, txCopied, txCountFrame, txDone, txDrop, txLeave, txPull, txPulled } from "./tx";
import { uplinkKick, uplinkPromise, uplinkPromiseKept, uplinkReady, uplinkSend } from "./uplink";
import { extrasOf, hashEnabled, hashFrame, hashTableSlot, hashTypeBit } from "./vif-extras";

// Tx.action: what is done with the frame when it is complete; PEND: delivered to the vif Tx.target.
const ACTION_NONE: u32 = 0;
const ACTION_PEND: u32 = 1;
const ACTION_UPLINK: u32 = 2;
const ACTION_FLOOD: u32 = 3;
const ACTION_DROP: u32 = 4;

const h: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/** Decides about a frame of the batch, whose first bytes have been copied. */
export function switchRoute(x: Tx): void {
  const v = x.queue.vif;
  if (x.queue.txStays) {
    leave(x);
    return;
  }
  if (!txCopied(x)) return;
  const f = changetype<Frame>(x.frame);
  const head = frameHead(f);
  const available = min(f.inChunks, f.length);
  headersParse(h, head, available, f.length);
  const reason = filterReason(v, head, available, h);
  if (reason != FILTER_PASS) {
    txDrop(x, reason, NETIF_RSP_DROPPED);
    return;
  }
  let segments: u32 = 1;
  if (f.gsoType != XEN_NETIF_GSO_TYPE_NONE) {
    segments = segmentCount(f, h);
    if (!segments) {
      txDrop(x, DROP_GSO, NETIF_RSP_ERROR);
      return;
    }
    // A large frame's checksum is blank by definition; one that needs no cutting is an ordinary frame.
    f.flags |= FRAME_CSUM_BLANK;
    if (segments == 1) f.gsoType = XEN_NETIF_GSO_TYPE_NONE;
  }
  const b = bridgeOf(v);
  if (v.stable.flags & VIF_ANY_MAC && !learn(b, macLoad(head + 6), v.index)) {
    txDrop(x, DROP_SOURCE_MAC, NETIF_RSP_DROPPED);
    return;
  }
  const mac = macLoad(head);
  const port = macIsGroup(mac) ? PORT_NONE : portOf(b, mac);
  if (goesOut(b, mac, port) && !uplinkPromise(x, b, f, segments)) {
    leave(x);
    return;
  }
  txCountFrame(x, f.length);
  captureFrame(b, f);
  f.flow = flowOf(head);
  x.status = NETIF_RSP_OKAY;
  if (frameComplete(f) && answer(b, v, f, head)) {
    txDone(x);
    return;
  }
  if (macIsGroup(mac)) {
    group(b, x, f, head, available);
    return;
  }
  if (port == v.index) drop(x, DROP_NO_DESTINATION);
  else if (port == PORT_UPLINK) toUplink(b, x, f);
  else if (port != PORT_NONE) toVif(vifAt(port), x, f);
  else if (mac == serverMac(b)) txDone(x);
  else unknown(b, x, f);
}

/** Leaves a frame in its ring. */
function leave(x: Tx): void {
  scheduleRefund(x.queue.vif, x.bytes);
  txLeave(x);
}

/** Whether a frame is for a bridge's card and for nobody else. */
function goesOut(b: Bridge, mac: u64, port: u32): bool {
  if (!b.uplink || macIsGroup(mac)) return false;
  return port == PORT_UPLINK || (port == PORT_NONE && !b.openVifs && mac != serverMac(b));
}

/** Answers what is for the bridge itself: DHCP. */
function answer(b: Bridge, v: Vif, f: Frame, head: usize): bool {
  if (!dhcpIsRequest(v, head, h)) return false;
  const reply = dhcpAnswer(v, head, h);
  if (reply != null) deliverReply(b, v, reply);
  return true;
}

function deliverReply(b: Bridge, v: Vif, reply: Frame): void {
  captureFrame(b, reply);
  pendingAdd(v, reply);
  frameRelease(reply);
}

/** A frame to a group address. */
function group(b: Bridge, x: Tx, f: Frame, head: usize, available: u32): void {
  if (h.etherType == ETHERTYPE_ARP) {
    const what = arpHandle(b, head, available, f.source);
    if (what == ARP_ANSWERED || what == ARP_IGNORED) {
      if (what == ARP_ANSWERED) {
        const reply = arpReply;
        if (reply != null) deliverReply(b, x.queue.vif, reply);
      }
      txDone(x);
      return;
    }
    if (what == ARP_TO_OWNER) {
      toVif(arpOwner!, x, f);
      return;
    }
    if (what == ARP_FLOOD_OPEN) f.flags |= FRAME_TO_OPEN;
  }
  whenComplete(x, f, ACTION_FLOOD, 0);
}

/** A frame to an address that nobody is known to have: to the card, and to vifs that may have any address. */
function unknown(b: Bridge, x: Tx, f: Frame): void {
  if (b.openVifs) {
    f.flags |= FRAME_TO_OPEN;
    whenComplete(x, f, ACTION_FLOOD, 0);
  } else if (b.uplink) {
    toUplink(b, x, f);
  } else {
    drop(x, DROP_NO_DESTINATION);
  }
}

/** Drops a frame that was accepted: its sender is not told. */
function drop(x: Tx, reason: u32): void {
  txDrop(x, reason, NETIF_RSP_OKAY);
}

function toUplink(b: Bridge, x: Tx, f: Frame): void {
  if (!uplinkReady(b))
    uplinkSend(b, f); // counts it
  else whenComplete(x, f, ACTION_UPLINK, 0);
}

function toVif(v: Vif, x: Tx, f: Frame): void {
  if (!v.queues || v.failing) {
    countDrops(v, DROP_NO_FRONTEND);
    txDone(x);
    return;
  }
  const extras = extrasOf(v);
  if (hashEnabled(extras)) steer(v, f);
  const q = rxQueue(v, f.flow);
  const takesGso = f.gsoType == XEN_NETIF_GSO_TYPE_NONE || rxTakesGso(v, f.gsoType);
  if (takesGso && !q.pendingFirst && !q.deferred) {
    let takes = !(f.flags & FRAME_CSUM_BLANK) || rxTakesBlank(v, h);
    if (!takes && frameComplete(f)) {
      if (!checksumFill(f, h)) {
        countDrops(v, DROP_CHECKSUM);
        txDone(x);
        return;
      }
      takes = true;
    }
    if (takes) {
      const result = rxDeliver(q, f);
      if (result == RX_DELIVERED) {
        q.stalledAt = 0;
        return; // the frame's rest is needed until the copies are done
      }
      if (result == RX_TOO_LARGE || result == RX_FAILED) {
        countDrops(v, result == RX_TOO_LARGE ? DROP_RX_SIZE : DROP_NO_FRONTEND);
        txDone(x);
        return;
      }
    }
  }
  q.deferred++;
  whenComplete(x, f, ACTION_PEND, changetype<usize>(q));
}

/** Has the frame's rest copied, if it is not here, for switchFinish. */
function whenComplete(x: Tx, f: Frame, action: u32, target: usize): void {
  x.action = action;
  x.target = target;
  if (frameComplete(f) || txPull(x)) return;
  // What was copied of it must not be written into chunks that are another frame's by then.
  if (action == ACTION_PEND) changetype<Queue>(target).deferred--;
  x.action = ACTION_DROP;
}

/** After the batch's copies: does what needed the frame complete. */
export function switchFinish(x: Tx): void {
  uplinkPromiseKept(x);
  if (!x.frame || x.action == ACTION_NONE) return;
  const f = changetype<Frame>(x.frame);
  const b = bridgeOf(x.queue.vif);
  if (x.action == ACTION_PEND) changetype<Queue>(x.target).deferred--;
  if (x.action == ACTION_DROP) drop(x, DROP_MEMORY);
  if (!x.frame || !txPulled(x)) return;
  if (x.action == ACTION_PEND) pendingAdd(changetype<Queue>(x.target).vif, f);
  else if (x.action == ACTION_FLOOD) floodStart(b, f);
  else uplinkSend(b, f, x.promised != 0);
  if (x.action != ACTION_PEND) uplinkKick(b);
  txDone(x);
}

/** A complete frame from a bridge's card. */
export function switchInput(b: Bridge, f: Frame): void {
  const counters = bridgeCounters(b);
  count(counters, Counters.tx_frames, 1);
  count(counters, Counters.tx_bytes, f.length);
  const head = frameHead(f);
  const available = min(f.inChunks, HEADER_BYTES);
  const source = macLoad(head + 6);
  if (macIsGroup(source) || !learn(b, source, PORT_UPLINK)) {
    countBridgeDrops(b, DROP_SOURCE_MAC);
    return;
  }
  captureFrame(b, f);
  headersParse(h, head, available, f.length);
  f.flow = flowOf(head);
  const mac = macLoad(head);
  if (macIsGroup(mac)) {
    if (load16be(head + 12) == ETHERTYPE_ARP) {
      const what = arpHandle(b, head, available, PORT_UPLINK);
      if (what == ARP_IGNORED) return;
      if (what == ARP_TO_OWNER) {
        pendingAdd(arpOwner!, f);
        return;
      }
      if (what == ARP_ANSWERED) {
        const reply = arpReply;
        if (reply == null) return;
        captureFrame(b, reply);
        uplinkSend(b, reply);
        uplinkKick(b);
        frameRelease(reply);
        return;
      }
      if (what == ARP_FLOOD_OPEN) f.flags |= FRAME_TO_OPEN;
    }
    floodStart(b, f);
    return;
  }
  const port = portOf(b, mac);
  if (port == PORT_UPLINK) return; // between two others on the wire
  if (port != PORT_NONE) {
    const v = vifAt(port);
    if (hashEnabled(extrasOf(v))) steer(v, f);
    pendingAdd(v, f);
  } else if (b.openVifs) {
    f.flags |= FRAME_TO_OPEN;
    floodStart(b, f);
  } else {
    countBridgeDrops(b, DROP_NO_DESTINATION);
  }
}

/** A number that is the same for all frames of a flow: addresses, protocol, and ports where they are in every frame. */
function flowOf(head: usize): u32 {
  let flow = load<u32>(head) ^ load<u32>(head + 4) ^ load<u32>(head + 8);
  const ip = head + ETHERNET_BYTES;
  if (h.layer3 == IPV4) flow ^= load<u32>(ip + 12) ^ load<u32>(ip + 16) ^ h.protocol;
  else if (h.layer3 == IPV6) {
    for (let i: usize = 8; i < 40; i += 4) flow ^= load<u32>(ip + i);
  }
  if (h.layer4) flow ^= load<u32>(head + h.layer4At);
  flow *= 0x9e3779b1;
  return flow >> 16;
}

/** Chooses the queue of a vif that has asked for it by hash: its number takes the place of the frame's flow. */
function steer(v: Vif, f: Frame): void {
  const x = extrasOf(v)!;
  const hash = hashFrame(x, frameHead(f), h);
  if (hashTypeBit == 0xff) return;
  f.flow = x.tableEntries ? load<u8>(hashTableSlot(x, hash % x.tableEntries)) : hash;
}
