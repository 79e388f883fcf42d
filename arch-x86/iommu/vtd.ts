/**
 * Intel's VT-d (Virtualization Technology for Directed I/O, 4.1) in its legacy mode: a root table with an entry for each bus, context
 * tables with one for each device and function. An entry that is absent lets its device reach nothing.
 *
 * All units walk the same tables. Their features are what all of them have. A unit of another PCI segment than 0, whose devices nobody
 * drives, has a root table of its own, which is empty.
 */
import * as hw from "../hw";
import { allocFrame, allocRun } from "../supply";
import { DMA_FORMAT_VTD, dmaTablesInit, dmaTablesLevels, dmaTablesRoot, written } from "./tables";
import { IommuUnit, read32, read64, unitAt, unitCount, waitRegister, write32, write64 } from "./unit";
import {
  ONE_SHOT,
  VTD_DOMAIN,
  vtdCommand,
  vtdForgetAll,
  vtdForgetDevice,
  vtdForgetPages,
  vtdQueueStart,
  WRITE_BUFFER,
} from "./vtd-queue";
import { Fault, FAULT_ADDRESS, FAULT_DEVICE, FAULT_OTHER } from "./fault";

const VERSION: u32 = 0;
const CAP: u32 = 8;
const ECAP: u32 = 0x10;
const GCMD: u32 = 0x18;
const GSTS: u32 = 0x1c;
const ROOT: u32 = 0x20;
const FSTS: u32 = 0x34;
const FECTL: u32 = 0x38;
const PMEN: u32 = 0x64;

const TRANSLATION: u32 = 1 << 31;
const SET_ROOT: u32 = 1 << 30;
const REMAP_INTERRUPTS: u32 = 1 << 25;

const CAP_WRITE_BUFFER: u64 = 1 << 4;
const CAP_PROTECTED: u64 = 3 << 5;
/** Absent entries are cached, too. */
const CAP_CACHING: u64 = 1 << 7;
const CAP_LEVELS_3: u64 = 1 << 9;
const CAP_LEVELS_4: u64 = 1 << 10;
const CAP_LARGE: u64 = 1 << 34;
const CAP_SELECTIVE: u64 = 1 << 39;
const ECAP_COHERENT: u64 = 1 << 0;
const ECAP_QUEUE: u64 = 1 << 1;

const FECTL_MASK: u32 = 1 << 31;
const FSTS_OVERFLOW: u32 = 1 << 0;
const FSTS_PENDING: u32 = 1 << 1;
/** Of the last word of a fault's record. */
const RECORD_FULL: u32 = 1 << 31;
const RECORD_READ: u32 = 1 << 30;

const PRESENT: u64 = 1;
const WIDTH_3: u64 = 1;
const WIDTH_4: u64 = 2;
const DOMAIN_SHIFT: u64 = 8;

let rootTable: u64 = 0;
let emptyRoot: u64 = 0;
let selective: bool = false;
let writeBuffers: bool = false;
let cachesAbsent: bool = false;
/** Capabilities that all units have. */
let capabilities: u64 = 0;

const NO_MEMORY: string = "there is no memory for its tables";
const SILENT: string = "a VT-d unit does not do what it is told";

/** The units' common features; "" or why they cannot be used. */
function examine(): string {
  let all: u64 = ~0;
  let any: u64 = 0;
  let extended: u64 = ~0;
  for (let i: u32 = 0; i < unitCount(); i++) {
    const u = unitAt(i);
    const version = read32(u, VERSION);
    if (version == 0 || version == 0xffffffff) return "a VT-d unit does not answer";
    all &= read64(u, CAP);
    any |= read64(u, CAP);
    extended &= read64(u, ECAP);
  }
  if (!(extended & ECAP_QUEUE)) return "a VT-d unit has no invalidation queue";
  if (!(all & (CAP_LEVELS_3 | CAP_LEVELS_4))) return "its VT-d units agree on no depth of page tables";
  capabilities = all;
  selective = (all & CAP_SELECTIVE) != 0;
  writeBuffers = (any & CAP_WRITE_BUFFER) != 0;
  cachesAbsent = (any & CAP_CACHING) != 0;
  const levels: u32 = all & CAP_LEVELS_3 ? 3 : 4;
  const coherent = (extended & ECAP_COHERENT) != 0;
  return dmaTablesInit(DMA_FORMAT_VTD, levels, (all & CAP_LARGE) != 0, !coherent) ? "" : NO_MEMORY;
}

/** Turns all units on, with nothing attached. "" or why not: then they are off. */
export function vtdStart(): string {
  const why = examine();
  if (why.length) return why;
  const tables = allocRun(2);
  if (!tables) return NO_MEMORY;
  rootTable = tables << 12;
  emptyRoot = rootTable + 4096;
  written(rootTable, 8192);
  for (let i: u32 = 0; i < unitCount(); i++) {
    const queue = allocRun(2);
    if (!queue) return NO_MEMORY;
    unitAt(i).queue = queue << 12;
    unitAt(i).done = (queue + 1) << 12;
  }
  for (let i: u32 = 0; i < unitCount(); i++) {
    if (enable(unitAt(i))) continue;
    for (let j: u32 = 0; j <= i; j++) vtdCommand(unitAt(j), TRANSLATION, false);
    return SILENT;
  }
  return "";
}

