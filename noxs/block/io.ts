/**
 * Requests on their way: mapped, submitted to the vbd's target in parts that it takes, unmapped, answered. Grants are unmapped and
 * responses published for all requests that were finished since the last time, with one hypercall for the former and at most one
 * event for each ring.
 */
import { EIO, EOPNOTSUPP } from "../../abi/errno";
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
} from "../../abi/io/blkif";
import {
  BLOCK_DISCARD,
  BLOCK_FLUSH,
  BLOCK_FUA,
  BLOCK_READ,
  BLOCK_WRITE,
  BlockDevice,
  BlockRequest,
  blockSubmit,
} from "../../drivers/block";
import { pollEnter, pollInit, Pollable } from "../../drivers/poll";
import { segmentAt } from "../../drivers/segment";
import { bounceCopy, bounceGive, BOUNCE_MOST, bounceSegments, bounceTake, needsBounce } from "./bounces";
import { requestGive, segmentsOf } from "./entries";
import { mapFlush, mapRequest, unmapFlush, unmapRequest } from "./grants";
import { Request, REQUEST_DATA, REQUEST_FLUSH, Vbd } from "./records";
import { respond, responsesPublish } from "./responses";

/** Called when requests were answered: of each vbd, and at the end once with 0. */
export type AnsweredFn = (vbd: usize) => void;

const poll = changetype<Pollable>(memory.data(16, 8));
/** Requests that are being mapped, and those that are finished. */
let starting: usize = 0;
let startingLast: usize = 0;
let finished: usize = 0;
let finishedLast: usize = 0;
let answeredFn: usize = 0;
/** Vbds of which requests were answered in this turn. */
let told: usize = 0;

export function ioInit(fn: AnsweredFn): void {
  pollInit(poll, finishedRun);
  answeredFn = changetype<usize>(fn);
}

/** Begins with a request that was consumed; it is submitted by requestsStart. */
export function requestBegin(r: Request): void {
  const v = r.vbd;
  v.busy++;
  if (r.entry.reason != 0) {
    finish(r, r.entry.reason);
    return;
  }
  if (r.entry.count) mapRequest(r);
  r.next = 0;
  if (startingLast) changetype<Request>(startingLast).next = changetype<usize>(r);
  else starting = changetype<usize>(r);
  startingLast = changetype<usize>(r);
}

/** Maps what the requests begun need, and submits those that need not wait until they are alone. */
export function requestsStart(): void {
  mapFlush();
  while (starting) {
    const r = changetype<Request>(starting);
    starting = r.next;
    if (!starting) startingLast = 0;
    r.next = 0;
    r.vbd.busyBytes += r.bytes;
    if (r.status != 0) finishErrno(r, r.status);
    else if (r.vbd.barrier != changetype<usize>(r) || r.vbd.busy == 1) requestStart(r);
  }
}

/** Submits a request whose pages are mapped. */
export function requestStart(r: Request): void {
  const operation = r.entry.operation;
  if (operation == BLKIF_OP_FLUSH_DISKCACHE || operation == BLKIF_OP_WRITE_BARRIER) {
    r.step = REQUEST_FLUSH;
    const io = r.io;
    io.operation = BLOCK_FLUSH;
    io.flags = 0;
    io.sector = 0;
    io.sectors = 0;
    io.segments = 0;
    io.count = 0;
    submit(r);
  } else {
    data(r);
  }
}

function submit(r: Request): void {
  const io = r.io;
  io.done = changetype<usize>(submitted);
  io.cookie = changetype<usize>(r);
  const rc = blockSubmit(changetype<BlockDevice>(r.vbd.target.device), io);
  // There are fewer requests than any target takes at once: -EAGAIN is not among these.
  if (rc != 0) finishErrno(r, rc);
}

/** A part of the request is done. */
function submitted(request: usize, status: i32): void {
  const r = changetype<Request>(changetype<BlockRequest>(request).cookie);
  if (status != 0) finishErrno(r, status);
  else if (r.step == REQUEST_FLUSH || r.done < r.entry.sectors) data(r);
  else finishErrno(r, 0);
}

