/**
 * Virtio network cards (virtio 1.1, 5.1): finding one, starting it, its interrupts, and resetting it when it breaks a rule.
 * Reception, transmission, the control queue and what the card is asked to do have files of their own.
 */
import { EIO, ENOMEM } from "../../abi/errno";
import { VIRTIO_PCI_ISR_CONFIG, VIRTIO_PCI_ISR_QUEUE } from "../../abi/io/virtio";
import { VIRTIO_NET_F_CTRL_VQ } from "../../abi/io/virtio-net";
import { dmaAllocate } from "../host/dma";
import { heapAllocate } from "../host/heap";
import { systemTime } from "../host/host";
import { Timer, timerInit, timerSet, timerStop } from "../host/timer";
import { Frame, NETWORK_GONE, NETWORK_OPEN, NETWORK_SEGMENTS_MAX, networkChanged, networkRegister } from "../network";
import { PciDevice } from "../pci/device";
import { pciInterruptDone, pciInterruptHandle } from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import { Segment } from "../segment";
import {
  virtioAttach,
  virtioCause,
  virtioConfigVector,
  VirtioDevice,
  virtioFail,
  virtioHas,
  virtioReset,
  virtioSay,
  virtioStart,
  virtioWell,
} from "./device";
import { controlPoll, controlStart, controlTick } from "./net-control";
import {
  cardOf,
  NET_FINE,
  NET_NEEDS_RESET,
  NET_SILENT,
  netFault,
  netFaultWords,
  pairAt,
  recoveryOf,
  rxOf,
  txOf,
  VIRTIO_NET_BUFFERS_MAX,
  VIRTIO_NET_PAIRS_MAX,
  VirtioNet,
  VirtioNetWork,
  virtioOf,
  VirtioPair,
  watchdogOf,
  workOf,
} from "./net-device";
import { receiveFill, receiveFrames, receiveReset } from "./net-receive";
import { netLinkChanged, netSettle } from "./net-settle";
import { netKick, netReclaim, netTransmit, transmitDrain, transmitPoll } from "./net-transmit";
import { QUEUE_SIZE_MAX, virtqueueListen, virtqueueOldest, virtqueueQuiet, virtqueueSetUp } from "./queue";
import { Virtqueue } from "./virtqueue";

const SECOND_NS: u64 = 1_000_000_000;
/** How often a card without interrupts is looked at. */
const POLL_NS: u64 = 1_000_000;
/** Seconds that a frame may stay unsent. */
const SILENT_SECONDS: u32 = 10;
const CONTROL_SIZE: u32 = 16;

// --- Finding a card -----------------------------------------------------------------------------------------------------

/** Allocates what a pair needs besides its queues' own memory. */
function preparePair(n: VirtioNet, index: u32): bool {
  const p = pairAt(n, index);
  pollInit(p, pairPoll);
  p.card = changetype<usize>(n);
  p.index = index;
  p.rx = heapAllocate(offsetof<Virtqueue>());
  p.tx = heapAllocate(offsetof<Virtqueue>());
  p.frame = heapAllocate(offsetof<Frame>());
  p.buffers = heapAllocate(QUEUE_SIZE_MAX * 8);
  p.spare = p.buffers + QUEUE_SIZE_MAX * 4;
  const segments = heapAllocate(<usize>VIRTIO_NET_BUFFERS_MAX * offsetof<Segment>());
  if (!p.rx || !p.tx || !p.frame || !p.buffers || !segments) return false;
  changetype<Frame>(p.frame).segments = segments;
  return true;
}

/** The record of a card, nothing started; 0 when out of memory. */
function makeCard(pci: PciDevice, d: VirtioDevice): usize {
  const n = changetype<VirtioNet>(heapAllocate(offsetof<VirtioNet>()));
  if (!changetype<usize>(n)) return 0;
  n.virtio = changetype<usize>(d);
  n.name = d.name;
  n.address = pci.address;
  n.pairs = heapAllocate(<usize>VIRTIO_NET_PAIRS_MAX * offsetof<VirtioPair>());
  n.work = heapAllocate(offsetof<VirtioNetWork>());
  n.recovery = heapAllocate(offsetof<Recovery>());
  n.watchdog = heapAllocate(offsetof<Timer>());
  n.pollTimer = heapAllocate(offsetof<Timer>());
  n.control = heapAllocate(offsetof<Virtqueue>());
  if (!n.pairs || !n.work || !n.recovery || !n.watchdog || !n.pollTimer || !n.control) return 0;
  workOf(n).card = changetype<usize>(n);
  pollInit(workOf(n), workPoll);
  timerInit(watchdogOf(n), watchdogTick, changetype<usize>(n));
  timerInit(changetype<Timer>(n.pollTimer), pollTick, changetype<usize>(n));
  n.openFn = changetype<usize>(netOpen);
  n.transmitFn = changetype<usize>(netTransmit);
  n.kickFn = changetype<usize>(netKick);
  n.reclaimFn = changetype<usize>(netReclaim);
  return changetype<usize>(n);
}

