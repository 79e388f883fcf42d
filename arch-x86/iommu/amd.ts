/**
 * AMD-Vi (AMD I/O Virtualization Technology, 3.08): a device table with an entry for each requester, an event log. An entry that is
 * not valid would let its device reach everything: those of devices that are not attached are valid, without any right, and lead to
 * an empty page table.
 *
 * All units have the same tables; a unit of another PCI segment than 0, whose devices nobody drives, has a device table of its own.
 */
import * as hw from "../hw";
import { allocRun } from "../supply";
import { AMD_DOMAIN, amdForgetDevice, amdForgetPages } from "./amd-queue";
import { Fault, FAULT_ADDRESS, FAULT_DEVICE, FAULT_OTHER } from "./fault";
import { CACHES_ABSENT } from "./ivrs";
import { DMA_FORMAT_AMD, dmaTablesInit, dmaTablesLevels, dmaTablesRoot } from "./tables";
import { IommuUnit, QUEUE_ENTRIES, read32, unitAt, unitCount, write32, write64 } from "./unit";

const DEVICE_TABLE: u32 = 0;
const COMMANDS: u32 = 8;
const EVENTS: u32 = 0x10;
const CONTROL: u32 = 0x18;
const EXCLUSION: u32 = 0x20;
const COMMAND_HEAD: u32 = 0x2000;
const COMMAND_TAIL: u32 = 0x2008;
const EVENT_HEAD: u32 = 0x2010;
const EVENT_TAIL: u32 = 0x2018;
const STATUS: u32 = 0x2020;

const ENABLE: u32 = 1 << 0;
const LOG_EVENTS: u32 = 1 << 2;
const COHERENT: u32 = 1 << 10;
const TAKE_COMMANDS: u32 = 1 << 12;
const STATUS_OVERFLOW: u32 = 1 << 0;
/** Of a queue's base register: 2^8 entries. */
const ENTRIES_256: u64 = 8 << 56;

const ENTRY_BYTES: u64 = 32;
/** Requesters of one bus take two frames of the device table. */
const BUS_FRAMES: u32 = 2;
const VALID: u64 = 3;
const DEPTH_SHIFT: u64 = 9;
const READ: u64 = 1 << 61;
const WRITE: u64 = 1 << 62;

const EVENT_PAGE_FAULT: u32 = 2;
const EVENT_WRITE: u32 = 1 << 21;

const NO_MEMORY: string = "there is no memory for its tables";
const SILENT: string = "an AMD-Vi unit does not do what it is told";

let deviceTable: u64 = 0;
let emptyTable: u64 = 0;
/** Requesters from here up have no entry: they reach nothing. */
let requesters: u32 = 0;
let cachesAbsent: bool = false;
/** The entry of a device that is not attached. */
let blocked: u64 = 0;

/**
 * Turns all units on, with nothing attached. "" or why not: then they are off.
 * @param lastBus the highest number of a bus
 */
export function amdStart(lastBus: u32): string {
  if (!dmaTablesInit(DMA_FORMAT_AMD, 3, true, false)) return NO_MEMORY;
  requesters = (lastBus + 1) << 8;
  const frames = (lastBus + 1) * BUS_FRAMES;
  const table = allocRun(frames);
  const empty = allocRun(2);
  if (!table || !empty) return NO_MEMORY;
  deviceTable = table << 12;
  emptyTable = empty << 12;
  blocked = (emptyTable + 4096) | ((<u64>dmaTablesLevels()) << DEPTH_SHIFT) | VALID;
  for (let at = deviceTable; at < deviceTable + ((<u64>frames) << 12); at += ENTRY_BYTES) hw.store64(at, blocked);
  for (let at = emptyTable; at < emptyTable + 4096; at += ENTRY_BYTES) hw.store64(at, blocked);
  for (let i: u32 = 0; i < unitCount(); i++) {
    const u = unitAt(i);
    const memory = allocRun(3);
    if (!memory) return NO_MEMORY;
    u.queue = memory << 12;
    u.done = (memory + 1) << 12;
    u.events = (memory + 2) << 12;
    if (u.control & CACHES_ABSENT) cachesAbsent = true;
  }
  for (let i: u32 = 0; i < unitCount(); i++) {
    if (enable(unitAt(i), frames)) continue;
    for (let j: u32 = 0; j <= i; j++) write32(unitAt(j), CONTROL, 0);
    return SILENT;
  }
  return "";
}

