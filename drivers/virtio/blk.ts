/**
 * Virtio disks (virtio 1.1, 5.2): finding one, starting it, its interrupts, and resetting it when it breaks a rule or does not
 * answer. Requests, and what the disk is asked to do, have files of their own.
 */
import { EIO, ENOMEM } from "../../abi/errno";
import { VIRTIO_PCI_ISR_CONFIG, VIRTIO_PCI_ISR_QUEUE } from "../../abi/io/virtio";
import {
  BLOCK_GONE,
  BLOCK_READY,
  BLOCK_SEGMENTS_MAX,
  BLOCK_TIMEOUT_SECONDS,
  blockChanged,
  blockReady,
  blockRegister,
} from "../block";
import { dmaAllocate } from "../host/dma";
import { heapAllocate } from "../host/heap";
import { systemTime } from "../host/host";
import { Timer, timerInit, timerSet, timerStop } from "../host/timer";
import { PciDevice } from "../pci/device";
import { pciInterruptDone, pciInterruptHandle } from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import {
  BLK_BAD_CONFIG,
  BLK_FINE,
  BLK_NEEDS_RESET,
  BLK_SILENT,
  blkFault,
  blkFaultWords,
  diskOf,
  queueAt,
  recoveryOf,
  ringOf,
  VIRTIO_BLK_QUEUES_MAX,
  VIRTIO_BLK_SLOT_BYTES,
  VirtioBlk,
  VirtioBlkQueue,
  VirtioBlkWork,
  virtioOf,
  watchdogOf,
  workOf,
} from "./blk-device";
import { blkAnswers, blkDrain, blkFlushed, blkKick, blkSubmit } from "./blk-request";
import { blkCapacityChanged, blkLimitSegments, blkSettle } from "./blk-settle";
import {
  virtioAttach,
  virtioCause,
  virtioConfigVector,
  VirtioDevice,
  virtioFail,
  virtioReset,
  virtioSay,
  virtioStart,
  virtioWell,
} from "./device";
import {
  QUEUE_SIZE_MAX,
  virtqueueChainMax,
  virtqueueListen,
  virtqueueOldest,
  virtqueueQuiet,
  virtqueueSetUp,
} from "./queue";
import { Virtqueue } from "./virtqueue";

const SECOND_NS: u64 = 1_000_000_000;
/** How often a disk without interrupts is looked at. */
const POLL_NS: u64 = 1_000_000;
const PAGE: u32 = 4096;

// --- Finding a disk -----------------------------------------------------------------------------------------------------

/** The record of a disk, nothing started; 0 when out of memory. */
function makeDisk(pci: PciDevice, d: VirtioDevice): usize {
  const b = changetype<VirtioBlk>(heapAllocate(offsetof<VirtioBlk>()));
  if (!changetype<usize>(b)) return 0;
  b.virtio = changetype<usize>(d);
  b.name = d.name;
  b.address = pci.address;
  b.queues = heapAllocate(<usize>VIRTIO_BLK_QUEUES_MAX * offsetof<VirtioBlkQueue>());
  b.work = heapAllocate(offsetof<VirtioBlkWork>());
  b.recovery = heapAllocate(offsetof<Recovery>());
  b.watchdog = heapAllocate(offsetof<Timer>());
  b.pollTimer = heapAllocate(offsetof<Timer>());
  if (!b.queues || !b.work || !b.recovery || !b.watchdog || !b.pollTimer) return 0;
  workOf(b).disk = changetype<usize>(b);
  pollInit(workOf(b), workPoll);
  timerInit(watchdogOf(b), watchdogTick, changetype<usize>(b));
  timerInit(changetype<Timer>(b.pollTimer), pollTick, changetype<usize>(b));
  b.submitFn = changetype<usize>(blkSubmit);
  b.kickFn = changetype<usize>(blkKick);
  return changetype<usize>(b);
}

