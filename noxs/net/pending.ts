/**
 * Frames that wait for a guest to post buffers: a queue for each receive ring. How much a queue may hold depends on what is free of
 * the pool, so that few busy receivers get much, many get little, and there is always some left (Choudhury and Hahne, "Dynamic
 * queue length thresholds"). A frontend that posts nothing for STALL_NS loses what waits for it, and what comes until it does.
 */
import {
  DROP_CHECKSUM,
  DROP_GSO,
  DROP_MEMORY,
  DROP_NO_FRONTEND,
  DROP_RX_FULL,
  DROP_RX_SIZE,
  VIF_FE_RX_NOTIFY,
} from "../../abi/io/control-net";
import { XEN_NETIF_GSO_TYPE_NONE } from "../../abi/io/netif";
import { heapAllocate } from "../../drivers/host/heap";
import { PORT_UPLINK } from "./addresses";
import { MILLISECOND_NS, nowNs } from "./structures/clock";
import { Frame, FRAME_CSUM_BLANK, frameHead, frameHold, frameRelease, HEADER_BYTES, poolSpare } from "./frame/frames";
import { Headers, headersParse } from "./frame/headers";
import { checksumFill, segmentCount, segmentMake } from "./frame/offload";
import { countDrops, Queue, Vif, vifAt, vifCharge, VIFS_MAX } from "./records";
import {
  RX_BATCH_FULL,
  RX_DELIVERED,
  RX_NO_BUFFERS,
  RX_TOO_LARGE,
  rxDeliver,
  rxQueue,
  rxRoom,
  rxTakesBlank,
  rxTakesGso,
} from "./rx";
import { wheelArm } from "./structures/wheel";

const STALL_NS: u64 = 200 * MILLISECOND_NS;
/** A queue may hold an eighth of what is spare, and no more than this (units of 2 KiB). */
const SHARE_SHIFT: u32 = 3;
const WEIGHT_MAX: u32 = 256;
const NODES: u32 = 4096;

/** A place in a queue; a frame that is flooded may be in many. */
@unmanaged
class Node {
  frame: Frame;
  next: usize;
}

let freeNode: usize = 0;
/** Queues that have frames and may have buffers. */
let activeFirst: usize = 0;
let activeLast: usize = 0;
const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/** Before anything else here; false without memory. */
export function pendingInit(): bool {
  const nodes = heapAllocate(NODES * offsetof<Node>());
  if (!nodes) return false;
  for (let i: usize = 0; i < NODES; i++) {
    const n = changetype<Node>(nodes + i * offsetof<Node>());
    n.next = freeNode;
    freeNode = changetype<usize>(n);
  }
  return true;
}

/**
 * Has a complete frame delivered to a vif, in the form that its frontend takes. The caller keeps its own reference.
 */
export function pendingAdd(v: Vif, f: Frame): void {
  if (!v.queues || v.failing) {
    countDrops(v, DROP_NO_FRONTEND);
    return;
  }
  const needsGso = f.gsoType != XEN_NETIF_GSO_TYPE_NONE && !rxTakesGso(v, f.gsoType);
  const blank = (f.flags & FRAME_CSUM_BLANK) != 0;
  if (!needsGso && !blank) {
    enqueue(v, f);
    return;
  }
  headersParse(parsed, frameHead(f), min(f.inChunks, HEADER_BYTES), f.length);
  if (needsGso) {
    addSegments(v, f);
  } else if (rxTakesBlank(v, parsed) || checksumFill(f, parsed)) {
    enqueue(v, f);
  } else {
    countDrops(v, DROP_CHECKSUM);
  }
}

function addSegments(v: Vif, f: Frame): void {
  const count = segmentCount(f, parsed);
  if (!count) {
    countDrops(v, DROP_GSO);
    return;
  }
  if (f.source != PORT_UPLINK && f.source) vifCharge(vifAt(f.source), count, 0);
  const fillIn = !rxTakesBlank(v, parsed);
  for (let i: u32 = 0; i < count; i++) {
    const s = segmentMake(f, parsed, i, count);
    if (s == null) {
      countDrops(v, DROP_MEMORY, count - i);
      return;
    }
    if (fillIn) {
      headersParse(segmentHeaders, frameHead(s), min(s.inChunks, HEADER_BYTES), s.length);
      checksumFill(s, segmentHeaders);
    }
    enqueue(v, s);
    frameRelease(s);
  }
}

const segmentHeaders: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

