/**
 * ATA disks on PCI IDE controllers: both channels of a controller in compatibility mode, with its interrupts 14 and 15. Requests wait with
 * their disk, and the channel takes them from its disks in turn. What is not a disk (ATAPI) is left alone.
 */
import { EAGAIN, EIO } from "../../abi/errno";
import {
  ATA_PRIMARY,
  ATA_PRIMARY_CONTROL,
  ATA_PRIMARY_IRQ,
  ATA_PRIMARY_NATIVE,
  ATA_SECONDARY,
  ATA_SECONDARY_CONTROL,
  ATA_SECONDARY_IRQ,
  ATA_SECONDARY_NATIVE,
  ATA_DEVICE_SECOND,
  ATA_STATUS_BSY,
  ATA_STATUS_NONE,
  AtaBusMaster,
} from "../../abi/io/ata";
import {
  BLOCK_FLUSH,
  BLOCK_FUA,
  BLOCK_GONE,
  BLOCK_HAS_CACHE,
  BLOCK_READY,
  BLOCK_TIMEOUT_SECONDS,
  BLOCK_WRITE,
  blockChanged,
  blockDone,
  blockReady,
  blockRegister,
  BlockRequest,
  blockTaken,
} from "../block";
import { dmaAllocate } from "../host/dma";
import { heapAllocate } from "../host/heap";
import { portOut, systemTime } from "../host/host";
import { pirqEoi } from "../host/hypercalls";
import { say, sayDec, sayEnd } from "../host/log";
import { Timer, timerInit, timerSet, timerStop } from "../host/timer";
import { pciBarPorts, pciBarsRead } from "../pci/bars";
import { pciDecodeEnable, PciDevice, pciMasterDisable, pciMasterEnable, pciSay } from "../pci/device";
import { GSI_NONE, gsiBind } from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import {
  ATA_GONE,
  ATA_IDLE,
  ATA_RESETTING,
  ATA_WAITING_MAX,
  AtaChannel,
  AtaDisk,
  ataResetBegin,
  ataStatus,
  channelOf,
  diskAt,
  ownerOf,
  pciOf,
  recoveryOf,
  requestOf,
  watchdogOf,
} from "./channel";
import { ATA_CONTINUES, ATA_NO_DMA, ataBegin, ataBeginFlush, ataProgress, ataStop, ATA_STUCK } from "./command";
import { ataIdentify } from "./identify";

const SECOND_NS: u64 = 1_000_000_000;
/** How often a channel without an interrupt is looked at while it is busy. */
const POLL_NS: u64 = 1_000_000;
/** How long devices may take for a reset (ATA/ATAPI-7, 9.2). */
const RESET_SECONDS: u32 = 31;
const BUS_MASTER_BAR: u32 = 4;

// BlockRequest.phase
const PHASE_REQUEST: u32 = 0;
const PHASE_FLUSH: u32 = 1; // the flush after a write with FUA

function sayChannel(c: AtaChannel, unit: u32, words: string): void {
  say("ata ");
  pciSay(pciOf(c));
  say(c.base == ATA_PRIMARY ? " primary " : " secondary ");
  sayDec(unit);
  say(": ");
  say(words);
  sayEnd();
}

// --- Finding disks ------------------------------------------------------------------------------------------------------

/** Takes a controller that was found. False if there is no disk. */
export function ataProbe(pci: PciDevice): bool {
  if (!pciBarsRead(pci)) return false;
  pciDecodeEnable(pci);
  const master = pciBarPorts(pci, BUS_MASTER_BAR, 2 * AtaBusMaster.SIZE);
  let disks: u32 = 0;
  if (!(pci.classCode & ATA_PRIMARY_NATIVE)) {
    disks += probeChannel(pci, ATA_PRIMARY, ATA_PRIMARY_CONTROL, master, ATA_PRIMARY_IRQ);
  }
  if (!(pci.classCode & ATA_SECONDARY_NATIVE)) {
    const second = master ? master + AtaBusMaster.SIZE : 0;
    disks += probeChannel(pci, ATA_SECONDARY, ATA_SECONDARY_CONTROL, second, ATA_SECONDARY_IRQ);
  }
  if (disks != 0) pciMasterEnable(pci);
  return disks != 0;
}