function enable(u: IommuUnit, frames: u32): bool {
  if (read32(u, CONTROL) == 0xffffffff) return false;
  write64(u, CONTROL, 0);
  write64(u, EXCLUSION, 0);
  write64(u, DEVICE_TABLE, u.segment ? emptyTable : deviceTable | (frames - 1));
  write64(u, COMMANDS, u.queue | ENTRIES_256);
  write64(u, COMMAND_HEAD, 0);
  write64(u, COMMAND_TAIL, 0);
  write64(u, EVENTS, u.events | ENTRIES_256);
  write64(u, EVENT_HEAD, 0);
  write64(u, EVENT_TAIL, 0);
  const control = (u.control & ~CACHES_ABSENT) | COHERENT | LOG_EVENTS | TAKE_COMMANDS | ENABLE;
  write32(u, CONTROL, control);
  if ((read32(u, CONTROL) & (ENABLE | TAKE_COMMANDS)) != (ENABLE | TAKE_COMMANDS)) return false;
  // Nothing is cached of tables that it has not seen; but of firmware's there may be.
  for (let requester: u32 = 0; requester < requesters; requester++) {
    if (!amdForgetDevice(u, requester)) return false;
  }
  return true;
}

/** What follows new entries: nothing on most units. False: one does not answer. */
export function amdAdded(page: u64, order: u32): bool {
  return !cachesAbsent || amdRemoved(page, order);
}

/** What was cached of 2^order pages is forgotten by all units. False: one does not answer. */
export function amdRemoved(page: u64, order: u32): bool {
  for (let i: u32 = 0; i < unitCount(); i++) if (!amdForgetPages(unitAt(i), page, order)) return false;
  return true;
}

/** Lets a requester reach what the page tables map. False: there is no entry for it, or a unit does not answer. */
export function amdAttach(requester: u32): bool {
  if (requester >= requesters) return false;
  const at = deviceTable + <u64>requester * ENTRY_BYTES;
  hw.store64(at + 8, AMD_DOMAIN);
  hw.store64(at, dmaTablesRoot() | ((<u64>dmaTablesLevels()) << DEPTH_SHIFT) | READ | WRITE | VALID);
  return forgetDevice(requester);
}

/** Undoes amdAttach: it reaches nothing. False: a unit does not answer. */
export function amdDetach(requester: u32): bool {
  if (requester >= requesters) return true;
  const at = deviceTable + <u64>requester * ENTRY_BYTES;
  hw.store64(at, blocked);
  hw.store64(at + 8, 0);
  return forgetDevice(requester);
}

function forgetDevice(requester: u32): bool {
  for (let i: u32 = 0; i < unitCount(); i++) {
    const u = unitAt(i);
    if (u.segment == 0 && !amdForgetDevice(u, requester)) return false;
  }
  return true;
}

/**
 * Takes the next fault of a unit's event log (2.5). False: it has none. QEMU 7.2 writes only the requester where it belongs: the code,
 * the address and the direction are then wrong.
 */
export function amdFault(u: IommuUnit, fault: Fault): bool {
  if (read32(u, STATUS) & STATUS_OVERFLOW) {
    const control = read32(u, CONTROL);
    write32(u, CONTROL, control & ~LOG_EVENTS);
    write32(u, STATUS, STATUS_OVERFLOW);
    write32(u, CONTROL, control);
  }
  if (u.eventHead == read32(u, EVENT_TAIL) >> 4) return false;
  const at = u.events + ((<u64>u.eventHead) << 4);
  const low = hw.load64(at);
  const flags = <u32>(low >> 32);
  const code = flags >> 28;
  fault.requester = (<u32>low) & 0xffff;
  fault.address = hw.load64(at + 8) & ~(<u64>0xfff);
  fault.write = flags & EVENT_WRITE ? 1 : 0;
  fault.kind = !isAttached(fault.requester) ? FAULT_DEVICE : code == EVENT_PAGE_FAULT ? FAULT_ADDRESS : FAULT_OTHER;
  fault.reason = code;
  hw.store64(at, 0);
  hw.store64(at + 8, 0);
  u.eventHead = (u.eventHead + 1) & (QUEUE_ENTRIES - 1);
  write32(u, EVENT_HEAD, u.eventHead << 4);
  return true;
}

function isAttached(requester: u32): bool {
  return requester < requesters && (hw.load64(deviceTable + <u64>requester * ENTRY_BYTES) & READ) != 0;
}
