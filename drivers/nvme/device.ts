/** The records of an NVM Express controller, its queues and its namespaces, and access to its registers. */
import {
  Nvme,
  NVME_CAP_DSTRD_SHIFT,
  NVME_COMPLETION_PHASE,
  NVME_COMPLETION_STATUS_SHIFT,
  NvmeCommand,
  NvmeCompletion,
} from "../../abi/io/nvme";
import { BlockDevice } from "../block";
import { read32, write32, write64 } from "../host/host";
import { say, sayEnd } from "../host/log";
import { Timer } from "../host/timer";
import { PciDevice, pciSay } from "../pci/device";
import { Pollable } from "../poll";
import { Recovery } from "../recovery";

/** Entries of the I/O queues at most, of the admin queues; namespaces that are used at most. */
export const NVME_ENTRIES_MAX: u32 = 128;
export const NVME_ADMIN_ENTRIES: u32 = 8;
export const NVME_NAMESPACES_MAX: u32 = 8;
/** Bytes of a PRP list: what a command moves at most is as many pages as it has entries, and one. */
export const NVME_LIST_BYTES: u32 = 2048;
export const NVME_LIST_PAGES: u32 = NVME_LIST_BYTES / 8;

// NvmeController.mode
export const NVME_WORKING: u32 = 0;
export const NVME_STOPPING: u32 = 1; // it was told to stop, and is to be started again when it has
export const NVME_STARTING: u32 = 2; // it was told to start
export const NVME_OVER: u32 = 3;

/** A submission queue and its completion queue. */
@unmanaged
export class NvmeQueue {
  entries: u32;
  submissions: usize; // DMA memory
  completions: usize; // DMA memory
  submissionDoorbell: usize; // linear addresses
  completionDoorbell: usize;
  tail: u32; // next submission; told: what the controller knows
  told: u32;
  head: u32; // next completion
  phase: u32; // its phase when it is new: NVME_COMPLETION_PHASE or 0
  used: u32; // commands that the controller has
}

@unmanaged
export class NvmeController {
  pci: usize; // PciDevice
  registers: usize; // linear address
  capabilities: u64;
  mode: u32;
  stamp: u32; // clock when the mode began
  patience: u32; // seconds that a change of mode may take
  clock: u32; // seconds
  admin: usize; // NvmeQueue
  io: usize; // NvmeQueue
  slots: usize; // NvmeSlot[NVME_ENTRIES_MAX]: the command ids of the I/O queue
  freeSlot: u32; // NVME_ENTRIES_MAX: none
  lists: usize; // DMA memory: NVME_LIST_BYTES for each slot
  buffer: usize; // DMA memory: what IDENTIFY answers
  pagesMax: u32; // pages of a command
  cache: u32; // it has a volatile write cache
  features: u32; // BLOCK_CAN_*
  disks: usize; // u32[NVME_NAMESPACES_MAX]: NvmeDisk
  diskCount: u32;
  polled: u32; // it has no interrupt
  fault: usize; // string constant: why it is to be reset; 0
  work: usize; // NvmeWork
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
  pollTimer: usize; // Timer
}

/** A command that the controller has, by its id. */
@unmanaged
export class NvmeSlot {
  request: usize; // BlockRequest; 0: free
  disk: usize; // NvmeDisk
  next: u32; // the next free one
  stamp: u32; // clock when it was submitted
}

@unmanaged
export class NvmeWork extends Pollable {
  controller: usize; // NvmeController
}

@unmanaged
export class NvmeDisk extends BlockDevice {
  controller: usize; // NvmeController
  namespace: u32;
  blockShift: u32; // log2 of a block's bytes
}

export function pciOf(c: NvmeController): PciDevice {
  return changetype<PciDevice>(c.pci);
}

export function adminOf(c: NvmeController): NvmeQueue {
  return changetype<NvmeQueue>(c.admin);
}

export function ioOf(c: NvmeController): NvmeQueue {
  return changetype<NvmeQueue>(c.io);
}