/** Looks for disks on a channel; how many it found. */
function probeChannel(pci: PciDevice, base: u32, control: u32, master: u32, irq: u32): u32 {
  const c = changetype<AtaChannel>(heapAllocate(offsetof<AtaChannel>()));
  if (!changetype<usize>(c)) return 0;
  c.pci = changetype<usize>(pci);
  c.base = base;
  c.control = control;
  c.pirq = GSI_NONE;
  if (ataStatus(c) == ATA_STATUS_NONE) return 0;
  c.disks = heapAllocate(8);
  c.recovery = heapAllocate(offsetof<Recovery>());
  c.watchdog = heapAllocate(offsetof<Timer>());
  c.pollTimer = heapAllocate(offsetof<Timer>());
  c.table = dmaAllocate(1);
  if (!c.disks || !c.recovery || !c.watchdog || !c.pollTimer) return 0;
  if (c.table) c.busMaster = master;
  pollInit(c, channelPoll);
  timerInit(watchdogOf(c), watchdogTick, changetype<usize>(c));
  timerInit(changetype<Timer>(c.pollTimer), pollTick, changetype<usize>(c));
  ataStop(c);
  portOut(c.control, 1, 0);
  const found = probeDisk(c, 0) + probeDisk(c, 1);
  if (found == 0) return 0;
  c.pirq = gsiBind(irq, interrupt, changetype<usize>(c));
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  return found;
}

/** Looks for one disk, and registers it; 1 if it is there. */
function probeDisk(c: AtaChannel, unit: u32): u32 {
  const d = changetype<AtaDisk>(heapAllocate(offsetof<AtaDisk>()));
  if (!changetype<usize>(d)) return 0;
  d.channel = changetype<usize>(c);
  d.second = unit == 0 ? 0 : ATA_DEVICE_SECOND;
  const result = ataIdentify(d);
  if (result == 2) sayChannel(c, unit, "a disk without LBA, or with other sectors than of 512 bytes; not used");
  if (result != 0) return 0;
  d.name = changetype<usize>("ata");
  d.address = pciOf(c).address;
  d.unit = (c.base == ATA_PRIMARY ? 0 : 2) + unit;
  d.depth = ATA_WAITING_MAX;
  d.state = BLOCK_READY;
  d.submitFn = changetype<usize>(submit);
  d.kickFn = changetype<usize>(kick);
  store<u32>(c.disks + ((<usize>unit) << 2), <u32>changetype<usize>(d));
  blockRegister(d);
  return 1;
}

// --- Requests -----------------------------------------------------------------------------------------------------------

/** SubmitFn: the request was checked by blockSubmit. */
function submit(device: usize, requestAt: usize): i32 {
  const d = changetype<AtaDisk>(device);
  const r = changetype<BlockRequest>(requestAt);
  if (d.waiting >= ATA_WAITING_MAX) {
    d.refused = 1;
    return -EAGAIN;
  }
  r.phase = PHASE_REQUEST;
  r.link = 0;
  if (d.last) changetype<BlockRequest>(d.last).link = requestAt;
  else d.first = requestAt;
  d.last = requestAt;
  d.waiting++;
  blockTaken(d, r);
  return 0;
}

/** BlockKickFn. */
function kick(device: usize): void {
  pollEnter(channelOf(changetype<AtaDisk>(device)));
}

/** Takes the next request, of the disks in turn; false when none waits. */
function next(c: AtaChannel): bool {
  for (let i: u32 = 0; i < 2; i++) {
    const at = diskAt(c, c.diskNext);
    c.diskNext ^= 1;
    if (!at || !changetype<AtaDisk>(at).first) continue;
    const d = changetype<AtaDisk>(at);
    c.owner = at;
    c.request = d.first;
    d.first = requestOf(c).link;
    if (!d.first) d.last = 0;
    d.waiting--;
    return true;
  }
  return false;
}

/** Ends the request in progress. */
function finish(c: AtaChannel, status: i32): void {
  const d = ownerOf(c);
  const r = requestOf(c);
  c.request = 0;
  c.state = ATA_IDLE;
  blockDone(d, r, status);
  blockReady(d);
}

/** Begins requests until one is in progress, or none waits. */
function begin(c: AtaChannel): void {
  while (c.state == ATA_IDLE && next(c)) {
    if (requestOf(c).operation == BLOCK_FLUSH && !(ownerOf(c).features & BLOCK_HAS_CACHE)) {
      finish(c, 0);
      continue;
    }
    c.stamp = c.clock;
    settle(c, ataBegin(c));
  }
  if (c.pirq == GSI_NONE && c.state != ATA_IDLE) timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
}

