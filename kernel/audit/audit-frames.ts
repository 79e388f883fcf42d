/**
 * Audit of memory: each frame has exactly the references that mappings account for, no frame has two owners or is mapped twice
 * in its owner's memory, a domain can access only frames of its own or shared with it, and all totals agree.
 *
 * Expected references are counted in a table of the heap, a window of the frame table at a time, so that the audit works
 * on machines of any size.
 */
import { say, sayDec, sayEnd } from "../../arch-x86/log";
import {
  P2M_FOREIGN,
  P2M_GRANT_RO,
  P2M_GRANT_RW,
  P2M_MMIO,
  P2M_MMIO_RO,
  P2M_MODULE,
  P2M_RAM,
  P2M_RAM_RO,
  P2M_SHARED,
  P2M_SHARED_RO,
} from "../../arch-x86/p2m-types";
import { P2M_END } from "../../arch-x86/p2m";
import { vcpuOf } from "../records/domain-access";
import { rule, violation } from "./audit-report";
import { overheadPromised } from "../memory/overhead";
import { HYPERVISOR_RESERVE, promisedFrames } from "../memory/promises";
import { Domain, DomainKind } from "../records/domain";
import { domainById, domainFirst } from "../records/domain-list";
import { softwareOf } from "../records/software-domain";
import { DomainFifo, FIFO_PAGE_WORDS, fifoFrameSlot, VcpuFifo } from "../events/event-fifo";
import { eventsOf } from "../events/event-port";
import {
  frameAllocated,
  frameNext,
  frameOwner,
  frameRefs,
  framesLimit,
  framesOfType,
  frameType,
  FrameType,
  freeFrames,
  totalFrames,
  sharedFrameAt,
} from "../memory/frames";
import { heapFree, heapTake } from "../memory/heap";
import { entryMfn, entryType, physmapLookup, physmapNext } from "../memory/physmap";

/** Frames in one window. */
const WINDOW: u64 = 65536;
/** In a counter: the frame is mapped as RAM by its owner. */
const MAPPED: u32 = 0x80000000;
/** In a counter: the frame is on its owner's list. */
const LISTED: u32 = 0x40000000;
const COUNT: u32 = 0x3fffffff;

let counters: usize = 0;
let first: u64 = 0;

/** Audits every frame. If there is no memory for its table, it logs that and checks nothing. */
export function auditFrames(): void {
  counters = heapTake((<usize>WINDOW) << 2);
  if (!counters) {
    violation(null, "no memory to audit the frames of", framesLimit());
    return;
  }
  let domainFrames: u64 = 0;
  for (first = 0; first < framesLimit(); first += WINDOW) {
    memory.fill(counters, 0, (<usize>WINDOW) << 2);
    for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
      gather(changetype<Domain>(at), first == 0);
    }
    for (let mfn = first; mfn < framesLimit() && mfn < first + WINDOW; mfn++) domainFrames += judge(mfn);
  }
  heapFree(counters, (<usize>WINDOW) << 2);
  auditSums(domainFrames);
}

/** The counter of a frame, 0 outside the window. */
function counterOf(mfn: u64): usize {
  return mfn >= first && mfn < first + WINDOW ? counters + ((<usize>(mfn - first)) << 2) : 0;
}

function note(mfn: u64, by: u32): void {
  const counter = counterOf(mfn);
  if (counter) store<u32>(counter, load<u32>(counter) + by);
}

/** Counts the references of `d`; checks its lists and mappings on the first window. */
function gather(d: Domain, check: bool): void {
  let listed: u32 = 0;
  for (let mfn: u64 = d.firstFrame; mfn != 0 && listed <= d.totalPages; mfn = frameNext(mfn)) {
    listed++;
    if (check) rule(frameOwner(mfn) == d.id && frameAllocated(mfn), d, "frame on its list that is not its own", mfn);
    mark(d, mfn, LISTED, "frame twice on the list");
  }
  if (check) rule(listed <= d.totalPages, d, "list of frames longer than its total", d.totalPages);
  let foreign: u32 = 0;
  for (let gfn = physmapNext(d, 0); gfn != P2M_END; gfn = physmapNext(d, gfn + 1)) {
    const entry = physmapLookup(d, gfn);
    const type = entryType(entry);
    const mfn = entryMfn(entry);
    if (type == P2M_FOREIGN || type == P2M_GRANT_RO || type == P2M_GRANT_RW) {
      foreign++;
      note(mfn, 1);
      if (check) rule(isLendable(mfn, type), d, "mapping of a frame that nobody lends", gfn);
    } else if (type == P2M_RAM || type == P2M_RAM_RO) {
      if (check) rule(frameOwner(mfn) == d.id && frameAllocated(mfn) && isRam(mfn), d, "RAM that is not its own", gfn);
      mark(d, mfn, MAPPED, "frame mapped twice");
    } else if (check) {
      auditSpecial(d, gfn, mfn, type);
    }
  }
  if (check) rule(foreign == d.foreignMaps, d, "count of others' frames mapped is not", foreign);
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null && v.infoMfn) note(v.infoMfn, 1);
    if (v != null && v.fifo) note(changetype<VcpuFifo>(v.fifo).control >> 12, 1);
  }
  if (d.software && softwareOf(d).callPagePa) note(softwareOf(d).callPagePa >> 12, 1);
  const fifo = d.events ? changetype<DomainFifo | null>(eventsOf(d).fifo) : null;
  for (let page: u32 = 0; fifo != null && page < fifo.words / FIFO_PAGE_WORDS; page++) {
    note(load<u32>(fifoFrameSlot(fifo, page)), 1);
  }
}

