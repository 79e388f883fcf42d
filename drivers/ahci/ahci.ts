/**
 * SATA disks on AHCI adapters: finding them, requests, interrupts, failed commands, reset. Each port with a disk is a disk of its
 * own; what is not a disk (ATAPI, port multipliers) is left alone.
 */
import { EAGAIN, EIO } from "../../abi/errno";
import {
  Ahci,
  AHCI_BAR,
  AHCI_BOHC_BOS,
  AHCI_BOHC_OOS,
  AHCI_CAP2_BOH,
  AHCI_CAP_NCS_SHIFT,
  AHCI_CAP_S64A,
  AHCI_CMD_CCS_SHIFT,
  AHCI_GHC_AE,
  AHCI_GHC_IE,
  AHCI_PORT_PCS,
  AHCI_PORT_TFES,
  AHCI_PORTS_MAX,
  AHCI_SIG_ATA,
  AHCI_SLOTS_MAX,
  AhciPortRegister,
} from "../../abi/io/ahci";
import { ataFlush, ataTrim, ataWide } from "../ata/identify-data";
import {
  BLOCK_CAN_DISCARD,
  BLOCK_FLUSH,
  BLOCK_FUA,
  BLOCK_GONE,
  BLOCK_HAS_CACHE,
  BLOCK_READY,
  BLOCK_SEGMENT_BYTES_MAX,
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
import { read32, systemTime, write32 } from "../host/host";
import { say, sayEnd } from "../host/log";
import { Timer, timerInit, timerSet, timerStop } from "../host/timer";
import { pciBarMap, pciBarsRead } from "../pci/bars";
import { pciBar, pciDecodeEnable, PciDevice, pciMasterEnable, pciSay } from "../pci/device";
import {
  PCI_ALLOW_MSI,
  PCI_ALLOW_PIN,
  pciInterruptDone,
  pciInterruptHandle,
  pciInterruptsBind,
} from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import { AHCI_DISCARD_SECTORS_MAX, ahciIssue, ahciPutFlush, ahciPutRequest } from "./command";
import {
  adapterOf,
  AHCI_LISTS_PAGES,
  AHCI_OVER,
  AHCI_REGIONS_MAX,
  AHCI_RESETTING,
  AHCI_TABLE_BYTES,
  AHCI_WORKING,
  AhciAdapter,
  AhciDisk,
  ahciSay,
  AhciWork,
  diskAt,
  pciOf,
  portAddress,
  portGet,
  portSet,
  recoveryOf,
  watchdogOf,
  workOf,
} from "./device";
import {
  AHCI_CAUSES_FATAL,
  portIdentify,
  portListen,
  portPresent,
  portReady,
  portReset,
  portRestart,
  portStart,
  portStopAll,
} from "./port";

const SECOND_NS: u64 = 1_000_000_000;
/** How often an adapter without an interrupt is looked at. */
const POLL_NS: u64 = 1_000_000;
/** How long the firmware may take to let go. */
const HANDOFF_NS: u64 = 100_000_000;
/** How long a disk may take to come back after a reset of its link. */
const RESET_SECONDS: u32 = 31;
const PAGE: u32 = 4096;
/** Sectors of a command: what 28-bit commands can say. */
const SECTORS_NARROW: u32 = 256;
const SECTORS_WIDE: u32 = 16384;
const ALL_ONES: u32 = 0xffffffff;

// BlockRequest.phase
const PHASE_REQUEST: u32 = 0;
const PHASE_FLUSH: u32 = 1; // the flush after a write with FUA

// --- Finding disks ------------------------------------------------------------------------------------------------------

function refuse(pci: PciDevice, words: string): bool {
  say("ahci ");
  pciSay(pci);
  say(": ");
  say(words);
  sayEnd();
  return false;
}

/** Has the firmware let go of the adapter, where it may have it (10.6.3). */
function takeOver(a: AhciAdapter): void {
  if (!(read32(a.registers + Ahci.CAP2) & AHCI_CAP2_BOH)) return;
  write32(a.registers + Ahci.BOHC, read32(a.registers + Ahci.BOHC) | AHCI_BOHC_OOS);
  const end = systemTime() + HANDOFF_NS;
  while (read32(a.registers + Ahci.BOHC) & AHCI_BOHC_BOS && systemTime() < end) {}
}

/** Takes an adapter that was found. False if there is no disk. */
export function ahciProbe(pci: PciDevice): bool {
  const a = changetype<AhciAdapter>(heapAllocate(offsetof<AhciAdapter>()));
  if (!changetype<usize>(a) || !pciBarsRead(pci)) return false;
  a.pci = changetype<usize>(pci);
  a.disks = heapAllocate(AHCI_PORTS_MAX * 4);
  a.pollTimer = heapAllocate(offsetof<Timer>());
  if (!a.disks || !a.pollTimer) return false;
  pciDecodeEnable(pci);
  // Registers of ports that there are not may lie beyond the BAR.
  const bytes = <u32>min<u64>(pciBar(pci, AHCI_BAR).size, Ahci.PORTS + AHCI_PORTS_MAX * Ahci.PORT_SIZE);
  if (bytes >= Ahci.PORTS) a.registers = pciBarMap(pci, AHCI_BAR, 0, bytes);
  // No firmware has given it a place: not worth a word.
  if (!a.registers) return false;
  takeOver(a);
  write32(a.registers + Ahci.GHC, AHCI_GHC_AE);
  const capabilities = read32(a.registers + Ahci.CAP);
  const ports = read32(a.registers + Ahci.PI);
  const reached = (bytes - Ahci.PORTS) / Ahci.PORT_SIZE;
  if (capabilities == ALL_ONES) return refuse(pci, "does not answer; not used");
  if (!(capabilities & AHCI_CAP_S64A)) return refuse(pci, "has no 64-bit addresses; not used");
  a.slots = ((capabilities >> AHCI_CAP_NCS_SHIFT) & 31) + 1;
  timerInit(changetype<Timer>(a.pollTimer), pollTick, changetype<usize>(a));
  let disks: u32 = 0;
  for (let port: u32 = 0; port < reached; port++) {
    if ((ports >> port) & 1 && probePort(a, port)) disks++;
  }
  if (disks == 0) return false;
  a.polled = pciInterruptsBind(pci, 1, PCI_ALLOW_MSI | PCI_ALLOW_PIN) == 0 ? 1 : 0;
  pciInterruptHandle(pci, 0, interrupt, changetype<usize>(a));
  write32(a.registers + Ahci.IS, ALL_ONES);
  write32(a.registers + Ahci.GHC, AHCI_GHC_AE | AHCI_GHC_IE);
  if (a.polled) timerSet(changetype<Timer>(a.pollTimer), systemTime() + POLL_NS);
  return true;
}

/** Allocates what a disk needs; false when out of memory. */
function prepare(d: AhciDisk): bool {
  d.work = heapAllocate(offsetof<AhciWork>());
  d.recovery = heapAllocate(offsetof<Recovery>());
  d.watchdog = heapAllocate(offsetof<Timer>());
  d.requests = heapAllocate(AHCI_SLOTS_MAX * 8);
  d.stamps = d.requests + AHCI_SLOTS_MAX * 4;
  d.lists = dmaAllocate(AHCI_LISTS_PAGES);
  d.tables = dmaAllocate((d.slots * AHCI_TABLE_BYTES + PAGE - 1) / PAGE);
  if (!d.work || !d.recovery || !d.watchdog || !d.requests || !d.lists || !d.tables) return false;
  workOf(d).disk = changetype<usize>(d);
  pollInit(workOf(d), workPoll);
  timerInit(watchdogOf(d), watchdogTick, changetype<usize>(d));
  return true;
}

/** Looks for a disk behind a port, and registers it. */
function probePort(a: AhciAdapter, port: u32): bool {
  const d = changetype<AhciDisk>(heapAllocate(offsetof<AhciDisk>()));
  if (!changetype<usize>(d)) return false;
  d.adapter = changetype<usize>(a);
  d.port = portAddress(a, port);
  d.unit = port;
  d.slots = a.slots;
  portSet(d, AhciPortRegister.IE, 0);
  // The firmware, or this domain before its restart, may have left it running.
  if (!portStopAll(d) && portPresent(d)) {
    ahciSay(d, "does not stop; not used");
    return false;
  }
  if (!portReady(d) || portGet(d, AhciPortRegister.SIG) != AHCI_SIG_ATA || !prepare(d)) return false;
  pciMasterEnable(pciOf(a));
  portStart(d);
  if (!portIdentify(d)) {
    portStopAll(d);
    ahciSay(d, "does not say what it is, or is no disk that can be used; not used");
    return false;
  }
  describe(d);
  portListen(d);
  store<u32>(a.disks + ((<usize>port) << 2), <u32>changetype<usize>(d));
  timerSet(watchdogOf(d), systemTime() + SECOND_NS);
  blockRegister(d);
  return true;
}

/** Fills in the rest of the record. */
function describe(d: AhciDisk): void {
  d.name = changetype<usize>("ahci");
  d.address = pciOf(adapterOf(d)).address;
  d.state = BLOCK_READY;
  d.wide = ataWide ? 1 : 0;
  d.flushCommand = ataFlush;
  d.segmentsMax = AHCI_REGIONS_MAX;
  d.segmentBytesMax = BLOCK_SEGMENT_BYTES_MAX;
  d.sectorsMax = (d.wide ? SECTORS_WIDE : SECTORS_NARROW) * (d.sectorSize >> 9);
  if (ataTrim) {
    d.features |= BLOCK_CAN_DISCARD;
    d.discardSectorsMax = AHCI_DISCARD_SECTORS_MAX;
  }
  d.depth = d.slots;
  d.submitFn = changetype<usize>(submit);
  d.kickFn = changetype<usize>(kick);
}

// --- Requests -----------------------------------------------------------------------------------------------------------

function requestAt(d: AhciDisk, slot: u32): BlockRequest {
  return changetype<BlockRequest>(load<u32>(d.requests + ((<usize>slot) << 2)));
}

function stamp(d: AhciDisk, slot: u32): void {
  store<u32>(d.stamps + ((<usize>slot) << 2), d.clock);
}

/** SubmitFn: the request was checked by blockSubmit. */
function submit(device: usize, requestAt: usize): i32 {
  const d = changetype<AhciDisk>(device);
  const r = changetype<BlockRequest>(requestAt);
  const slot = <u32>ctz(~d.used);
  if (d.mode != AHCI_WORKING || slot >= d.slots) {
    d.refused = 1;
    return -EAGAIN;
  }
  r.phase = PHASE_REQUEST;
  d.used |= (<u32>1) << slot;
  store<u32>(d.requests + ((<usize>slot) << 2), <u32>requestAt);
  stamp(d, slot);
  blockTaken(d, r);
  // A flush of what is not cached is done without asking; workPoll ends it.
  if (r.operation == BLOCK_FLUSH && !(d.features & BLOCK_HAS_CACHE)) {
    d.issued |= (<u32>1) << slot;
    pollEnter(workOf(d));
    return 0;
  }
  ahciPutRequest(d, slot, r);
  return 0;
}

/** BlockKickFn: tells the adapter of what was submitted. */
function kick(device: usize): void {
  const d = changetype<AhciDisk>(device);
  if (d.mode == AHCI_WORKING) ahciIssue(d, d.used & ~d.issued);
}

/** Frees a slot and ends its request, or goes on with its flush. */
function answered(d: AhciDisk, slot: u32, status: i32): void {
  const r = requestAt(d, slot);
  const bit = (<u32>1) << slot;
  d.issued &= ~bit;
  if (status == 0 && r.operation == BLOCK_WRITE && r.flags & BLOCK_FUA && d.features & BLOCK_HAS_CACHE) {
    if (r.phase == PHASE_REQUEST) {
      r.phase = PHASE_FLUSH;
      stamp(d, slot);
      ahciPutFlush(d, slot);
      ahciIssue(d, bit);
      return;
    }
  }
  d.used &= ~bit;
  blockDone(d, r, status);
}

/** Ends the requests that the adapter has carried out: those issued that it does not have any more. */
function takeAnswers(d: AhciDisk): void {
  let done = d.issued & ~portGet(d, AhciPortRegister.CI);
  if (done == 0) return;
  while (done) {
    const slot = <u32>ctz(done);
    done &= done - 1;
    answered(d, slot, 0);
  }
  blockReady(d);
}

// --- Interrupts and the turn --------------------------------------------------------------------------------------------

/** Collects a port's causes, and enters its disk. */
function collect(d: AhciDisk): void {
  const causes = portGet(d, AhciPortRegister.IS);
  portSet(d, AhciPortRegister.IS, causes);
  d.causes |= causes;
  pollEnter(workOf(d));
}

/** EventFn. */
function interrupt(record: usize): void {
  const a = changetype<AhciAdapter>(record);
  const ports = read32(a.registers + Ahci.IS);
  for (let port: u32 = 0; port < AHCI_PORTS_MAX; port++) {
    if ((ports >> port) & 1 && diskAt(a, port)) collect(changetype<AhciDisk>(diskAt(a, port)));
  }
  write32(a.registers + Ahci.IS, ports);
  pciInterruptDone(pciOf(a), 0);
}

/** PollFn. */
function workPoll(record: usize, budget: u32): bool {
  const d = changetype<AhciDisk>(changetype<AhciWork>(record).disk);
  if (d.mode != AHCI_WORKING) return false;
  const causes = d.causes;
  d.causes = 0;
  if (causes & AHCI_CAUSES_FATAL) failed(d, causes);
  else if (causes & AHCI_PORT_PCS && !portPresent(d)) fault(d, "is gone");
  else takeAnswers(d);
  return false;
}

/** The port has stopped at a command that failed, or for an error of the link. */
function failed(d: AhciDisk, causes: u32): void {
  const slot = (portGet(d, AhciPortRegister.CMD) >> AHCI_CMD_CCS_SHIFT) & 31;
  const left = d.issued & portGet(d, AhciPortRegister.CI);
  if (causes == ALL_ONES || !portPresent(d)) {
    fault(d, "is gone");
    return;
  }
  // Only the command in progress can have failed.
  const known = causes & AHCI_PORT_TFES && slot < d.slots && (left >> slot) & 1;
  if (!known || !portRestart(d)) {
    fault(d, "stops for an error that is no command's");
    return;
  }
  const done = d.issued & ~left;
  d.issued = done;
  for (let bits = done; bits; bits &= bits - 1) answered(d, <u32>ctz(bits), 0);
  answered(d, slot, -EIO);
  ahciIssue(d, d.used & ~d.issued);
  blockReady(d);
}

/** Fails all requests; how the disk goes on is for the caller. */
function failAll(d: AhciDisk): void {
  let bits = d.used;
  d.used = 0;
  d.issued = 0;
  for (; bits; bits &= bits - 1) blockDone(d, requestAt(d, <u32>ctz(bits)), -EIO);
}

/** The disk broke a rule or does not answer: everything it had fails, and its link is reset. */
function fault(d: AhciDisk, words: string): void {
  ahciSay(d, words);
  d.resets++;
  d.mode = AHCI_RESETTING;
  d.resetAt = d.clock;
  const allowed = recoveryAllowed(recoveryOf(d));
  portReset(d);
  failAll(d);
  if (!allowed) giveUp(d);
}

function giveUp(d: AhciDisk): void {
  d.mode = AHCI_OVER;
  d.state = BLOCK_GONE;
  timerStop(watchdogOf(d));
  portSet(d, AhciPortRegister.IE, 0);
  portStopAll(d);
  ahciSay(d, "given up");
  blockChanged(d);
  blockReady(d);
}

/** The longest that a request has been with the adapter, in ticks of `clock`. */
function oldest(d: AhciDisk): u32 {
  let most: u32 = 0;
  for (let bits = d.issued; bits; bits &= bits - 1) {
    most = max(most, d.clock - load<u32>(d.stamps + ((<usize>ctz(bits)) << 2)));
  }
  return most;
}

/** TimerFn, each second: the command that takes too long, the disk that comes back, the interrupt that was lost. */
function watchdogTick(record: usize): void {
  const d = changetype<AhciDisk>(record);
  timerSet(watchdogOf(d), systemTime() + SECOND_NS);
  d.clock++;
  if (d.mode == AHCI_RESETTING) {
    if (portReady(d)) comeBack(d);
    else if (d.clock - d.resetAt >= RESET_SECONDS) giveUp(d);
    return;
  }
  collect(d);
  if (oldest(d) >= BLOCK_TIMEOUT_SECONDS) fault(d, "leaves requests unanswered");
}

/** The disk is there again. */
function comeBack(d: AhciDisk): void {
  d.mode = AHCI_WORKING;
  d.causes = 0;
  portStart(d);
  portListen(d);
  blockChanged(d);
  blockReady(d);
}

/** TimerFn, for an adapter without an interrupt. */
function pollTick(record: usize): void {
  const a = changetype<AhciAdapter>(record);
  timerSet(changetype<Timer>(a.pollTimer), systemTime() + POLL_NS);
  for (let port: u32 = 0; port < AHCI_PORTS_MAX; port++) {
    if (!diskAt(a, port)) continue;
    const d = changetype<AhciDisk>(diskAt(a, port));
    if (d.mode == AHCI_WORKING && d.used != 0) collect(d);
  }
}