/** Goes on as the outcome of a step says. */
function settle(c: AtaChannel, outcome: i32): void {
  if (outcome == ATA_CONTINUES) return;
  if (outcome == ATA_STUCK) {
    fault(c, "does not do as it was told");
    return;
  }
  if (outcome == ATA_NO_DMA) {
    // Once for all: the disk goes on without.
    sayChannel(c, ownerOf(c).unit, "DMA failed; going on without");
    ownerOf(c).dma = 0;
    settle(c, ataBegin(c));
    return;
  }
  const d = ownerOf(c);
  const r = requestOf(c);
  if (outcome == 0 && r.operation == BLOCK_WRITE && r.flags & BLOCK_FUA && d.features & BLOCK_HAS_CACHE) {
    if (r.phase == PHASE_REQUEST) {
      r.phase = PHASE_FLUSH;
      settle(c, ataBeginFlush(c));
      return;
    }
  }
  finish(c, outcome);
}

// --- Interrupts and the turn --------------------------------------------------------------------------------------------

/** EventFn. */
function interrupt(record: usize): void {
  const c = changetype<AtaChannel>(record);
  pollEnter(c);
  pirqEoi(c.pirq);
}

/** PollFn. */
function channelPoll(record: usize, budget: u32): bool {
  const c = changetype<AtaChannel>(record);
  for (let i: u32 = 0; i < budget; i++) {
    if (c.state == ATA_RESETTING || c.state == ATA_GONE) return false;
    if (c.state == ATA_IDLE) begin(c);
    if (c.state == ATA_IDLE || c.state == ATA_RESETTING) return false;
    // A sector that went through the data register may be followed by the next at once.
    const before = c.sectorsLeft;
    const outcome = ataProgress(c);
    if (outcome == ATA_CONTINUES && c.sectorsLeft == before) return false;
    settle(c, outcome);
  }
  return true;
}

/** The channel's devices broke a rule or do not answer: everything they had fails, and they are reset. */
function fault(c: AtaChannel, words: string): void {
  sayChannel(c, ownerOf(c).unit, words);
  ataStop(c);
  const allowed = recoveryAllowed(recoveryOf(c));
  c.state = ATA_RESETTING;
  c.stamp = c.clock;
  if (allowed) ataResetBegin(c);
  failAll(c);
  if (!allowed) giveUp(c);
  else for (let i: u32 = 0; i < 2; i++) if (diskAt(c, i)) changetype<AtaDisk>(diskAt(c, i)).resets++;
}

/** Fails the request in progress and all that wait. */
function failAll(c: AtaChannel): void {
  const inProgress = c.request;
  c.request = 0;
  if (inProgress) blockDone(ownerOf(c), changetype<BlockRequest>(inProgress), -EIO);
  for (let i: u32 = 0; i < 2; i++) {
    if (!diskAt(c, i)) continue;
    const d = changetype<AtaDisk>(diskAt(c, i));
    // What is submitted meanwhile waits for the end of the reset.
    for (let left = d.waiting; left != 0; left--) {
      const r = changetype<BlockRequest>(d.first);
      d.first = r.link;
      if (!d.first) d.last = 0;
      d.waiting--;
      blockDone(d, r, -EIO);
    }
    blockReady(d);
  }
}

function giveUp(c: AtaChannel): void {
  c.state = ATA_GONE;
  timerStop(watchdogOf(c));
  pciMasterDisable(pciOf(c));
  for (let i: u32 = 0; i < 2; i++) if (diskAt(c, i)) changetype<AtaDisk>(diskAt(c, i)).state = BLOCK_GONE;
  failAll(c);
  sayChannel(c, ownerOf(c).unit, "given up");
  tellChanged(c);
}

function tellChanged(c: AtaChannel): void {
  for (let i: u32 = 0; i < 2; i++) if (diskAt(c, i)) blockChanged(changetype<AtaDisk>(diskAt(c, i)));
}

/** TimerFn, each second: the command that takes too long, the reset that is through or is not, the interrupt that was lost. */
function watchdogTick(record: usize): void {
  const c = changetype<AtaChannel>(record);
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  c.clock++;
  if (c.state == ATA_RESETTING) {
    if (!(ataStatus(c) & ATA_STATUS_BSY)) {
      c.state = ATA_IDLE;
      tellChanged(c);
    } else if (c.clock - c.stamp >= RESET_SECONDS) {
      giveUp(c);
      return;
    }
  } else if (c.state != ATA_IDLE && c.clock - c.stamp >= BLOCK_TIMEOUT_SECONDS) {
    fault(c, "leaves requests unanswered");
  }
  pollEnter(c);
}

/** TimerFn, for a channel without an interrupt, while it is busy. */
function pollTick(record: usize): void {
  const c = changetype<AtaChannel>(record);
  if (c.state == ATA_IDLE || c.state == ATA_GONE) return;
  timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  pollEnter(c);
}