export function slotAt(c: NvmeController, id: u32): NvmeSlot {
  return changetype<NvmeSlot>(c.slots + <usize>id * offsetof<NvmeSlot>());
}

export function diskAt(c: NvmeController, index: u32): NvmeDisk {
  return changetype<NvmeDisk>(load<u32>(c.disks + ((<usize>index) << 2)));
}

export function controllerOf(d: NvmeDisk): NvmeController {
  return changetype<NvmeController>(d.controller);
}

export function workOf(c: NvmeController): NvmeWork {
  return changetype<NvmeWork>(c.work);
}

export function recoveryOf(c: NvmeController): Recovery {
  return changetype<Recovery>(c.recovery);
}

export function watchdogOf(c: NvmeController): Timer {
  return changetype<Timer>(c.watchdog);
}

export function nvmeGet(c: NvmeController, register: u32): u32 {
  return read32(c.registers + register);
}

export function nvmeSet(c: NvmeController, register: u32, value: u32): void {
  write32(c.registers + register, value);
}

/** 64-bit registers are written in halves. */
export function nvmeSet64(c: NvmeController, register: u32, value: u64): void {
  nvmeSet(c, register, <u32>value);
  nvmeSet(c, register + 4, <u32>(value >> 32));
}

/** Where a queue's doorbell is. */
export function doorbell(c: NvmeController, queue: u32, completion: bool): usize {
  const shift = (<usize>(c.capabilities >> NVME_CAP_DSTRD_SHIFT)) & 15;
  const stride: usize = 4 << shift;
  return c.registers + Nvme.DOORBELLS + <usize>(2 * queue + (completion ? 1 : 0)) * stride;
}

export function nvmeSay(c: NvmeController, words: string): void {
  say("nvme ");
  pciSay(pciOf(c));
  say(": ");
  say(words);
  sayEnd();
}

// --- Queues -------------------------------------------------------------------------------------------------------------

/** Empties a queue; the controller does not run. Its completions are zeroed: their phase is not the first one. */
export function queueReset(q: NvmeQueue): void {
  for (let at: u32 = 0; at < q.entries * NvmeCompletion.SIZE; at += 8) write64(q.completions + at, 0);
  q.tail = 0;
  q.told = 0;
  q.head = 0;
  q.phase = NVME_COMPLETION_PHASE;
  q.used = 0;
}

/** The next submission entry, zeroed but for opcode, id and namespace; there is room: fewer than `entries` less one are used. */
export function queuePut(q: NvmeQueue, opcode: u32, id: u32, namespace: u32): usize {
  const at = q.submissions + <usize>q.tail * NvmeCommand.SIZE;
  write64(at, (<u64>opcode) | ((<u64>id) << 16) | ((<u64>namespace) << 32));
  for (let i: u32 = 8; i < NvmeCommand.SIZE; i += 8) write64(at + i, 0);
  q.tail = q.tail + 1 == q.entries ? 0 : q.tail + 1;
  q.used++;
  return at;
}

/** Tells the controller of what was put. */
export function queueKick(q: NvmeQueue): void {
  if (q.told == q.tail) return;
  q.told = q.tail;
  write32(q.submissionDoorbell, q.tail);
}

/** Of the completion taken last. */
export let completedId: u32 = 0;
export let completedStatus: u32 = 0; // 0: success

/** Takes the next completion, if there is one. The controller is to be told: queueTaken. */
export function queueTake(q: NvmeQueue): bool {
  const status = read32(q.completions + <usize>q.head * NvmeCompletion.SIZE + NvmeCompletion.status);
  if ((status & NVME_COMPLETION_PHASE) != q.phase) return false;
  if (++q.head == q.entries) {
    q.head = 0;
    q.phase ^= NVME_COMPLETION_PHASE;
  }
  completedId = status & 0xffff;
  completedStatus = status >> NVME_COMPLETION_STATUS_SHIFT;
  return true;
}

/** Tells the controller how far completions were taken. */
export function queueTaken(q: NvmeQueue): void {
  write32(q.completionDoorbell, q.head);
}
