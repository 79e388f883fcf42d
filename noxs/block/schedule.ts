/**
 * Which vbd's requests are consumed next: deficit round robin. Each vbd with work may consume a number of bytes in its turn, and owes what it
 * consumed beyond that; so one that floods its ring gets no more than its share, and one with small requests no less.
 */
import { BLKIF_OP_WRITE_BARRIER } from "../../abi/io/blkif";
import { VBD_FAIL_INDEX } from "../../abi/io/control-block";
import { Sring } from "../../abi/io/ring";
import { barrier, read32, write32 } from "../../drivers/host/host";
import { pollEnter, pollInit, Pollable } from "../../drivers/poll";
import { entryReady } from "./entries";
import { requestBegin, requestsStart } from "./io";
import { consume } from "./parse";
import { Ring, ringOf, Vbd } from "./records";

/** Bytes of a turn, and what each request costs beside its own. */
const QUANTUM: i32 = 262144;
const REQUEST_COST: i32 = 4096;
/** Requests and bytes that a vbd may have in progress. */
const DEPTH: u32 = 64;
const DEPTH_BYTES: u32 = 4194304;

/** Called for a vbd whose frontend has broken the protocol. */
export type BrokenFn = (vbd: Vbd, failure: u32) => void;

const poll = changetype<Pollable>(memory.data(16, 8));
let head: usize = 0;
let tail: usize = 0;
let brokenFn: usize = 0;

export function scheduleInit(broken: BrokenFn): void {
  pollInit(poll, scheduleRun);
  brokenFn = changetype<usize>(broken);
}

/** A vbd may have work. */
export function activate(v: Vbd): void {
  if (!v.stable.connected || v.disconnecting || v.removing || !opened(v)) return;
  if (!v.active) {
    v.active = 1;
    v.activeNext = 0;
    if (tail) changetype<Vbd>(tail).activeNext = changetype<usize>(v);
    else head = changetype<usize>(v);
    tail = changetype<usize>(v);
  }
  pollEnter(poll);
}

/** Whether it is known what becomes of the vbd's requests: its target is open, or cannot be opened. */
function opened(v: Vbd): bool {
  return v.ready != 0 || v.lost != 0;
}

/** Requests can be consumed again, as far as it depends on the in-flight table. */
export function scheduleAgain(): void {
  if (head) pollEnter(poll);
}

/** Takes a vbd out, which is disconnected. */
export function deactivate(v: Vbd): void {
  if (!v.active) return;
  v.active = 0;
  v.deficit = 0;
  let before: usize = 0;
  for (let at = head; at != changetype<usize>(v); at = changetype<Vbd>(at).activeNext) before = at;
  if (before) changetype<Vbd>(before).activeNext = v.activeNext;
  else head = v.activeNext;
  if (tail == changetype<usize>(v)) tail = before;
}

function scheduleRun(_record: usize, budget: u32): bool {
  let left = budget;
  let full = false;
  const last = tail;
  while (head && left && !full) {
    const v = changetype<Vbd>(head);
    head = v.activeNext;
    if (!head) tail = 0;
    v.active = 0;
    v.deficit = min(v.deficit + QUANTUM, QUANTUM);
    let more = true;
    while (left && v.deficit > 0 && more) {
      if (!entryReady()) {
        full = true;
        break;
      }
      // One that has enough in progress, or waits until it has none, comes back when something is answered.
      if (v.barrier || v.busy >= DEPTH || v.busyBytes >= DEPTH_BYTES) {
        more = false;
        break;
      }
      const ring = nextRing(v);
      if (!ring) {
        more = false;
        v.deficit = 0;
        break;
      }
      left--;
      const r = consume(v, changetype<Ring>(ring));
      v.deficit -= REQUEST_COST + (r.entry.count ? <i32>((<u32>r.entry.sectors) << 9) : 0);
      if (r.entry.operation == BLKIF_OP_WRITE_BARRIER && r.entry.reason == 0) v.barrier = changetype<usize>(r);
      requestBegin(r);
    }
    if (more && v.stable.connected && !v.disconnecting) activate(v);
    if (changetype<usize>(v) == last) break;
  }
  requestsStart();
  return head != 0 && !full;
}

/** The vbd's next ring with a request; 0 when there is none, and it will notify. */
function nextRing(v: Vbd): usize {
  const rings = v.stable.rings;
  for (let i: u32 = 0; i < rings; i++) {
    const ring = ringOf(v, v.nextRing);
    v.nextRing = v.nextRing + 1 == rings ? 0 : v.nextRing + 1;
    let there = read32(ring.mapped + Sring.req_prod) - ring.consumed;
    if (there == 0) {
      write32(ring.mapped + Sring.req_event, ring.consumed + 1);
      barrier();
      there = read32(ring.mapped + Sring.req_prod) - ring.consumed;
      if (there == 0) continue;
    }
    // More than there are slots, without those whose responses are not there yet.
    if (there > ring.slots - (ring.consumed - ring.produced)) {
      changetype<BrokenFn>(brokenFn)(v, VBD_FAIL_INDEX);
      return 0;
    }
    barrier(); // the index before the request
    return changetype<usize>(ring);
  }
  return 0;
}
