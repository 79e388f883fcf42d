/**
 * The back end's half of a shared ring (xen/io/ring.h) of one page. The shared header belongs to the frontend, which may write
 * anything there at any time: each index is read once and checked against the back end's own.
 */
import { Sring } from "../abi/io/ring";
import { barrier, read32, write32 } from "../drivers/host/host";

/** What ringRequests returns for an index that no frontend following the protocol writes. */
export const RING_BROKEN: i32 = -1;

/**
 * Requests that wait in the ring at linear address `ring`.
 * @param cons index of the first request not consumed
 * @param responded index of the next response: every request before it was answered
 * @param slots of the ring
 * @returns their number, or RING_BROKEN
 */
export function ringRequests(ring: usize, cons: u32, responded: u32, slots: u32): i32 {
  const prod = read32(ring + Sring.req_prod);
  const consumed = cons - responded;
  const produced = prod - responded;
  if (produced > slots || produced < consumed) return RING_BROKEN;
  return <i32>(produced - consumed);
}

/**
 * Asks for an event when `more` further requests than those consumed are there, then looks again: a frontend that put some in
 * between sends none.
 * @returns as ringRequests
 */
export function ringRequestsAwait(ring: usize, cons: u32, responded: u32, slots: u32, more: u32): i32 {
  write32(ring + Sring.req_event, cons + more);
  barrier();
  return ringRequests(ring, cons, responded, slots);
}

/**
 * Publishes the responses from index `from` up to `to`, which were written through host.ts: stores of one processor are seen in
 * their order.
 * @returns true when the frontend has asked to be notified of one of them
 */
export function ringRespond(ring: usize, from: u32, to: u32): bool {
  write32(ring + Sring.rsp_prod, to);
  barrier();
  const event = read32(ring + Sring.rsp_event);
  return to - event < to - from;
}