function enqueue(v: Vif, f: Frame): void {
  const q = rxQueue(v, f.flow);
  const limit = min(poolSpare() >> SHARE_SHIFT, WEIGHT_MAX);
  const stalled = q.stalledAt != 0 && nowNs - q.stalledAt >= STALL_NS;
  if (stalled || !freeNode || q.pendingWeight + f.weight > limit) {
    countDrops(v, DROP_RX_FULL);
    return;
  }
  const n = changetype<Node>(freeNode);
  freeNode = n.next;
  n.frame = f;
  n.next = 0;
  frameHold(f);
  if (q.pendingLast) changetype<Node>(q.pendingLast).next = changetype<usize>(n);
  else q.pendingFirst = changetype<usize>(n);
  q.pendingLast = changetype<usize>(n);
  q.pendingWeight += f.weight;
  if (!q.stalledAt) activate(q);
}

/** Frees the first frame's place. */
function dequeue(q: Queue): void {
  const n = changetype<Node>(q.pendingFirst);
  q.pendingFirst = n.next;
  if (!n.next) q.pendingLast = 0;
  q.pendingWeight -= n.frame.weight;
  frameRelease(n.frame);
  n.next = freeNode;
  freeNode = changetype<usize>(n);
}

function activate(q: Queue): void {
  if (q.rxActive) return;
  q.rxActive = 1;
  q.rxNext = 0;
  if (activeLast) changetype<Queue>(activeLast).rxNext = changetype<usize>(q);
  else activeFirst = changetype<usize>(q);
  activeLast = changetype<usize>(q);
}

/** The frontend has notified: it may have posted buffers. */
export function pendingWake(q: Queue): void {
  q.stalledAt = 0;
  if (q.pendingFirst) activate(q);
}

/** Whether frames wait that may be delivered now. */
export function pendingWork(): bool {
  return activeFirst != 0;
}

/**
 * Delivers frames that wait, a few of each queue in turn, as long as they leave `copies` copies and `slots` slots of the batch.
 * @param budget most frames
 */
export function pendingServe(budget: u32, copies: u32, slots: u32): void {
  const last = activeLast;
  while (activeFirst && budget) {
    const q = changetype<Queue>(activeFirst);
    activeFirst = q.rxNext;
    if (!activeFirst) activeLast = 0;
    q.rxActive = 0;
    let turns: u32 = 16;
    while (q.pendingFirst && budget && turns && rxRoom(copies, slots)) {
      if (!serveOne(q)) break;
      budget--;
      turns--;
    }
    if (q.pendingFirst && !q.stalledAt && !q.vif.failing) activate(q);
    if (changetype<usize>(q) == last || !rxRoom(copies, slots)) return;
  }
}

/** Delivers or drops the first frame of a queue; false when it must wait. */
function serveOne(q: Queue): bool {
  const f = changetype<Node>(q.pendingFirst).frame;
  const result = rxDeliver(q, f);
  if (result == RX_BATCH_FULL) return false;
  if (result == RX_NO_BUFFERS) {
    stall(q);
    return false;
  }
  if (result == RX_TOO_LARGE) countDrops(q.vif, DROP_RX_SIZE);
  else if (result != RX_DELIVERED) countDrops(q.vif, DROP_NO_FRONTEND);
  dequeue(q);
  return true;
}

/** A queue has frames and too few buffers: it waits for its frontend's event, which one without RX_NOTIFY never sends. */
function stall(q: Queue): void {
  if (!(q.vif.stable.features & VIF_FE_RX_NOTIFY)) {
    drop(q, DROP_RX_FULL);
    return;
  }
  q.stalledAt = nowNs;
  wheelArm(VIFS_MAX + 1 + q.number, nowNs + STALL_NS);
}

/** The time of a queue that has stalled is over: its frames are dropped, unless buffers came in the meantime. */
export function pendingExpire(q: Queue): void {
  if (!q.stalledAt) return;
  if (nowNs - q.stalledAt >= STALL_NS) drop(q, DROP_RX_FULL);
  else wheelArm(VIFS_MAX + 1 + q.number, q.stalledAt + STALL_NS);
}

/** Drops all that waits in a queue. */
export function drop(q: Queue, reason: u32): void {
  while (q.pendingFirst) {
    countDrops(q.vif, reason);
    dequeue(q);
  }
}

/** Forgets a queue whose vif is disconnected. */
export function pendingForget(q: Queue): void {
  drop(q, DROP_NO_FRONTEND);
  if (!q.rxActive) return;
  q.rxActive = 0;
  let before: usize = 0;
  for (let at = activeFirst; at; at = changetype<Queue>(at).rxNext) {
    if (at != changetype<usize>(q)) {
      before = at;
      continue;
    }
    if (before) changetype<Queue>(before).rxNext = q.rxNext;
    else activeFirst = q.rxNext;
    if (activeLast == at) activeLast = before;
    return;
  }
}