/** Takes a card that was found: registers it, closed. False, with the reason in the log, if it cannot be used. */
export function virtioNetProbe(pci: PciDevice): bool {
  const d = changetype<VirtioDevice>(virtioAttach(pci, "virtio-net", VIRTIO_NET_PAIRS_MAX + 1));
  if (!changetype<usize>(d)) return false;
  const n = changetype<VirtioNet>(makeCard(pci, d));
  if (!changetype<usize>(n)) return false;
  const settled = netSettle(n);
  virtioReset(d);
  if (settled != 0) {
    virtioSay(d, "features or configuration refused; not used");
    return false;
  }
  networkRegister(n);
  return true;
}

// --- Starting -----------------------------------------------------------------------------------------------------------

/** Whether each pair has a vector of its own, behind the first one. */
function separateVectors(n: VirtioNet): bool {
  const d = virtioOf(n);
  return d.msix != 0 && d.vectors > n.pairCount;
}

function bindInterrupts(n: VirtioNet): void {
  const pci = changetype<PciDevice>(virtioOf(n).pci);
  if (!separateVectors(n)) {
    pciInterruptHandle(pci, 0, sharedInterrupt, changetype<usize>(n));
    return;
  }
  pciInterruptHandle(pci, 0, cardInterrupt, changetype<usize>(n));
  for (let i: u32 = 0; i < n.pairCount; i++) {
    pciInterruptHandle(pci, 1 + i, pairInterrupt, changetype<usize>(pairAt(n, i)));
  }
}

/** Sets up both queues of a pair, and its buffers. 0, or -errno. */
function setUpPair(n: VirtioNet, index: u32): i32 {
  const p = pairAt(n, index);
  const d = virtioOf(n);
  if (!p.card && !preparePair(n, index)) return -ENOMEM;
  const vector = separateVectors(n) ? 1 + index : 0;
  const rx = virtqueueSetUp(d, rxOf(p), 2 * index, QUEUE_SIZE_MAX, vector, 0);
  if (rx != 0) return rx;
  const tx = virtqueueSetUp(d, txOf(p), 2 * index + 1, QUEUE_SIZE_MAX, vector, NETWORK_SEGMENTS_MAX);
  if (tx != 0) return tx;
  while (p.bufferCount < rxOf(p).size) {
    const buffer = dmaAllocate(1);
    if (!buffer) return -ENOMEM;
    store<u32>(p.buffers + ((<usize>p.bufferCount) << 2), <u32>buffer);
    p.bufferCount++;
  }
  receiveReset(p);
  return 0;
}

/** Sets up the control queue where the card has one; it can be done without. */
function setUpControl(n: VirtioNet): void {
  const d = virtioOf(n);
  n.controlReady = 0;
  if (!virtioHas(d, VIRTIO_NET_F_CTRL_VQ)) return;
  if (!n.controlMemory) n.controlMemory = dmaAllocate(1);
  if (!n.controlMemory) return;
  const q = changetype<Virtqueue>(n.control);
  if (virtqueueSetUp(d, q, 2 * n.devicePairs, CONTROL_SIZE, 0, 0) == 0 && q.size >= 2) n.controlReady = 1;
}

/** Starts a card that was reset. 0, or -errno: it is to be reset again. */
function start(n: VirtioNet): i32 {
  const d = virtioOf(n);
  n.fault = NET_FINE;
  const settled = netSettle(n);
  if (settled != 0) return settled;
  for (let i: u32 = 0; i < n.pairCount; i++) {
    const status = setUpPair(n, i);
    if (status != 0 && i == 0) return status;
    if (status != 0) n.pairCount = i;
  }
  setUpControl(n);
  // Without that vector the watchdog still sees changes.
  virtioConfigVector(d, 0);
  bindInterrupts(n);
  virtioStart(d);
  if (!virtioWell(d)) return -EIO;
  for (let i: u32 = 0; i < n.pairCount; i++) {
    const p = pairAt(n, i);
    virtqueueQuiet(txOf(p));
    receiveFill(p);
    if (virtqueueListen(rxOf(p), 0)) pollEnter(p);
  }
  n.state = NETWORK_OPEN;
  controlStart(n);
  timerSet(watchdogOf(n), systemTime() + SECOND_NS);
  if (d.vectors == 0) timerSet(changetype<Timer>(n.pollTimer), systemTime() + POLL_NS);
  return 0;
}

