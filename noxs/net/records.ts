/**
 * Vifs and their queues. What a restart of the domain must find again is a StableVif in stable memory; the rest is a Vif, and a
 * Queue for each pair of rings, in RAM, built anew from it.
 *
 * Memory of a vif with one queue: 512 bytes stable, 88 + 104 bytes of RAM, and of model NoXS a control page.
 */
import { Counters } from "../../abi/io/control-net";
import { heapAllocate } from "../../drivers/host/heap";
import { stableRegion } from "../../drivers/host/stable";
import { wheelReserve } from "./structures/wheel";
import { KeyTable, keyInsert, keyRemove, keyTableInit, keyValue, PROBE_ANY } from "./structures/key-table";

/** Most vifs: indices 1 to VIFS_MAX, 0 is none. */
export const VIFS_MAX: u32 = 10240;
/** Most queues, of all vifs together. */
export const QUEUES_MAX: u32 = 12288;

/** A pair of rings of a connected vif, as its frontend named them. */
@unmanaged
export class StableQueue {
  txRef: u32;
  rxRef: u32;
  /** The guest's ports. */
  txPort: u32;
  rxPort: u32;
  /** Response producers that the responses being written lead up to: rings-restart.ts. */
  txIntent: u32;
  rxIntent: u32;
}

@unmanaged
export class StableVif {
  /** Written last when a vif is made, first when it is removed. */
  present: u32;
  domid: u32;
  devid: u32;
  model: u32;
  flags: u32;
  ipv4: u32;
  /** The six bytes as they are in a frame. */
  mac: u64;
  rate: u64;
  burst: u32;
  /** Index of its bridge. */
  bridge: u32;
  /** 1: what follows is valid. Written last when it connects. */
  connected: u32;
  /** VIF_FAIL_* of the last frontend that was disconnected. */
  failure: u32;
  features: u32;
  queueCount: u32;
  ctrlRef: u32;
  ctrlPort: u32;
  /** NoXS: reference of the control page, and the guest's port of its event channel, 0 until it has bound one. */
  grant: u32;
  remotePort: u32;
  /** Index of its VifExtras plus 1; 0: none. */
  extras: u32;
  /** Removed, but the guest still maps its control page. */
  going: u32;
  /** NoXS: the port that the guest's device page has. */
  port: u32;
}

/** Behind the fields of a StableVif: its queues, VIF_QUEUES_MAX of them, and its Counters. */
const QUEUES_AT: usize = 96;
const COUNTERS_AT: usize = 288;
export const STABLE_VIF_BYTES: u32 = 512;

@unmanaged
export class Vif {
  stable: StableVif;
  index: u32;
  /** Bridge (bridges.ts), and the list of its vifs. */
  bridge: usize;
  bridgeNext: usize;
  bridgePrevious: usize;
  /** Its first queue, 0 when it is not connected, and the one whose turn it is to send. */
  queues: usize;
  turn: usize;
  /** schedule.ts: whether it is in the list of vifs with something to send, and the next one. */
  active: u32;
  activeNext: usize;
  /** uplink-wait.ts: since when it waits for room in a card, 0: it does not; for how much; and the next one that waits. */
  waitSince: u64;
  waitWeight: u32;
  waitNext: usize;
  /** Bytes it may send in this round; below 0 when it has sent more than its share. */
  deficit: i32;
  /** token-bucket.ts; paused: it waits for tokens, or for room in a card. */
  tokens: u64;
  tokensAt: u64;
  paused: u32;
  /** flood.ts: the job with its frames that are being flooded; 0: none. It sends nothing until they are done. */
  flood: usize;
  /** VIF_FAIL_* for which it is disconnected at the end of the batch, and the next one such. */
  failing: u32;
  failingNext: usize;
  /** NoXS: this end's port. */
  port: u32;
  /** The control ring, its port, and the index of the next request. */
  ctrlRing: usize;
  ctrlPort: u32;
  ctrlCons: u32;
}