function mark(d: Domain, mfn: u64, flag: u32, twice: string): void {
  const counter = counterOf(mfn);
  if (!counter) return;
  const value = load<u32>(counter);
  if (value & flag) violation(d, twice, mfn);
  store<u32>(counter, value | flag);
}

function isRam(mfn: u64): bool {
  const type = frameType(mfn);
  return type == FrameType.Guest || type == FrameType.Engine;
}

/** A frame that others may map: a domain's RAM or grant table, for reading a boot module; never tables, heap or control blocks. */
function isLendable(mfn: u64, mapping: u32): bool {
  if (frameType(mfn) == FrameType.Module) return mapping == P2M_GRANT_RO;
  return isRam(mfn) || frameType(mfn) == FrameType.XenShared;
}

function auditSpecial(d: Domain, gfn: u64, mfn: u64, type: u32): void {
  if (type == P2M_MODULE) {
    rule(frameType(mfn) == FrameType.Module && d.kind == DomainKind.Software, d, "module that is none", gfn);
    return;
  }
  if (type == P2M_MMIO || type == P2M_MMIO_RO) {
    rule(frameType(mfn) == FrameType.Reserved && d.kind == DomainKind.Software, d, "device that is RAM", gfn);
    return;
  }
  rule(type == P2M_SHARED || type == P2M_SHARED_RO, d, "mapping of unknown type", gfn);
  rule((type == P2M_SHARED_RO) == (mfn == d.devicePageMfn), d, "device page that the guest can write, or none", gfn);
  rule(frameType(mfn) == FrameType.XenShared && frameOwner(mfn) == d.id, d, "shared frame that is not its own", gfn);
  rule(sharedFrameAt(mfn) == gfn + 1, d, "shared frame at another place than noted", gfn);
}

/** Compares a frame's references with those counted. Returns 1 for a domain's RAM, else 0. */
function judge(mfn: u64): u32 {
  const type = frameType(mfn);
  const value = load<u32>(counterOf(mfn));
  const mappings = value & COUNT;
  if (type == FrameType.Reserved || type == FrameType.Free) {
    rule(value == 0, null, "free frame in use", mfn);
    rule(type == FrameType.Reserved || frameRefs(mfn) == 0, null, "free frame with references", mfn);
    return 0;
  }
  const allocated = frameAllocated(mfn);
  if (frameRefs(mfn) != mappings + (allocated ? 1 : 0)) {
    violation(null, "references of a frame do not add up:", mfn);
    say("AUDIT:   type ");
    sayDec(type);
    say(", owner d");
    sayDec(frameOwner(mfn));
    say(allocated ? ", allocated, " : ", not allocated, ");
    sayDec(frameRefs(mfn));
    say(" references, ");
    sayDec(mappings);
    say(" mappings");
    sayEnd();
  }
  if (!isRam(mfn)) return 0;
  rule(domainById(frameOwner(mfn)) != null, null, "frame of a domain that is gone", mfn);
  rule(allocated == ((value & LISTED) != 0), null, "frame allocated to a domain but not on its list:", mfn);
  return 1;
}

function auditSums(domainFrames: u64): void {
  let byType: u64 = 0;
  for (let type: u32 = 0; type < <u32>FrameType.Count; type++) byType += framesOfType(type);
  rule(byType == totalFrames(), null, "frames by type do not sum to the machine's", byType);
  rule(framesOfType(FrameType.Free) == freeFrames(), null, "free frames are not", freeFrames());
  let pages: u64 = 0;
  let promised: u64 = HYPERVISOR_RESERVE;
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    pages += d.totalPages;
    promised += d.claimedPages + overheadPromised(d);
  }
  rule(pages == domainFrames, null, "frames of all domains are not", domainFrames);
  const ram = <u64>framesOfType(FrameType.Guest) + framesOfType(FrameType.Engine);
  rule(ram == domainFrames, null, "frames of type guest and engine are not", domainFrames);
  rule(promised == promisedFrames(), null, "frames promised are not", promised);
}
