/**
 * Responses. A response has its place in the in-flight table before it is in the ring, and its entry is free only after it was published:
 * after a restart it is known of each request whether its response is there.
 */
import { BlkifResponse } from "../../abi/io/blkif";
import { Sring, SRING_HEADER } from "../../abi/io/ring";
import { barrier, read32, write16, write32, write8 } from "../../drivers/host/host";
import { eventSend } from "../../drivers/host/hypercalls";
import { requestGive } from "./entries";
import { Entry, ENTRY_ANSWERED, Request, Ring, StableRing, stableRing, Vbd } from "./records";

/** Rings with responses that are not published. */
let rings: usize = 0;
/** Requests with such responses. */
let answered: usize = 0;

/** Puts a request's response into its ring, to be published by responsesPublish. */
export function respond(r: Request, status: i32): void {
  const e = r.entry;
  const ring = r.ring;
  e.status = status;
  e.response = ring.produced;
  barrier();
  write32(changetype<usize>(e), ENTRY_ANSWERED);
  responseWrite(ring, e);
  r.next = answered;
  answered = changetype<usize>(r);
  if (ring.unpublished) return;
  ring.unpublished = 1;
  ring.next = rings;
  rings = changetype<usize>(ring);
}

/** Writes the response of an entry into the next slot of its ring. */
function responseWrite(ring: Ring, e: Entry): void {
  const slot = ring.mapped + SRING_HEADER + <usize>(ring.produced & (ring.slots - 1)) * ring.slotBytes;
  write32(slot + BlkifResponse.id, <u32>e.id);
  write32(slot + BlkifResponse.id + 4, <u32>(e.id >> 32));
  write8(slot + BlkifResponse.operation, e.operation);
  write16(slot + BlkifResponse.status, (<u32>e.status) & 0xffff);
  ring.produced++;
}

/** Makes all responses visible to their frontends, and notifies those that want it. */
export function responsesPublish(): void {
  while (rings) {
    const ring = changetype<Ring>(rings);
    rings = ring.next;
    ring.unpublished = 0;
    const before = ring.published;
    ring.published = ring.produced;
    barrier(); // the responses before the index
    write32(ring.mapped + Sring.rsp_prod, ring.produced);
    const stable = stableRing(changetype<Vbd>(ring.vbd).stable, ring.number);
    write32(changetype<usize>(stable) + offsetof<StableRing>("answered"), ring.produced);
    barrier(); // the index before the frontend's wish
    const wanted = read32(ring.mapped + Sring.rsp_event);
    if (ring.produced - wanted < ring.produced - before) eventSend(ring.port);
  }
  while (answered) {
    const r = changetype<Request>(answered);
    answered = r.next;
    requestGive(r);
  }
}