/** Submits the next part of the data, or of what is discarded. */
function data(r: Request): void {
  const e = r.entry;
  const d = changetype<BlockDevice>(r.vbd.target.device);
  const io = r.io;
  r.step = REQUEST_DATA;
  if (r.done == e.sectors) {
    finishErrno(r, 0);
    return;
  }
  io.flags = e.operation == BLKIF_OP_WRITE_BARRIER ? BLOCK_FUA : 0;
  io.sector = e.sector + r.done;
  if (e.operation == BLKIF_OP_DISCARD) {
    io.operation = BLOCK_DISCARD;
    io.sectors = <u32>min<u64>(e.sectors - r.done, d.discardSectorsMax);
    io.segments = 0;
    io.count = 0;
    r.done += io.sectors;
    submit(r);
    return;
  }
  io.operation = e.operation == BLKIF_OP_READ ? BLOCK_READ : BLOCK_WRITE;
  let segments = segmentsOf(r);
  let count = e.count;
  if (!r.bounces && needsBounce(r, d.sectorSize)) {
    if (r.bytes > BOUNCE_MOST) {
      finishErrno(r, -EIO);
      return;
    }
    if (!bounceTake(r)) return;
    if (io.operation == BLOCK_WRITE) bounceCopy(r, true);
  }
  if (r.bounces) {
    segments = bounceSegments(r);
    count = r.bounces;
  }
  const most = d.segmentsMax;
  let sectors: u32 = 0;
  let i = r.segment;
  for (; i < count && i - r.segment < most; i++) {
    const more = segmentAt(segments, i).bytes >> 9;
    if (sectors + more > d.sectorsMax) break;
    sectors += more;
  }
  io.segments = segments + <usize>r.segment * 16;
  io.count = i - r.segment;
  io.sectors = sectors;
  r.segment = i;
  r.done += sectors;
  if (sectors) submit(r);
  else finishErrno(r, -EIO);
}

function finishErrno(r: Request, status: i32): void {
  finish(r, status == 0 ? BLKIF_RSP_OKAY : status == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}

/** The request is done: its answer follows in this turn. */
function finish(r: Request, result: i32): void {
  r.result = result;
  if (r.bounces) {
    if (result == BLKIF_RSP_OKAY && r.entry.operation == BLKIF_OP_READ) bounceCopy(r, false);
    const next = bounceGive(r);
    if (next) data(changetype<Request>(next));
  }
  unmapRequest(r);
  r.next = 0;
  if (finishedLast) changetype<Request>(finishedLast).next = changetype<usize>(r);
  else finished = changetype<usize>(r);
  finishedLast = changetype<usize>(r);
  pollEnter(poll);
}

function count(r: Request): void {
  const s = r.vbd.stable;
  const e = r.entry;
  if (e.reason != 0) {
    s.refused++;
    return;
  }
  if (r.result != BLKIF_RSP_OKAY) {
    s.errors++;
    return;
  }
  if (e.operation == BLKIF_OP_READ) {
    s.reads++;
    s.readBytes += r.bytes;
  } else if (e.operation == BLKIF_OP_DISCARD) {
    s.discards++;
  } else if (r.bytes) {
    s.writes++;
    s.writtenBytes += r.bytes;
  } else {
    s.flushes++;
  }
}

/** Answers what was finished. */
function finishedRun(_record: usize, _budget: u32): bool {
  unmapFlush();
  const first = finished;
  finished = 0;
  finishedLast = 0;
  for (let at = first; at;) {
    const r = changetype<Request>(at);
    at = r.next;
    const v: Vbd = r.vbd;
    count(r);
    v.busy--;
    v.busyBytes -= r.entry.reason == 0 ? r.bytes : 0;
    if (v.barrier == changetype<usize>(r)) v.barrier = 0;
    if (v.disconnecting || v.removing) requestGive(r);
    else respond(r, r.result);
    if (v.told) continue;
    v.told = 1;
    v.toldNext = told;
    told = changetype<usize>(v);
  }
  responsesPublish();
  while (told) {
    const v = changetype<Vbd>(told);
    told = v.toldNext;
    v.told = 0;
    changetype<AnsweredFn>(answeredFn)(changetype<usize>(v));
  }
  changetype<AnsweredFn>(answeredFn)(0);
  return false;
}
