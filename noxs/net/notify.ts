/**
 * The end of a batch for the queues that took part in it: their responses become visible, and the frontends that asked for it are
 * notified, once each.
 *
 * A response overwrites its request. So that a restart of the domain in between does not take half a response for a request,
 * the index that the responses lead up to is first noted in stable memory (rings-restart.ts).
 */
import { eventSend } from "../../drivers/host/hypercalls";
import { write32 } from "../../drivers/host/host";
import { ringRespond } from "../ring";
import { Queue, StableQueue } from "./records";

let first: usize = 0;
/** Totals, for measurements. */
export let eventsSent: u64 = 0;

/** Notes that a queue takes part in the batch. */
export function touch(q: Queue): void {
  if (q.touched) return;
  q.touched = 1;
  q.touchedNext = first;
  first = changetype<usize>(q);
}

/** Before the responses of the batch are written. */
export function notifyIntend(): void {
  for (let at = first; at; at = changetype<Queue>(at).touchedNext) {
    const q = changetype<Queue>(at);
    const stable = changetype<usize>(q.stable);
    write32(stable + offsetof<StableQueue>("txIntent"), q.txCons);
    write32(stable + offsetof<StableQueue>("rxIntent"), q.rxCons);
  }
}

/** After they are written. */
export function notifyPublish(): void {
  while (first) {
    const q = changetype<Queue>(first);
    first = q.touchedNext;
    q.touched = 0;
    if (q.vif.failing) continue;
    let tx: bool = false;
    let rx: bool = false;
    if (q.txDone != q.txCons) {
      tx = ringRespond(q.tx, q.txDone, q.txCons);
      q.txDone = q.txCons;
    }
    if (q.rxDone != q.rxCons) {
      rx = ringRespond(q.rx, q.rxDone, q.rxCons);
      q.rxDone = q.rxCons;
    }
    if (tx || (rx && q.rxPort == q.txPort)) send(q.txPort);
    if (rx && q.rxPort != q.txPort) send(q.rxPort);
  }
}

function send(port: u32): void {
  eventsSent++;
  eventSend(port);
}
