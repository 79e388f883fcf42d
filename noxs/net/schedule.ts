/**
 * Whose frames are next: deficit round robin over the vifs that have something to send (Shreedhar and Varghese, "Efficient Fair
 * Queueing using Deficit Round Robin"). In each round a vif may send QUANTUM bytes, each frame charged with its bytes and
 * FRAME_COST; one that has sent more, because its last frame was long or went to many, makes up for it in the next rounds.
 *
 * A vif whose rate is limited waits in the wheel until it has tokens; one whose frame a card has no room for, in uplink-wait.ts.
 */
import { nowNs } from "./structures/clock";
import { FRAME_COST, Queue, Vif, vifCharge } from "./records";
import { Bucket, bucketFill, bucketTake, bucketWait, RATE_MAX } from "./structures/token-bucket";
import { TX_BATCH_FULL, TX_TAKEN, txNext, txPeek, txTakenBytes } from "./tx";
import { wheelArm } from "./structures/wheel";

const QUANTUM: i32 = 32768;
/** No vif saves more than this for later rounds. */
const SAVED_MAX: i32 = QUANTUM;

let activeFirst: usize = 0;
let activeLast: usize = 0;

// @ts-expect-error: decorator of AssemblyScript
@inline
export function bucketOf(v: Vif): Bucket {
  return changetype<Bucket>(changetype<usize>(v) + offsetof<Vif>("tokens"));
}

/** A vif may have something to send: its frontend has notified, or it may go on. */
export function scheduleWake(v: Vif): void {
  if (v.active || v.paused || v.flood || v.failing || !v.queues) return;
  v.active = 1;
  v.activeNext = 0;
  if (activeLast) changetype<Vif>(activeLast).activeNext = changetype<usize>(v);
  else activeFirst = changetype<usize>(v);
  activeLast = changetype<usize>(v);
}

/** A vif's tokens have come. */
export function scheduleResume(v: Vif): void {
  v.paused = 0;
  scheduleWake(v);
}

/** A frame of `bytes` bytes that was taken stays in the ring: it is charged when it goes. */
export function scheduleRefund(v: Vif, bytes: u32): void {
  v.deficit = min(v.deficit + <i32>(FRAME_COST + bytes), SAVED_MAX);
  const rate = v.stable.rate;
  if (rate && rate < RATE_MAX) bucketOf(v).tokens += bytes;
}

/** Whether a vif may have something to send. */
export function scheduleWork(): bool {
  return activeFirst != 0;
}

/** Takes a vif that is disconnected out of the round. */
export function scheduleForget(v: Vif): void {
  v.deficit = 0;
  if (!v.active) return;
  v.active = 0;
  let before: usize = 0;
  for (let at = activeFirst; at; at = changetype<Vif>(at).activeNext) {
    if (at != changetype<usize>(v)) {
      before = at;
      continue;
    }
    if (before) changetype<Vif>(before).activeNext = v.activeNext;
    else activeFirst = v.activeNext;
    if (activeLast == at) activeLast = before;
    return;
  }
}

/** Takes frames into the batch, of one vif after the other, round by round, until it is full or nothing waits. */
export function scheduleCollect(): void {
  while (activeFirst) {
    const v = changetype<Vif>(activeFirst);
    activeFirst = v.activeNext;
    if (!activeFirst) activeLast = 0;
    v.active = 0;
    if (v.paused) continue;
    if (v.deficit <= 0) v.deficit = min(v.deficit + QUANTUM, SAVED_MAX);
    const more = collectFrom(v);
    if (more == COLLECT_FULL) {
      // It goes on where it was.
      v.active = 1;
      v.activeNext = activeFirst;
      activeFirst = changetype<usize>(v);
      if (!activeLast) activeLast = changetype<usize>(v);
      return;
    }
    if (more == COLLECT_SHARE) scheduleWake(v);
  }
}

const COLLECT_EMPTY: u32 = 0; // nothing waits
const COLLECT_SHARE: u32 = 1; // it has had its share
const COLLECT_FULL: u32 = 2; // the batch is full
const COLLECT_STOP: u32 = 3; // it waits for something

/** Takes frames of a vif's queues, one of each in turn, as far as its share goes. */
function collectFrom(v: Vif): u32 {
  let idle: u32 = 0;
  const queues = v.stable.queueCount;
  const rate = v.stable.rate;
  const limited = rate != 0 && rate < RATE_MAX;
  if (limited) bucketFill(bucketOf(v), rate, v.stable.burst, nowNs);
  while (v.deficit > 0) {
    if (limited) {
      const wait = bucketWait(bucketOf(v), rate);
      if (wait) {
        v.paused = 1;
        wheelArm(v.index, nowNs + wait);
        return COLLECT_STOP;
      }
    }
    const q = changetype<Queue>(v.turn);
    if (!txPeek(q)) {
      if (v.failing) return COLLECT_STOP;
      v.turn = q.next ? q.next : v.queues;
      if (++idle >= queues) {
        v.deficit = 0;
        return COLLECT_EMPTY;
      }
      continue;
    }
    const result = txNext(q);
    if (result == TX_BATCH_FULL) return COLLECT_FULL;
    if (result != TX_TAKEN) return COLLECT_STOP;
    idle = 0;
    v.turn = q.next ? q.next : v.queues;
    vifCharge(v, 1, txTakenBytes);
    if (limited) bucketTake(bucketOf(v), txTakenBytes);
  }
  return COLLECT_SHARE;
}
