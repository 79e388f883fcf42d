/**
 * Pieces: the parts of a client's request that are served one by one, each within one chunk, or within several that follow each
 * other on the disk.
 *
 * Pieces of a volume that touch the same chunk have the right of way in the order in which they came, unless none of them is
 * exclusive: reads, and writes that overwrite, share a chunk; what changes which chunk of the store it is has it alone.
 */
import { BlockRequest } from "../../drivers/block";
import { heapAllocate } from "../../drivers/host/heap";
import { Segment } from "../../drivers/segment";
import { Task, TaskList, taskInit, taskReady, taskWait, taskWakeOne } from "./disks/task";
import { Volume } from "./store/volume";

export const PIECES_MAX: u32 = 512;
/** Segments of a piece. */
export const PIECE_SEGMENTS: u32 = 64;

// Piece.step
export const PIECE_LOCK: u32 = 0; // waits for the right of way
export const PIECE_LOOK: u32 = 1; // looks its chunk up, and decides
export const PIECE_COPY: u32 = 2; // what it keeps of a shared chunk is being read
export const PIECE_MOVE: u32 = 3; // its data is under way
export const PIECE_MARK: u32 = 4; // its chunk is changed in the volume's tree

@unmanaged
export class Piece extends Task {
  next: usize; // in the volume's list, or among the free ones
  previous: usize;
  volume: Volume;
  transfer: usize; // Transfer
  step: u32;
  first: u32; // chunks of the volume
  last: u32;
  exclusive: u32;
  blocked: u32; // 1: it waits for the right of way
  offset: u32; // in the request, in sectors
  sectors: u32;
  done: u32; // sectors of it that were read, where it is read bit by bit
  target: u32; // first chunk of the store
  mask: u32; // blocks that were written before
  birth: u32;
  bits: u32; // blocks that it touches
  change: u32; // 1: the tree is changed when the data is written
  reserved: u32; // chunk reserved for it, 0 none
  promised: u32; // blocks of the metadata area promised to it
  counted: u32; // 1: in Volume.writing
  bounce: usize;
  io: BlockRequest;
  segments: usize;
}

let free: usize = 0;
let freeCount: u32 = 0;
/** Transfers that wait for a piece. */
const waiters = changetype<TaskList>(memory.data(8, 8));

/** Allocates the pieces; false when there is no memory. */
export function piecesInit(): bool {
  for (let i: u32 = 0; i < PIECES_MAX; i++) {
    const at = heapAllocate(offsetof<Piece>());
    if (!at) return false;
    const p = changetype<Piece>(at);
    p.io = changetype<BlockRequest>(heapAllocate(offsetof<BlockRequest>()));
    p.segments = heapAllocate(PIECE_SEGMENTS * offsetof<Segment>());
    if (!p.segments) return false;
    p.next = free;
    free = at;
    freeCount++;
  }
  return true;
}

/** Pieces that are not in use. */
export function piecesFree(): u32 {
  return freeCount;
}

/** A transfer that was told of a free piece does not need it: it is for the next one. */
export function pieceOffer(): void {
  if (free) taskWakeOne(waiters);
}

/** Takes a piece of `v`, at the end of its list; 0, and the task waits, when there is none. */
export function pieceTake(t: Task, v: Volume, fn: (piece: usize) => void): usize {
  const at = free;
  if (!at) {
    taskWait(waiters, t);
    return 0;
  }
  const p = changetype<Piece>(at);
  free = p.next;
  freeCount--;
  taskInit(p, fn);
  p.volume = v;
  p.step = PIECE_LOCK;
  p.exclusive = 0;
  p.blocked = 0;
  p.sectors = 0;
  p.done = 0;
  p.target = 0;
  p.mask = 0;
  p.bits = 0;
  p.change = 0;
  p.reserved = 0;
  p.promised = 0;
  p.counted = 0;
  p.bounce = 0;
  append(v, p);
  return at;
}

/** Gives a piece back. Those behind it get the right of way. */
export function pieceGive(p: Piece): void {
  const v = p.volume;
  remove(v, p);
  p.next = free;
  free = changetype<usize>(p);
  freeCount++;
  unblock(v);
  taskWakeOne(waiters);
}

function append(v: Volume, p: Piece): void {
  p.next = 0;
  p.previous = v.piecesTail;
  if (v.piecesTail) changetype<Piece>(v.piecesTail).next = changetype<usize>(p);
  else v.piecesHead = changetype<usize>(p);
  v.piecesTail = changetype<usize>(p);
}

function remove(v: Volume, p: Piece): void {
  if (p.next) changetype<Piece>(p.next).previous = p.previous;
  else v.piecesTail = p.previous;
  if (p.previous) changetype<Piece>(p.previous).next = p.next;
  else v.piecesHead = p.next;
}

function conflict(p: Piece, q: Piece): bool {
  return (p.exclusive != 0 || q.exclusive != 0) && p.first <= q.last && q.first <= p.last;
}

/** Whether nothing before the piece is in its way; if something is, it is run when that is over. */
export function rightOfWay(p: Piece): bool {
  for (let at = p.volume.piecesHead; at != changetype<usize>(p); at = changetype<Piece>(at).next) {
    if (!conflict(p, changetype<Piece>(at))) continue;
    if (!p.blocked) {
      p.blocked = 1;
      p.volume.blocked++;
    }
    return false;
  }
  if (p.blocked) {
    p.blocked = 0;
    p.volume.blocked--;
  }
  return true;
}

function unblock(v: Volume): void {
  if (!v.blocked) return;
  for (let at = v.piecesHead; at; at = changetype<Piece>(at).next) {
    const p = changetype<Piece>(at);
    if (p.blocked && rightOfWay(p)) taskReady(p);
  }
}

/** The piece needs its chunk alone: it gives up its place, for which others may have waited, and has to wait for its turn again. */
export function becomeExclusive(p: Piece): void {
  remove(p.volume, p);
  p.exclusive = 1;
  p.step = PIECE_LOCK;
  append(p.volume, p);
  unblock(p.volume);
}

/** Whether a piece that shares its chunks may have the next one too: nothing has that alone, or waits to. */
export function mayExtend(p: Piece): bool {
  if (p.exclusive) return false;
  const chunk = p.last + 1;
  for (let at = p.volume.piecesHead; at; at = changetype<Piece>(at).next) {
    const q = changetype<Piece>(at);
    if (q.exclusive && q.first <= chunk && chunk <= q.last) return false;
  }
  return true;
}