function enable(u: IommuUnit): bool {
  // Firmware may have left it on.
  if (read32(u, GSTS) & TRANSLATION && !vtdCommand(u, TRANSLATION, false)) return false;
  if (read32(u, GSTS) & REMAP_INTERRUPTS && !vtdCommand(u, REMAP_INTERRUPTS, false)) return false;
  write32(u, FECTL, FECTL_MASK);
  faultsClear(u);
  if (!vtdQueueStart(u)) return false;
  if (writeBuffers) flushBuffers(u);
  write64(u, ROOT, u.segment ? emptyRoot : rootTable);
  if (!vtdCommand(u, SET_ROOT, true) || !vtdForgetAll(u) || !vtdCommand(u, TRANSLATION, true)) return false;
  if (read64(u, CAP) & CAP_PROTECTED) write32(u, PMEN, 0);
  return true;
}

/** Writes that old units keep back are in memory. */
function flushBuffers(u: IommuUnit): void {
  if (!(read64(u, CAP) & CAP_WRITE_BUFFER)) return;
  write32(u, GCMD, (read32(u, GSTS) & ~ONE_SHOT) | WRITE_BUFFER);
  waitRegister(u, GSTS, WRITE_BUFFER, 0);
}

/** What follows new entries: nothing on most units. */
export function vtdAdded(page: u64, order: u32): bool {
  if (!writeBuffers && !cachesAbsent) return true;
  return vtdRemoved(page, order);
}

/** What was cached of 2^order pages is forgotten by all units. False: one does not answer. */
export function vtdRemoved(page: u64, order: u32): bool {
  const choose = selective && order <= <u32>((capabilities >> 48) & 63);
  let i: u32 = 0;
  while (i < unitCount()) {
    if (writeBuffers) flushBuffers(unitAt(i));
    if (!vtdForgetPages(unitAt(i), page, order, choose)) return false;
    i++;
  }
  return true;
}

/** Address of a requester's context entry, its table made if there is none; 0: no memory. */
function contextOf(requester: u32, make: bool): u64 {
  const at = rootTable + (((<u64>requester) >> 8) << 4);
  let entry = hw.load64(at);
  if (!entry) {
    const frame = make ? allocFrame() : 0;
    if (!frame) return 0;
    written(frame << 12, 4096);
    entry = (frame << 12) | PRESENT;
    hw.store64(at, entry);
    written(at, 8);
  }
  return (entry & ~(<u64>0xfff)) + (((<u64>requester) & 0xff) << 4);
}

/** Lets a requester reach what the page tables map. False: no memory, or a unit does not answer. */
export function vtdAttach(requester: u32): bool {
  const at = contextOf(requester, true);
  if (!at) return false;
  hw.store64(at + 8, (dmaTablesLevels() == 3 ? WIDTH_3 : WIDTH_4) | (VTD_DOMAIN << DOMAIN_SHIFT));
  hw.store64(at, dmaTablesRoot() | PRESENT);
  written(at, 16);
  return forgetDevice(requester);
}

/** Undoes vtdAttach: it reaches nothing. False: a unit does not answer. */
export function vtdDetach(requester: u32): bool {
  const at = contextOf(requester, false);
  if (!at) return true;
  hw.store64(at, 0);
  hw.store64(at + 8, 0);
  written(at, 16);
  return forgetDevice(requester);
}

function forgetDevice(requester: u32): bool {
  for (let i: u32 = 0; i < unitCount(); i++) {
    const u = unitAt(i);
    if (writeBuffers) flushBuffers(u);
    if (u.segment == 0 && !vtdForgetDevice(u, requester)) return false;
  }
  return true;
}

function faultRegisters(u: IommuUnit): u32 {
  return (<u32>((read64(u, CAP) >> 24) & 0x3ff)) << 4;
}

function faultsClear(u: IommuUnit): void {
  const registers = faultRegisters(u);
  const records = <u32>((read64(u, CAP) >> 40) & 0xff) + 1;
  for (let i: u32 = 0; i < records; i++) write32(u, registers + (i << 4) + 12, RECORD_FULL);
  write32(u, FSTS, FSTS_OVERFLOW);
}

/** Takes the next fault that a unit has recorded (7.1.3). False: it has none. */
export function vtdFault(u: IommuUnit, fault: Fault): bool {
  const status = read32(u, FSTS);
  if (!(status & (FSTS_PENDING | FSTS_OVERFLOW))) return false;
  const records = <u32>((read64(u, CAP) >> 40) & 0xff) + 1;
  const first = (status >> 8) & 0xff;
  for (let i: u32 = 0; i < records; i++) {
    const at = faultRegisters(u) + (((first + i) % records) << 4);
    const word = read32(u, at + 12);
    if (!(word & RECORD_FULL)) continue;
    const reason = word & 0xff;
    fault.requester = read32(u, at + 8) & 0xffff;
    fault.address = read64(u, at) & ~(<u64>0xfff);
    fault.write = word & RECORD_READ ? 0 : 1;
    // Its root or context entry is absent; no right to write, or to read, at the address, or nothing there.
    fault.kind = reason == 1 || reason == 2 ? FAULT_DEVICE : reason == 5 || reason == 6 ? FAULT_ADDRESS : FAULT_OTHER;
    fault.reason = reason;
    write32(u, at + 12, RECORD_FULL);
    return true;
  }
  if (status & FSTS_OVERFLOW) write32(u, FSTS, FSTS_OVERFLOW);
  return false;
}
