/** After a restart of the domain: requests that were consumed and not answered are done again, or their answers given again. */
import { BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_ERROR } from "../../abi/io/blkif";
import { requestGive } from "./entries";
import { requestBegin, requestsStart } from "./io";
import { respond, responsesPublish } from "./responses";
import {
  ENTRIES_MAX,
  ENTRY_ANSWERED,
  ENTRY_FREE,
  entryAt,
  requestAt,
  ringOf,
  stableRing,
  stableVbdAt,
  Vbd,
  VBDS_MAX,
} from "./records";

/**
 * Frees entries that mean nothing: of vbds that are gone or not connected, of requests that the ring says were not consumed, and of
 * responses that were published. Before entriesInit, and after the rings' indices are known from stable memory.
 */
export function entriesSift(): void {
  for (let i: u32 = 0; i < ENTRIES_MAX; i++) {
    const e = entryAt(i);
    if (e.state == ENTRY_FREE) continue;
    let keep = e.vbd < VBDS_MAX;
    if (keep) {
      const s = stableVbdAt(e.vbd);
      keep = s.present != 0 && s.connected != 0 && e.ring < s.rings;
      // Consumed means that the ring's index is past it.
      if (keep) keep = <i32>(e.index - stableRing(s, e.ring).consumed) < 0;
    }
    if (!keep) e.state = ENTRY_FREE;
  }
}

/** Of a vbd that is connected again, and whose target is open or lost. */
export function requestsAgain(v: Vbd): void {
  for (let i: u32 = 0; i < ENTRIES_MAX; i++) {
    const e = entryAt(i);
    if (e.state == ENTRY_FREE || e.vbd != v.index) continue;
    const r = requestAt(i);
    r.vbd = v;
    r.ring = ringOf(v, e.ring);
    r.next = 0;
    r.step = 0;
    r.status = 0;
    r.result = 0;
    r.bytes = 0;
    r.done = 0;
    r.segment = 0;
    r.mapped = 0;
    r.bounces = 0;
    if (!v.stable.connected) {
      requestGive(r);
    } else if (e.state == ENTRY_ANSWERED) {
      // What was published is known to the frontend; `produced` moves as others' answers are given again.
      if (<i32>(e.response - r.ring.published) < 0) requestGive(r);
      else respond(r, e.status);
    } else {
      if (!v.ready && e.reason == 0) e.reason = BLKIF_RSP_ERROR;
      if (e.operation == BLKIF_OP_WRITE_BARRIER && e.reason == 0) v.barrier = changetype<usize>(r);
      requestBegin(r);
    }
  }
  requestsStart();
  responsesPublish();
}