@unmanaged
export class Queue {
  vif: Vif;
  /** Of the vif's queues; of all queues. */
  index: u32;
  number: u32;
  next: usize;
  stable: StableQueue;
  /** Linear addresses of the rings. */
  tx: usize;
  rx: usize;
  /** This end's ports. */
  txPort: u32;
  rxPort: u32;
  /** Next request, and index up to which responses are published. */
  txCons: u32;
  txDone: u32;
  rxCons: u32;
  rxDone: u32;
  /** Requests known to wait in the transmit ring. */
  txWaiting: u32;
  /** tx.ts: what of it is in the batch behind a frame that stays in the ring stays there, too. */
  txStays: u32;
  /** Frames that will wait for buffers when this batch has ended: later ones must not overtake them. */
  deferred: u32;
  /** pending.ts: frames that wait for buffers. */
  pendingFirst: usize;
  pendingLast: usize;
  pendingWeight: u32;
  /** It is in the list of queues that may have buffers for them, and the next one. */
  rxActive: u32;
  rxNext: usize;
  /** Its buffers ran out at this time, ns; 0: they have not. */
  stalledAt: u64;
  /** batch.ts: it has sent or received in this batch, and the next such queue. */
  touched: u32;
  touchedNext: usize;
  /** notify.ts: the frontend wants to know of its receive responses. */
  notifyRx: u32;
}

/** Key of the table of vifs. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function keyOf(domid: u32, devid: u32): u64 {
  return ((<u64>1) << 63) | ((<u64>domid) << 32) | devid;
}

/** What of the stable records has ever been used: a restart looks at no more. */
@unmanaged
class StableHeader {
  /** Highest index of a vif. */
  vifs: u32;
  /** Number of bridges. */
  bridges: u32;
}

/** Records in RAM are allocated by this many, when they are first needed. */
const CHUNK_SHIFT: u32 = 6;
const CHUNK: u32 = 1 << CHUNK_SHIFT;

const names: KeyTable = changetype<KeyTable>(memory.data(offsetof<KeyTable>(), 8));
export let stableHeader: StableHeader = changetype<StableHeader>(0);
let stables: usize = 0;
/** Pointers to chunks. */
const vifChunks: usize = memory.data(4 * 161, 4);
const queueChunks: usize = memory.data(4 * 193, 4);
let queuesMade: u32 = 0;
/** The first free Queue, and the first free vif below the highest index; linked through `next` and `bridgeNext`. */
let freeQueue: usize = 0;
let freeVif: usize = 0;

/** Before anything else here; false without memory. */
export function recordsInit(): bool {
  stables = stableRegion(0x4e564946, VIFS_MAX * STABLE_VIF_BYTES); // "NVIF"
  stableHeader = changetype<StableHeader>(stableRegion(0x4e484452, offsetof<StableHeader>())); // "NHDR"
  if (!stables || !changetype<usize>(stableHeader) || !keyTableInit(names, 256)) return false;
  return COUNTERS_AT + Counters.SIZE <= STABLE_VIF_BYTES && offsetof<StableVif>() <= QUEUES_AT;
}

/** The vif at an index that has been used (vifReach). */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function vifAt(index: u32): Vif {
  const chunk = load<usize>(vifChunks + (((<usize>index) >> CHUNK_SHIFT) << 2));
  return changetype<Vif>(chunk + <usize>(index & (CHUNK - 1)) * offsetof<Vif>());
}

/** Its StableVif. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function stableVifAt(index: u32): StableVif {
  return changetype<StableVif>(stables + <usize>(index - 1) * STABLE_VIF_BYTES);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function stableQueueOf(s: StableVif, index: u32): StableQueue {
  return changetype<StableQueue>(changetype<usize>(s) + QUEUES_AT + <usize>index * offsetof<StableQueue>());
}

/** Its Counters (abi/io/control-net.ts). */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function countersOf(v: Vif): usize {
  return changetype<usize>(v.stable) + COUNTERS_AT;
}

/** Vifs to be disconnected at the end of the batch, linked by failingNext. */
let failingFirst: usize = 0;

/** Has a vif disconnected at the end of the batch, because its frontend has broken the protocol; the first reason counts. */
export function vifFail(v: Vif, reason: u32): void {
  if (v.failing) return;
  v.failing = reason;
  v.failingNext = failingFirst;
  failingFirst = changetype<usize>(v);
}

/** The first of them; null when there is none. */
export function vifFailing(): Vif | null {
  return changetype<Vif | null>(failingFirst);
}

/** Takes a vif off that list, if it is in it: it is disconnected in any case. */
export function vifForgive(v: Vif): void {
  if (!v.failing) return;
  v.failing = 0;
  let before: usize = 0;
  for (let at = failingFirst; at != changetype<usize>(v); at = changetype<Vif>(at).failingNext) before = at;
  if (before) changetype<Vif>(before).failingNext = v.failingNext;
  else failingFirst = v.failingNext;
}

