/**
 * The control queue of a virtio network card (virtio 1.1, 5.1.6.5): at its start the card is told to receive frames for any
 * address, and to use several pairs of queues. One command at a time, each answered later; a card that refuses or does not answer
 * goes on with what it does without.
 */
import {
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
  VIRTIO_NET_CTRL_RX,
  VIRTIO_NET_CTRL_RX_PROMISC,
  VIRTIO_NET_ERR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_OK,
} from "../../abi/io/virtio-net";
import { dmaMachine } from "../host/dma";
import { read8, write8, write16 } from "../host/host";
import { networkChanged } from "../network";
import { segmentSet } from "../segment";
import { virtioHas, virtioSay } from "./device";
import { netCheckQueue, VirtioNet, virtioOf } from "./net-device";
import { virtqueueAdd, virtqueueKick, virtqueueListen, virtqueueOldest, virtqueueTake } from "./queue";
import { Virtqueue } from "./virtqueue";

/** Seconds that the card has for an answer. */
const ANSWER_SECONDS: u32 = 5;

// Commands, in order.
const COMMAND_PROMISCUOUS: u32 = 0;
const COMMAND_PAIRS: u32 = 1;
const COMMANDS: u32 = 2;

/** The command in controlMemory: class, command, data; and the card's answer apart from it. */
const DATA: u32 = 2;
const ANSWER: u32 = 64;

/** Segment[2] */
const chain: usize = memory.data(32);

function controlOf(n: VirtioNet): Virtqueue {
  return changetype<Virtqueue>(n.control);
}

/** Begins with the first command; the card works. */
export function controlStart(n: VirtioNet): void {
  n.controlNext = 0;
  n.controlBusy = 0;
  if (n.controlReady) sendNext(n);
}

/** Sends the next command that is wanted, if any. */
function sendNext(n: VirtioNet): void {
  for (; n.controlNext < COMMANDS; n.controlNext++) {
    if (n.controlNext == COMMAND_PROMISCUOUS && virtioHas(virtioOf(n), VIRTIO_NET_F_CTRL_RX)) {
      send(n, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1, 1);
      return;
    }
    if (n.controlNext == COMMAND_PAIRS && n.pairCount > 1) {
      send(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, n.pairCount, 2);
      return;
    }
  }
}

/** Sends a command with a number of 1 or 2 bytes. */
function send(n: VirtioNet, classNumber: u32, command: u32, value: u32, bytes: u32): void {
  const at = n.controlMemory;
  write8(at, classNumber);
  write8(at + 1, command);
  if (bytes == 1) write8(at + DATA, value);
  else write16(at + DATA, value);
  write8(at + ANSWER, VIRTIO_NET_ERR);
  segmentSet(chain, 0, dmaMachine(at), at, DATA + bytes);
  segmentSet(chain, 1, dmaMachine(at + ANSWER), at + ANSWER, 1);
  const q = controlOf(n);
  if (virtqueueAdd(q, chain, 1, 2, 0) < 0) return;
  n.controlBusy = 1;
  virtqueueKick(q);
  virtqueueListen(q, 0);
}

/** Looks for the answer to the command in progress, and goes on. */
export function controlPoll(n: VirtioNet): void {
  if (!n.controlBusy) return;
  const q = controlOf(n);
  const answered = virtqueueTake(q) >= 0;
  netCheckQueue(n, q);
  if (!answered) return;
  n.controlBusy = 0;
  const agreed = q.takenBytes == 1 && read8(n.controlMemory + ANSWER) == VIRTIO_NET_OK;
  if (n.controlNext == COMMAND_PAIRS && agreed) {
    n.queues = n.pairCount;
    networkChanged(n);
  } else if (!agreed) {
    virtioSay(virtioOf(n), n.controlNext == COMMAND_PAIRS ? "several queues refused" : "promiscuous mode refused");
  }
  n.controlNext++;
  sendNext(n);
}

/** Each second: gives up on a card that does not answer; the command stays with it. */
export function controlTick(n: VirtioNet): void {
  if (!n.controlReady) return;
  const q = controlOf(n);
  q.clock++;
  controlPoll(n);
  if (!n.controlBusy || virtqueueOldest(q) < ANSWER_SECONDS) return;
  n.controlBusy = 0;
  n.controlReady = 0;
  virtioSay(virtioOf(n), "no answer on the control queue; going on without");
}
