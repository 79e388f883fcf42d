/**
 * The end of a batch for the queues that took part in it: their responses become visible, first the receivers', then the senders',
 * so that a restart of the domain in between sends frames twice rather than loses them; and the frontends that asked for it are
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

/** Before the responses of receive rings are written. */
export function notifyIntendRx(): void {
  for (let at = first; at; at = changetype<Queue>(at).touchedNext) {
    const q = changetype<Queue>(at);
    write32(changetype<usize>(q.stable) + offsetof<StableQueue>("rxIntent"), q.rxCons);
  }
}

/** After they are. */
export function notifyPublishRx(): void {
  for (let at = first; at; at = changetype<Queue>(at).touchedNext) {
    const q = changetype<Queue>(at);
    q.notifyRx = 0;
    if (q.vif.failing || q.rxDone == q.rxCons) continue;
    if (ringRespond(q.rx, q.rxDone, q.rxCons)) q.notifyRx = 1;
    q.rxDone = q.rxCons;
  }
}

/** Then, before the responses of transmit rings are written: a frame is answered when it has been delivered, not before. */
export function notifyIntendTx(): void {
  for (let at = first; at; at = changetype<Queue>(at).touchedNext) {
    const q = changetype<Queue>(at);
    write32(changetype<usize>(q.stable) + offsetof<StableQueue>("txIntent"), q.txCons);
  }
}

/** After they are: publishes them, and notifies. The batch is over. */
export function notifyPublishTx(): void {
  while (first) {
    const q = changetype<Queue>(first);
    first = q.touchedNext;
    q.touched = 0;
    if (q.vif.failing) continue;
    let notifyTx: bool = false;
    if (q.txDone != q.txCons) {
      notifyTx = ringRespond(q.tx, q.txDone, q.txCons);
      q.txDone = q.txCons;
    }
    const both = q.rxPort == q.txPort;
    if (notifyTx || (q.notifyRx && both)) send(q.txPort);
    if (q.notifyRx && !both) send(q.rxPort);
  }
}

function send(port: u32): void {
  eventsSent++;
  eventSend(port);
}