/** Adds to one of a record's counters. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function count(counters: usize, field: usize, amount: u64): void {
  store<u64>(counters + field, load<u64>(counters + field) + amount);
}

/** Counts frames that were dropped, at the vif. */
export function countDrops(v: Vif, reason: u32, frames: u32 = 1): void {
  count(countersOf(v), Counters.drops + (reason << 3), frames);
}

/** What a frame costs its sender besides its bytes, in each round of the schedule: the work there is with any frame, in bytes copied. */
export const FRAME_COST: u32 = 4096;

/** A debt beyond this is forgotten, so that a vif which floods thousands of others has its turn again. */
const DEBT_MAX: i32 = 64 << 20;

/** Charges a vif for `frames` frames of its own, or that were made of one. */
export function vifCharge(v: Vif, frames: u32, bytes: u32): void {
  v.deficit = max(v.deficit - <i32>(frames * FRAME_COST + bytes), -DEBT_MAX);
}

/** Makes sure that there is memory for the vif at `index`, also for its time in the wheel. */
export function vifReach(index: u32): bool {
  const slot = vifChunks + (((<usize>index) >> CHUNK_SHIFT) << 2);
  if (!load<usize>(slot)) store<usize>(slot, heapAllocate(CHUNK * offsetof<Vif>()));
  return load<usize>(slot) != 0 && wheelReserve(index);
}

/** An index no vif uses; 0 when there is none, or no memory. Its records are zeroed. */
export function vifIndexFree(): u32 {
  let index: u32 = stableHeader.vifs + 1;
  if (freeVif) {
    const v = changetype<Vif>(freeVif);
    freeVif = v.bridgeNext;
    index = v.index;
  } else {
    if (index > VIFS_MAX || !vifReach(index)) return 0;
    stableHeader.vifs = index;
  }
  memory.fill(changetype<usize>(stableVifAt(index)), 0, STABLE_VIF_BYTES);
  memory.fill(changetype<usize>(vifAt(index)), 0, offsetof<Vif>());
  return index;
}

/** Gives an index back that no vif uses any more. */
export function vifIndexGive(v: Vif): void {
  v.bridgeNext = freeVif;
  freeVif = changetype<usize>(v);
}

/** Makes a vif known under its domid and devid, which no other has; false when the table is full. */
export function vifName(v: Vif): bool {
  return keyInsert(names, keyOf(v.stable.domid, v.stable.devid), v.index, PROBE_ANY) != null;
}

export function vifUnname(v: Vif): void {
  keyRemove(names, keyOf(v.stable.domid, v.stable.devid));
}

/** The vif `devid` of a domain. */
export function vifFind(domid: u32, devid: u32): Vif | null {
  const index = domid > 0x7fff ? 0 : keyValue(names, keyOf(domid, devid));
  return index ? vifAt(index) : null;
}

/** A zeroed Queue, null when all are in use or there is no memory. */
export function queueAllocate(): Queue | null {
  if (!freeQueue && !makeQueues()) return null;
  const q = changetype<Queue>(freeQueue);
  const number = q.number;
  freeQueue = q.next;
  memory.fill(changetype<usize>(q), 0, offsetof<Queue>());
  q.number = number;
  return q;
}

function makeQueues(): bool {
  if (queuesMade >= QUEUES_MAX) return false;
  const chunk = heapAllocate(CHUNK * offsetof<Queue>());
  if (!chunk) return false;
  store<usize>(queueChunks + ((queuesMade >> CHUNK_SHIFT) << 2), chunk);
  for (let i: u32 = 0; i < CHUNK; i++) {
    const q = changetype<Queue>(chunk + <usize>i * offsetof<Queue>());
    q.number = queuesMade + i;
    if (!wheelReserve(VIFS_MAX + 1 + q.number)) return false;
    queueFree(q);
  }
  queuesMade += CHUNK;
  return true;
}

export function queueFree(q: Queue): void {
  q.next = freeQueue;
  freeQueue = changetype<usize>(q);
}

/** The queue with a number that is in use. */
export function queueNumbered(number: u32): Queue {
  const chunk = load<usize>(queueChunks + ((number >> CHUNK_SHIFT) << 2));
  return changetype<Queue>(chunk + <usize>(number & (CHUNK - 1)) * offsetof<Queue>());
}