/** Takes a disk that was found: starts and registers it. False, with the reason in the log, if it cannot be used. */
export function virtioBlkProbe(pci: PciDevice): bool {
  const d = changetype<VirtioDevice>(virtioAttach(pci, "virtio-blk", VIRTIO_BLK_QUEUES_MAX + 1));
  if (!changetype<usize>(d)) return false;
  const b = changetype<VirtioBlk>(makeDisk(pci, d));
  if (!changetype<usize>(b)) return false;
  if (start(b) != 0) {
    virtioReset(d);
    virtioFail(d);
    virtioSay(d, "features or configuration refused; not used");
    return false;
  }
  blockRegister(b);
  return true;
}

// --- Starting -----------------------------------------------------------------------------------------------------------

/** Whether each queue has a vector of its own, behind the first one. */
function separateVectors(b: VirtioBlk): bool {
  const d = virtioOf(b);
  return d.msix != 0 && d.vectors > b.queueCount;
}

function bindInterrupts(b: VirtioBlk): void {
  const pci = changetype<PciDevice>(virtioOf(b).pci);
  if (!separateVectors(b)) {
    pciInterruptHandle(pci, 0, sharedInterrupt, changetype<usize>(b));
    return;
  }
  pciInterruptHandle(pci, 0, configInterrupt, changetype<usize>(b));
  for (let i: u32 = 0; i < b.queueCount; i++) {
    pciInterruptHandle(pci, 1 + i, queueInterrupt, changetype<usize>(queueAt(b, i)));
  }
}

/** Sets up a queue and the memory of its requests. 0, or -errno. */
function setUpQueue(b: VirtioBlk, index: u32): i32 {
  const q = queueAt(b, index);
  if (!q.disk) {
    pollInit(q, queuePoll);
    q.index = index;
    q.queue = heapAllocate(offsetof<Virtqueue>());
    q.headers = dmaAllocate((QUEUE_SIZE_MAX * VIRTIO_BLK_SLOT_BYTES) / PAGE);
    if (!q.queue || !q.headers) return -ENOMEM;
    q.disk = changetype<usize>(b);
  }
  const vector = separateVectors(b) ? 1 + index : 0;
  const status = virtqueueSetUp(virtioOf(b), ringOf(q), index, QUEUE_SIZE_MAX, vector, BLOCK_SEGMENTS_MAX + 2);
  if (status != 0) return status;
  // The shortest request is a header and a status, the shortest with data has a segment between them.
  return virtqueueChainMax(ringOf(q)) >= 3 ? 0 : -EIO;
}

/** Starts a disk that was reset. 0, or -errno: it is to be reset again. */
function start(b: VirtioBlk): i32 {
  const d = virtioOf(b);
  b.fault = BLK_FINE;
  const settled = blkSettle(b);
  if (settled != 0) return settled;
  b.depth = 0;
  for (let i: u32 = 0; i < b.queueCount; i++) {
    const status = setUpQueue(b, i);
    if (status != 0 && i == 0) return status;
    if (status != 0) {
      b.queueCount = i;
      break;
    }
    const ring = ringOf(queueAt(b, i));
    blkLimitSegments(b, min(virtqueueChainMax(ring), ring.size));
    b.depth += ring.tableEntries > 2 ? ring.size : max<u32>(1, ring.size / 4);
  }
  b.queueNext = 0;
  // Without that vector the watchdog still sees changes.
  virtioConfigVector(d, 0);
  bindInterrupts(b);
  virtioStart(d);
  if (!virtioWell(d)) return -EIO;
  for (let i: u32 = 0; i < b.queueCount; i++) virtqueueListen(ringOf(queueAt(b, i)), 0);
  b.state = BLOCK_READY;
  timerSet(watchdogOf(b), systemTime() + SECOND_NS);
  if (d.vectors == 0) timerSet(changetype<Timer>(b.pollTimer), systemTime() + POLL_NS);
  return 0;
}

/** The disk is not used any more. */
function giveUp(b: VirtioBlk): void {
  const d = virtioOf(b);
  b.state = BLOCK_GONE;
  timerStop(watchdogOf(b));
  timerStop(changetype<Timer>(b.pollTimer));
  virtioReset(d);
  virtioFail(d);
  virtioSay(d, "given up");
}

// --- Interrupts and the turn --------------------------------------------------------------------------------------------

