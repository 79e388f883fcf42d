/**
 * The streams of a virtio console's port (virtio 1.1, 5.3.6). Buffers of a page each; a received one is the device's again when the client
 * has taken all of it, so that a client that takes nothing has the device, and the host behind it, wait.
 */
import { dmaAllocate, dmaMachine } from "../host/dma";
import { barrier } from "../host/host";
import { pollEnter } from "../poll";
import { segmentSet } from "../segment";
import { CONSOLE_FINE, consoleCheckQueue, consoleOf, rxOf, txOf, VirtioConsolePort } from "./console-device";
import { virtqueueAdd, virtqueueKick, virtqueueListen, virtqueueTake } from "./queue";
import { QUEUE_FINE, Virtqueue } from "./virtqueue";

export const PORT_BUFFER_BYTES: u32 = 4096;
/** Buffers each way; and queues of as many descriptors. */
export const PORT_BUFFERS: u32 = 16;
/** Buffers that are taken in one call at most: empty ones could come without end. */
const TAKE_MOST: u32 = 64;

/** Segment[1] */
const one: usize = memory.data(16);

/** SerialAttachFn */
export function portAttach(record: usize): bool {
  const p = changetype<VirtioConsolePort>(record);
  if (p.rxBuffers) return true;
  const buffers = dmaAllocate(2 * PORT_BUFFERS);
  if (!buffers) return false;
  p.rxBuffers = buffers;
  p.txBuffers = buffers + <usize>PORT_BUFFERS * PORT_BUFFER_BYTES;
  portFill(p);
  return true;
}

/** Gives the device, which was just started or has nothing of the port's yet, all buffers to receive into. */
export function portFill(p: VirtioConsolePort): void {
  p.heldBytes = 0;
  p.txFree = ((<u32>1) << PORT_BUFFERS) - 1;
  if (!p.rxBuffers) return;
  for (let i: u32 = 0; i < PORT_BUFFERS; i++) give(p, p.rxBuffers + <usize>i * PORT_BUFFER_BYTES);
}

function give(p: VirtioConsolePort, buffer: usize): void {
  segmentSet(one, 0, dmaMachine(buffer), buffer, PORT_BUFFER_BYTES);
  virtqueueAdd(rxOf(p), one, 0, 1, buffer);
}

/** Takes the next buffer from a queue; false: there is none, and an interrupt will tell of one, or the device is at fault. */
function takeOne(p: VirtioConsolePort, q: Virtqueue): bool {
  while (virtqueueTake(q) < 0) {
    if (q.fault != QUEUE_FINE) {
      consoleCheckQueue(consoleOf(p), q);
      return false;
    }
    if (!virtqueueListen(q, 0)) return false;
  }
  return true;
}

/** SerialReceiveFn */
export function portReceive(record: usize, to: usize, room: u32): u32 {
  const p = changetype<VirtioConsolePort>(record);
  const c = consoleOf(p);
  if (!c.working || c.fault != CONSOLE_FINE) return 0;
  const rx = rxOf(p);
  let done: u32 = 0;
  for (let taken: u32 = 0; done < room;) {
    if (p.heldBytes == 0) {
      if (taken++ == TAKE_MOST) {
        pollEnter(c);
        break;
      }
      if (!takeOne(p, rx)) break;
      barrier(); // what is in it is read after that it is there
      p.heldBuffer = rx.takenCookie;
      p.heldAt = rx.takenCookie;
      p.heldBytes = rx.takenBytes;
    }
    const bytes = min(p.heldBytes, room - done);
    memory.copy(to + done, p.heldAt, bytes);
    done += bytes;
    p.heldAt += bytes;
    p.heldBytes -= bytes;
    if (p.heldBytes == 0) give(p, p.heldBuffer);
  }
  virtqueueKick(rx);
  return done;
}

/** SerialSendFn */
export function portSend(record: usize, from: usize, bytes: u32): u32 {
  const p = changetype<VirtioConsolePort>(record);
  const c = consoleOf(p);
  if (!c.working || c.fault != CONSOLE_FINE) return 0;
  const tx = txOf(p);
  let done: u32 = 0;
  while (done < bytes) {
    if (!p.txFree && !reclaim(p, tx)) break;
    const index = ctz(p.txFree);
    p.txFree &= ~((<u32>1) << index);
    const buffer = p.txBuffers + <usize>index * PORT_BUFFER_BYTES;
    const part = min(bytes - done, PORT_BUFFER_BYTES);
    memory.copy(buffer, from + done, part);
    barrier(); // it is there before the device is told so
    segmentSet(one, 0, dmaMachine(buffer), buffer, part);
    virtqueueAdd(tx, one, 1, 1, index);
    done += part;
  }
  virtqueueKick(tx);
  return done;
}

/** Takes the buffers that were sent. False: none were, and an interrupt will tell. */
function reclaim(p: VirtioConsolePort, tx: Virtqueue): bool {
  // The device must know of all that it has to send before it is waited for.
  virtqueueKick(tx);
  if (!takeOne(p, tx)) return false;
  p.txFree |= (<u32>1) << (<u32>tx.takenCookie);
  while (virtqueueTake(tx) >= 0) p.txFree |= (<u32>1) << (<u32>tx.takenCookie);
  consoleCheckQueue(consoleOf(p), tx);
  return true;
}
