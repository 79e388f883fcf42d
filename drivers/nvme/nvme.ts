/**
 * NVM Express disks: finding controllers and their namespaces, interrupts, and resetting a controller that breaks a rule or does not
 * answer. One pair of I/O queues: the module has one processor.
 */
import {
  Nvme,
  NVME_CAP_CSS_NVM_SHIFT,
  NVME_CAP_DSTRD_SHIFT,
  NVME_CAP_MPSMIN_SHIFT,
  NVME_CAP_MQES_MASK,
  NVME_CAP_TO_SHIFT,
  NVME_CSTS_CFS,
  NvmeCommand,
} from "../../abi/io/nvme";
import {
  BLOCK_GONE,
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
import { pciBarMap, pciBarsRead } from "../pci/bars";
import { pciDecodeEnable, PciDevice } from "../pci/device";
import {
  PCI_ALLOW_ALL,
  PCI_INTERRUPT_MSIX,
  PCI_INTERRUPT_NONE,
  pciInterruptDone,
  pciInterruptHandle,
  pciInterruptsBind,
} from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import {
  diskAt,
  NVME_ADMIN_ENTRIES,
  NVME_ENTRIES_MAX,
  NVME_LIST_BYTES,
  NVME_NAMESPACES_MAX,
  NVME_OVER,
  NVME_STARTING,
  NVME_STOPPING,
  NVME_WORKING,
  NvmeController,
  NvmeDisk,
  nvmeGet,
  NvmeQueue,
  nvmeSay,
  nvmeSet,
  NvmeSlot,
  NvmeWork,
  pciOf,
  recoveryOf,
  watchdogOf,
  workOf,
  ioOf,
  adminOf,
} from "./device";
import { nvmeAnswers, nvmeDrain, nvmeKick, nvmeOldest, nvmeSubmit } from "./request";
import {
  controllerAwait,
  controllerIdentify,
  controllerIs,
  controllerQueues,
  controllerStart,
  controllerStop,
  namespaceIdentify,
} from "./start";

const SECOND_NS: u64 = 1_000_000_000;
/** How often a controller without an interrupt is looked at. */
const POLL_NS: u64 = 1_000_000;
/** How long a controller may take to stop or start at the module's start, and what is waited for at once later. */
const PROBE_NS: u64 = 5_000_000_000;
const SHORT_NS: u64 = 10_000_000;
const PATIENCE_MAX: u32 = 30;
const PAGE: u32 = 4096;

// --- Finding controllers ------------------------------------------------------------------------------------------------

function refuse(c: NvmeController, words: string): bool {
  nvmeSay(c, words);
  return false;
}

/** Maps the registers: up to the doorbells of the I/O queues. */
function mapRegisters(c: NvmeController, pci: PciDevice): bool {
  c.registers = pciBarMap(pci, 0, 0, Nvme.DOORBELLS);
  if (!c.registers) return false;
  c.capabilities = (<u64>nvmeGet(c, Nvme.CAP)) | ((<u64>nvmeGet(c, Nvme.CAP + 4)) << 32);
  const shift = (<u32>(c.capabilities >> NVME_CAP_DSTRD_SHIFT)) & 15;
  const stride: u32 = 4 << shift;
  c.registers = pciBarMap(pci, 0, 0, Nvme.DOORBELLS + 4 * stride);
  return c.registers != 0;
}

function makeQueue(q: NvmeQueue, entries: u32): bool {
  q.entries = entries;
  q.submissions = dmaAllocate((entries * NvmeCommand.SIZE + PAGE - 1) / PAGE);
  q.completions = dmaAllocate(1);
  return q.submissions != 0 && q.completions != 0;
}

/** Allocates what a controller needs; false when out of memory. */
function prepare(c: NvmeController): bool {
  c.admin = heapAllocate(offsetof<NvmeQueue>());
  c.io = heapAllocate(offsetof<NvmeQueue>());
  c.slots = heapAllocate(<usize>NVME_ENTRIES_MAX * offsetof<NvmeSlot>());
  c.disks = heapAllocate(NVME_NAMESPACES_MAX * 4);
  c.work = heapAllocate(offsetof<NvmeWork>());
  c.recovery = heapAllocate(offsetof<Recovery>());
  c.watchdog = heapAllocate(offsetof<Timer>());
  c.pollTimer = heapAllocate(offsetof<Timer>());
  if (!c.admin || !c.io || !c.slots || !c.disks || !c.work || !c.recovery || !c.watchdog || !c.pollTimer) return false;
  c.buffer = dmaAllocate(1);
  c.lists = dmaAllocate((NVME_ENTRIES_MAX * NVME_LIST_BYTES) / PAGE);
  if (!c.buffer || !c.lists || !makeQueue(adminOf(c), NVME_ADMIN_ENTRIES)) return false;
  workOf(c).controller = changetype<usize>(c);
  pollInit(workOf(c), workPoll);
  timerInit(watchdogOf(c), watchdogTick, changetype<usize>(c));
  timerInit(changetype<Timer>(c.pollTimer), pollTick, changetype<usize>(c));
  const entries = min<u32>(NVME_ENTRIES_MAX, ((<u32>c.capabilities) & NVME_CAP_MQES_MASK) + 1);
  return makeQueue(ioOf(c), entries);
}

/** Takes a controller that was found. False, with the reason in the log, if it cannot be used or has no disk. */
export function nvmeProbe(pci: PciDevice): bool {
  const c = changetype<NvmeController>(heapAllocate(offsetof<NvmeController>()));
  if (!changetype<usize>(c) || !pciBarsRead(pci)) return false;
  c.pci = changetype<usize>(pci);
  pciDecodeEnable(pci);
  if (!mapRegisters(c, pci)) return refuse(c, "no registers; not used");
  const nvm = (c.capabilities >> NVME_CAP_CSS_NVM_SHIFT) & 1;
  const page = (c.capabilities >> NVME_CAP_MPSMIN_SHIFT) & 15;
  if (nvm == 0 || page != 0 || ((<u32>c.capabilities) & NVME_CAP_MQES_MASK) == 0) {
    return refuse(c, "not a controller that can be used: its capabilities; not used");
  }
  c.patience = min<u32>(PATIENCE_MAX, ((<u32>(c.capabilities >> NVME_CAP_TO_SHIFT)) & 0xff) / 2 + 2);
  if (!prepare(c)) return refuse(c, "out of memory; not used");
  controllerStop(c);
  if (controllerAwait(c, false, PROBE_NS) != 1) return refuse(c, "does not stop; not used");
  controllerStart(c);
  const started = controllerAwait(c, true, PROBE_NS) == 1;
  const namespaces = started ? controllerIdentify(c) : 0;
  if (namespaces != 0 && findDisks(c, namespaces) && listen(c, pci)) return true;
  controllerStop(c);
  return refuse(c, started ? "has no disk that can be used; not used" : "does not start; not used");
}

/** Looks at the namespaces; whether there is one that can be used. */
function findDisks(c: NvmeController, namespaces: u32): bool {
  for (let i: u32 = 1; i <= min(namespaces, NVME_NAMESPACES_MAX); i++) {
    const d = changetype<NvmeDisk>(heapAllocate(offsetof<NvmeDisk>()));
    if (!changetype<usize>(d)) break;
    d.controller = changetype<usize>(c);
    d.namespace = i;
    if (!namespaceIdentify(c, d)) continue;
    d.name = changetype<usize>("nvme");
    d.address = pciOf(c).address;
    d.unit = i;
    // Each segment may be a command of its own, and one entry of the queue stays free.
    d.segmentsMax = min(BLOCK_SEGMENTS_MAX, ioOf(c).entries - 1);
    d.sectorsMax = d.segmentsMax * (PAGE >> 9);
    d.depth = ioOf(c).entries - 1;
    d.submitFn = changetype<usize>(nvmeSubmit);
    d.kickFn = changetype<usize>(nvmeKick);
    store<u32>(c.disks + ((<usize>c.diskCount) << 2), <u32>changetype<usize>(d));
    c.diskCount++;
  }
  return c.diskCount != 0;
}

/** Makes queues and interrupts, and registers the disks. */
function listen(c: NvmeController, pci: PciDevice): bool {
  pciInterruptsBind(pci, 1, PCI_ALLOW_ALL);
  c.polled = pci.interruptKind == PCI_INTERRUPT_NONE ? 1 : 0;
  pciInterruptHandle(pci, 0, interrupt, changetype<usize>(c));
  if (!controllerQueues(c)) return false;
  c.mode = NVME_WORKING;
  for (let i: u32 = 0; i < c.diskCount; i++) blockRegister(diskAt(c, i));
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  if (c.polled) timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  return true;
}

// --- Interrupts and the turn --------------------------------------------------------------------------------------------

/** Whether interrupts are masked by the controller's own registers: not those of MSI-X. */
function masks(c: NvmeController): bool {
  return pciOf(c).interruptKind != PCI_INTERRUPT_MSIX;
}

/** EventFn. A pin stays asserted until the completions are taken: it is masked until the turn has done so. */
function interrupt(record: usize): void {
  const c = changetype<NvmeController>(record);
  if (masks(c)) nvmeSet(c, Nvme.INTMS, 1);
  pollEnter(workOf(c));
  pciInterruptDone(pciOf(c), 0);
}

/** PollFn. */
function workPoll(record: usize, budget: u32): bool {
  const c = changetype<NvmeController>(changetype<NvmeWork>(record).controller);
  if (c.mode != NVME_WORKING) return false;
  let taken: i32 = 0;
  if (!c.fault) {
    taken = nvmeAnswers(c, budget);
    if (taken < 0) fault(c, "it answered a command that it was not given");
  }
  if (c.fault) {
    repair(c);
    return false;
  }
  if (taken != 0) tellReady(c);
  if (<u32>taken >= budget) return true;
  if (masks(c)) nvmeSet(c, Nvme.INTMC, 1);
  return false;
}

function tellReady(c: NvmeController): void {
  for (let i: u32 = 0; i < c.diskCount; i++) blockReady(diskAt(c, i));
}

function tellChanged(c: NvmeController): void {
  for (let i: u32 = 0; i < c.diskCount; i++) blockChanged(diskAt(c, i));
}

/** The controller broke a rule: it is reset in the next turn, and not used until then. */
function fault(c: NvmeController, words: string): void {
  if (c.fault || c.mode != NVME_WORKING) return;
  c.fault = changetype<usize>(words);
  pollEnter(workOf(c));
}

// --- Reset --------------------------------------------------------------------------------------------------------------

/** Stops a controller that broke a rule, and fails all it had; it is started again when it has stopped. */
function repair(c: NvmeController): void {
  nvmeSay(c, changetype<string>(c.fault));
  for (let i: u32 = 0; i < c.diskCount; i++) diskAt(c, i).resets++;
  controllerStop(c);
  c.mode = NVME_STOPPING;
  c.stamp = c.clock;
  c.fault = 0;
  nvmeDrain(c);
  if (!recoveryAllowed(recoveryOf(c))) giveUp(c);
  else if (controllerAwait(c, false, SHORT_NS) == 1) proceed(c);
}

/** Goes on with a reset as far as the controller is. */
function proceed(c: NvmeController): void {
  if (c.mode == NVME_STOPPING) {
    const stopped = controllerIs(c, false);
    if (stopped < 0) {
      giveUp(c);
      return;
    }
    if (stopped == 0) return;
    controllerStart(c);
    c.mode = NVME_STARTING;
    c.stamp = c.clock;
    controllerAwait(c, true, SHORT_NS);
  }
  const started = controllerIs(c, true);
  if (started == 0) return;
  if (started < 0 || !controllerQueues(c)) {
    giveUp(c);
    return;
  }
  c.mode = NVME_WORKING;
  if (masks(c)) nvmeSet(c, Nvme.INTMC, 1);
  tellChanged(c);
  tellReady(c);
}

function giveUp(c: NvmeController): void {
  c.mode = NVME_OVER;
  timerStop(watchdogOf(c));
  timerStop(changetype<Timer>(c.pollTimer));
  controllerStop(c);
  for (let i: u32 = 0; i < c.diskCount; i++) diskAt(c, i).state = BLOCK_GONE;
  nvmeSay(c, "given up");
  tellChanged(c);
  tellReady(c);
}

/** TimerFn, each second: commands that take too long, the controller's own state, the interrupt that was lost, a reset in progress. */
function watchdogTick(record: usize): void {
  const c = changetype<NvmeController>(record);
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  c.clock++;
  if (c.mode != NVME_WORKING) {
    proceed(c);
    if (c.mode != NVME_WORKING && c.mode != NVME_OVER && c.clock - c.stamp >= c.patience) giveUp(c);
    return;
  }
  pollEnter(workOf(c));
  // All ones, too, if it is gone.
  if (nvmeGet(c, Nvme.CSTS) & NVME_CSTS_CFS) fault(c, "it has failed, or is gone");
  else if (nvmeOldest(c) >= BLOCK_TIMEOUT_SECONDS) {
    // What is there already is not late, even if its interrupt was lost: the turn before has taken it.
    fault(c, "it leaves requests unanswered");
  }
}

/** TimerFn, for a controller without an interrupt. */
function pollTick(record: usize): void {
  const c = changetype<NvmeController>(record);
  timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  if (ioOf(c).used != 0) pollEnter(workOf(c));
}