/** EventFn of a queue. */
function queueInterrupt(record: usize): void {
  const q = changetype<VirtioBlkQueue>(record);
  virtqueueQuiet(ringOf(q));
  pollEnter(q);
}

/** EventFn of the configuration. */
function configInterrupt(record: usize): void {
  pollEnter(workOf(changetype<VirtioBlk>(record)));
}

/** EventFn of a disk with one interrupt for everything. */
function sharedInterrupt(record: usize): void {
  const b = changetype<VirtioBlk>(record);
  const d = virtioOf(b);
  const cause = d.msix ? VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG : virtioCause(d);
  if (b.state == BLOCK_READY && cause & VIRTIO_PCI_ISR_QUEUE) {
    for (let i: u32 = 0; i < b.queueCount; i++) queueInterrupt(changetype<usize>(queueAt(b, i)));
  }
  if (b.state == BLOCK_READY && cause & VIRTIO_PCI_ISR_CONFIG) pollEnter(workOf(b));
  pciInterruptDone(changetype<PciDevice>(d.pci), 0);
}

/** PollFn of a queue. */
function queuePoll(record: usize, budget: u32): bool {
  const q = changetype<VirtioBlkQueue>(record);
  const b = diskOf(q);
  if (b.state != BLOCK_READY || b.fault != BLK_FINE) return false;
  const taken = blkAnswers(q, budget);
  if (b.fault != BLK_FINE) return false;
  if (taken != 0) blockReady(b);
  return taken >= budget || virtqueueListen(ringOf(q), 0);
}

/** PollFn of the disk: a reset that is due, else what it may have to say. */
function workPoll(record: usize, budget: u32): bool {
  const b = changetype<VirtioBlk>(changetype<VirtioBlkWork>(record).disk);
  blkFlushed(b);
  if (b.state != BLOCK_READY) return false;
  if (b.fault == BLK_FINE) lookAt(b);
  if (b.fault != BLK_FINE) repair(b);
  return false;
}

/** Looks at the disk's status and its capacity. */
function lookAt(b: VirtioBlk): void {
  if (!virtioWell(virtioOf(b))) {
    blkFault(b, BLK_NEEDS_RESET, 0);
    return;
  }
  const changed = blkCapacityChanged(b);
  if (changed < 0) blkFault(b, BLK_BAD_CONFIG, 0);
  else if (changed > 0) blockChanged(b);
}

/** Resets a disk that broke a rule, and starts it again unless that has happened too often. */
function repair(b: VirtioBlk): void {
  const d = virtioOf(b);
  virtioSay(d, blkFaultWords(b));
  b.resets++;
  const reset = virtioReset(d);
  const queues = b.queueCount;
  for (let i: u32 = 0; i < queues; i++) blkDrain(queueAt(b, i), -EIO);
  if (!reset || !recoveryAllowed(recoveryOf(b)) || start(b) != 0) giveUp(b);
  blockChanged(b);
  blockReady(b);
}

/** TimerFn, each second: what no interrupt tells, and whether requests stay unanswered. */
function watchdogTick(record: usize): void {
  const b = changetype<VirtioBlk>(record);
  timerSet(watchdogOf(b), systemTime() + SECOND_NS);
  if (b.fault != BLK_FINE) return;
  for (let i: u32 = 0; i < b.queueCount; i++) {
    const q = queueAt(b, i);
    const ring = ringOf(q);
    ring.clock++;
    // What is there already is not late, even if its interrupt was lost.
    if (blkAnswers(q, ring.size) != 0) blockReady(b);
    if (virtqueueOldest(ring) >= BLOCK_TIMEOUT_SECONDS) blkFault(b, BLK_SILENT, 0);
  }
  pollEnter(workOf(b));
}

/** TimerFn, for a disk without interrupts. */
function pollTick(record: usize): void {
  const b = changetype<VirtioBlk>(record);
  timerSet(changetype<Timer>(b.pollTimer), systemTime() + POLL_NS);
  if (b.inFlight == 0) return;
  for (let i: u32 = 0; i < b.queueCount; i++) pollEnter(queueAt(b, i));
}