/** OpenFn. */
function netOpen(device: usize): i32 {
  const n = changetype<VirtioNet>(device);
  if (start(n) == 0) return 0;
  giveUp(n);
  return -EIO;
}

/** The card is not used any more. */
function giveUp(n: VirtioNet): void {
  const d = virtioOf(n);
  n.state = NETWORK_GONE;
  n.linkUp = 0;
  timerStop(watchdogOf(n));
  timerStop(changetype<Timer>(n.pollTimer));
  virtioReset(d);
  virtioFail(d);
  virtioSay(d, "given up");
}

// --- Interrupts and the turn --------------------------------------------------------------------------------------------

/** EventFn of a pair. */
function pairInterrupt(record: usize): void {
  const p = changetype<VirtioPair>(record);
  virtqueueQuiet(rxOf(p));
  pollEnter(p);
}

/** EventFn of the configuration and the control queue. */
function cardInterrupt(record: usize): void {
  pollEnter(workOf(changetype<VirtioNet>(record)));
}

/** EventFn of a card with one interrupt for everything. */
function sharedInterrupt(record: usize): void {
  const n = changetype<VirtioNet>(record);
  const d = virtioOf(n);
  const cause = d.msix ? VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG : virtioCause(d);
  if (n.state == NETWORK_OPEN && cause & VIRTIO_PCI_ISR_QUEUE) {
    for (let i: u32 = 0; i < n.pairCount; i++) pairInterrupt(changetype<usize>(pairAt(n, i)));
  }
  if (n.state == NETWORK_OPEN && cause != 0) pollEnter(workOf(n));
  pciInterruptDone(changetype<PciDevice>(d.pci), 0);
}

/** PollFn of a pair. */
function pairPoll(record: usize, budget: u32): bool {
  const p = changetype<VirtioPair>(record);
  const n = cardOf(p);
  if (n.state != NETWORK_OPEN || n.fault != NET_FINE) return false;
  const taken = receiveFrames(p, budget);
  if (n.fault == NET_FINE) transmitPoll(p);
  if (n.fault != NET_FINE) return false;
  return taken >= budget || virtqueueListen(rxOf(p), 0);
}

/** PollFn of the card: a reset that is due, else what the card may have to say. */
function workPoll(record: usize, budget: u32): bool {
  const n = changetype<VirtioNet>(changetype<VirtioNetWork>(record).card);
  if (n.state != NETWORK_OPEN) return false;
  if (n.fault == NET_FINE) lookAt(n);
  if (n.fault != NET_FINE) repair(n);
  return false;
}

/** Looks at the card's status, its link, and the control queue. */
function lookAt(n: VirtioNet): void {
  if (!virtioWell(virtioOf(n))) {
    netFault(n, NET_NEEDS_RESET, 0);
    return;
  }
  if (netLinkChanged(n)) networkChanged(n);
  if (n.controlReady) controlPoll(n);
}

/** Resets a card that broke a rule, and starts it again unless that has happened too often. */
function repair(n: VirtioNet): void {
  const d = virtioOf(n);
  virtioSay(d, netFaultWords(n));
  n.resets++;
  const reset = virtioReset(d);
  for (let i: u32 = 0; i < n.pairCount; i++) transmitDrain(pairAt(n, i), -EIO);
  if (!reset || !recoveryAllowed(recoveryOf(n)) || start(n) != 0) giveUp(n);
  for (let i: u32 = 0; i < n.pairCount; i++) pollEnter(pairAt(n, i));
  networkChanged(n);
}

/** TimerFn, each second: what no interrupt tells, and whether frames stay unsent. */
function watchdogTick(record: usize): void {
  const n = changetype<VirtioNet>(record);
  timerSet(watchdogOf(n), systemTime() + SECOND_NS);
  if (n.fault != NET_FINE) return;
  for (let i: u32 = 0; i < n.pairCount; i++) {
    const p = pairAt(n, i);
    const tx = txOf(p);
    tx.clock++;
    netReclaim(record, i);
    if (n.linkUp && virtqueueOldest(tx) >= SILENT_SECONDS) netFault(n, NET_SILENT, 0);
    pollEnter(p);
  }
  controlTick(n);
  pollEnter(workOf(n));
}

/** TimerFn, for a card without interrupts. */
function pollTick(record: usize): void {
  const n = changetype<VirtioNet>(record);
  timerSet(changetype<Timer>(n.pollTimer), systemTime() + POLL_NS);
  for (let i: u32 = 0; i < n.pairCount; i++) pollEnter(pairAt(n, i));
  if (n.controlBusy) pollEnter(workOf(n));
}
