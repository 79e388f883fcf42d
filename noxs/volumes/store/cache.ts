/**
 * The cache of metadata blocks: a fixed number of 4 KiB buffers that disks can access, for all stores together.
 *
 * A block that a transaction has changed stays until it is on the disk. Others are evicted, least recently used first, unless a
 * task holds on to them. Few enough tasks are admitted at once that there is always a buffer for what one of them needs next.
 */
import { EIO } from "../../../abi/errno";
import {
  BlockHeader,
  BLOCK_BYTES,
  BLOCK_SECTORS,
  IndexEntry,
  MAGIC_BITMAP,
  MAGIC_NODE,
  MAGIC_TABLE,
} from "../../../abi/io/volume-format";
import { BlockRequest, BLOCK_READ } from "../../../drivers/block";
import { dmaAllocate, dmaMachine } from "../../../drivers/host/dma";
import { heapAllocate } from "../../../drivers/host/heap";
import { say, sayDec, sayEnd } from "../../../drivers/host/log";
import { Segment, segmentSet } from "../../../drivers/segment";
import { crc32c } from "../disks/checksum";
import { diskSubmit } from "../disks/disk";
import { bitmapPages, blockValid, indexEntryOf, sectorOf, Store } from "./store";
import { Task, TASK_PINS, taskError, TaskList, taskReady, taskTake, taskWait, taskWakeAll, WAIT } from "../disks/task";

/** Buffers: 2.5 MiB. What transactions change (store.ts), what admitted tasks hold on to, and some to spare. */
export const CACHE_BLOCKS: u32 = 640;
const BUFFERS_PER_ALLOCATION: u32 = 128;
const BUCKETS: u32 = 1024;
/** Tasks that may use the cache at once. */
const ADMITTED_MAX: u32 = 32;

// CacheBlock.state
const FREE: u32 = 0;
const READING: u32 = 1;
const CLEAN: u32 = 2;
/** Changed by the current transaction. */
const DIRTY: u32 = 3;
/** As READING and CLEAN, but its block has been given to something else meanwhile: nothing finds it any more. */
const READING_LOST: u32 = 4;
const LOST: u32 = 5;

/** One buffer, and what is in it. */
@unmanaged
export class CacheBlock {
  hashNext: usize;
  // Among the blocks that can be evicted, least recently used first; or the free ones.
  newer: usize;
  older: usize;
  store: usize; // Store
  magic: u32; // MAGIC_*: what it is
  number: u32; // its block, or of a bitmap page which one it is
  state: u32;
  pins: u32;
  buffer: usize;
  machine: u64;
  waiters: TaskList;
  dirtyNext: usize;
  request: BlockRequest;
  segment: usize; // Segment
}

let buckets: usize = 0;
let oldest: usize = 0;
let newest: usize = 0;
let freeHead: usize = 0;
/** Buffers that are free or can be evicted. */
let available: u32 = 0;
let admitted: u32 = 0;
const admissionWaiters = changetype<TaskList>(memory.data(8, 8));
const roomWaiters = changetype<TaskList>(memory.data(8, 8));

/** What the last successful call returned. */
export let found: usize = 0;

/** Allocates the buffers; before anything else of this file. False when there is no memory. */
export function cacheInit(): bool {
  buckets = heapAllocate((<usize>BUCKETS) << 2);
  if (!buckets) return false;
  for (let i: u32 = 0; i < CACHE_BLOCKS;) {
    const buffers = dmaAllocate(BUFFERS_PER_ALLOCATION);
    if (!buffers) return false;
    for (let j: u32 = 0; j < BUFFERS_PER_ALLOCATION && i < CACHE_BLOCKS; i++, j++) {
      const at = heapAllocate(offsetof<CacheBlock>());
      if (!at) return false;
      const b = changetype<CacheBlock>(at);
      b.waiters = changetype<TaskList>(heapAllocate(offsetof<TaskList>()));
      b.request = changetype<BlockRequest>(heapAllocate(offsetof<BlockRequest>()));
      b.segment = heapAllocate(offsetof<Segment>());
      if (!b.segment) return false;
      b.buffer = buffers + <usize>j * BLOCK_BYTES;
      b.machine = dmaMachine(b.buffer);
      giveBuffer(b);
    }
  }
  return true;
}

// --- Tasks in the cache --------------------------------------------------------------------------------------------------

/** Lets a task use the cache: true, or it waits. It may have been let in before. */
export function cacheEnter(t: Task): bool {
  if (t.admitted) return true;
  if (admitted == ADMITTED_MAX) {
    taskWait(admissionWaiters, t);
    return false;
  }
  admitted++;
  t.admitted = 1;
  return true;
}

/** The task needs the cache no more, or has to wait for something other than a block: it lets go of what it holds. */
export function cacheLeave(t: Task): void {
  cacheDrop(t);
  if (!t.admitted) return;
  t.admitted = 0;
  admitted--;
  const next = taskTake(admissionWaiters);
  if (next) taskReady(changetype<Task>(next));
}

/** Lets go of the blocks that a task holds, but not of its place. */
export function cacheDrop(t: Task): void {
  while (t.pins) unpin(changetype<CacheBlock>(load<usize>(pinSlot(t, --t.pins))));
}

function pinSlot(t: Task, i: u32): usize {
  return changetype<usize>(t) + offsetof<Task>("pin0") + ((<usize>i) << 2);
}

/** The task holds on to the block; of too many it lets go of the one that it has not asked for the longest. */
function pin(t: Task, b: CacheBlock): void {
  let at: u32 = 0;
  while (at < t.pins && load<usize>(pinSlot(t, at)) != changetype<usize>(b)) at++;
  const held = at < t.pins;
  if (!held && t.pins == TASK_PINS) at = 0;
  if (held || t.pins == TASK_PINS) {
    if (!held) unpin(changetype<CacheBlock>(load<usize>(pinSlot(t, 0))));
    for (t.pins--; at < t.pins; at++) store<usize>(pinSlot(t, at), load<usize>(pinSlot(t, at + 1)));
  }
  store<usize>(pinSlot(t, t.pins++), changetype<usize>(b));
  if (held) return;
  if (b.pins++ == 0 && b.state == CLEAN) listRemove(b);
}

function unpin(b: CacheBlock): void {
  if (--b.pins != 0) return;
  if (b.state == CLEAN) {
    listAdd(b);
    roomMade();
  } else if (b.state == LOST) {
    giveBuffer(b);
  }
}

// --- Lists ---------------------------------------------------------------------------------------------------------------

function listAdd(b: CacheBlock): void {
  available++;
  b.newer = 0;
  b.older = newest;
  if (newest) changetype<CacheBlock>(newest).newer = changetype<usize>(b);
  else oldest = changetype<usize>(b);
  newest = changetype<usize>(b);
}

function listRemove(b: CacheBlock): void {
  available--;
  if (b.newer) changetype<CacheBlock>(b.newer).older = b.older;
  else newest = b.older;
  if (b.older) changetype<CacheBlock>(b.older).newer = b.newer;
  else oldest = b.newer;
}

function roomMade(): void {
  if (roomWaiters.head) taskWakeAll(roomWaiters, 0);
}

/** Whether the task can have `buffers` new blocks; if not, it waits. */
export function cacheRoom(t: Task, buffers: u32): bool {
  if (available >= buffers) return true;
  taskWait(roomWaiters, t);
  return false;
}

function bucketOf(s: usize, magic: u32, number: u32): usize {
  const hash = (number ^ (magic << 5) ^ ((<u32>s) >> 4)) * 0x9e3779b1;
  return buckets + ((<usize>(hash >> 22)) << 2);
}

function hashAdd(b: CacheBlock): void {
  const bucket = bucketOf(b.store, b.magic, b.number);
  b.hashNext = load<usize>(bucket);
  store<usize>(bucket, changetype<usize>(b));
}

function hashRemove(b: CacheBlock): void {
  let link = bucketOf(b.store, b.magic, b.number);
  while (load<usize>(link) != changetype<usize>(b)) {
    link = load<usize>(link) + offsetof<CacheBlock>("hashNext");
  }
  store<usize>(link, b.hashNext);
}

function lookup(s: Store, magic: u32, number: u32): usize {
  let at = load<usize>(bucketOf(changetype<usize>(s), magic, number));
  while (at) {
    const b = changetype<CacheBlock>(at);
    if (b.number == number && b.magic == magic && b.store == changetype<usize>(s)) return at;
    at = b.hashNext;
  }
  return 0;
}

/** A buffer for something new, in no list; 0 when there is none. */
function takeBuffer(): usize {
  const at = freeHead;
  if (at) {
    available--;
    freeHead = changetype<CacheBlock>(at).newer;
    return at;
  }
  const victim = oldest;
  if (!victim) return 0;
  listRemove(changetype<CacheBlock>(victim));
  hashRemove(changetype<CacheBlock>(victim));
  return victim;
}

function giveBuffer(b: CacheBlock): void {
  available++;
  b.state = FREE;
  b.newer = freeHead;
  freeHead = changetype<usize>(b);
  roomMade();
}

// --- Blocks --------------------------------------------------------------------------------------------------------------

/**
 * Gets a node of a tree or of the volume table, from the disk if need be, and has the task hold on to it. The task is admitted.
 * @param generation low half of the generation that it must have: that of the pointer to it
 * @returns 0: it is `found`; WAIT; -EIO it cannot be read, or is not what it should be
 */
export function nodeGet(t: Task, s: Store, magic: u32, number: u32, level: u32, generation: u32): i32 {
  if (!blockValid(s, number)) {
    damaged(s, magic, number, "is outside the metadata area");
    return -EIO;
  }
  const rc = get(t, s, magic, number, generation, sectorOf(s, number));
  if (rc != 0) return rc;
  if (load<u32>(changetype<CacheBlock>(found).buffer, BlockHeader.level) == level) return 0;
  damaged(s, magic, number, "is of another level");
  return -EIO;
}

/** As nodeGet, for a bitmap page; one that was never written is all zeroes. */
export function bitmapGet(t: Task, s: Store, page: u32): i32 {
  assert(page < bitmapPages(s), "no such bitmap page");
  const entry = indexEntryOf(s, page);
  const place = s.bitmapStart + 2 * page + load<u32>(entry, IndexEntry.slot);
  return get(t, s, MAGIC_BITMAP, page, load<u32>(entry, IndexEntry.generation), sectorOf(s, place));
}

function get(t: Task, s: Store, magic: u32, number: u32, generation: u32, sector: u64): i32 {
  const error = taskError(t);
  if (error) return error;
  assert(t.admitted, "a task that was not admitted");
  let at = lookup(s, magic, number);
  if (at) {
    const b = changetype<CacheBlock>(at);
    if (b.state == READING) {
      taskWait(b.waiters, t);
      return WAIT;
    }
    // What the current transaction has changed gets its header only when it is written.
    if (b.state == CLEAN && load<u32>(b.buffer, BlockHeader.generation) != generation) {
      damaged(s, magic, number, "is of another generation");
      return -EIO;
    }
    pin(t, b);
    found = at;
    return 0;
  }
  at = takeBuffer();
  if (!at) {
    taskWait(roomWaiters, t);
    return WAIT;
  }
  const b = changetype<CacheBlock>(at);
  identify(b, s, magic, number);
  if (magic == MAGIC_BITMAP && generation == 0) {
    memory.fill(b.buffer, 0, BLOCK_BYTES);
    b.state = CLEAN;
    listAdd(b);
    pin(t, b);
    found = at;
    return 0;
  }
  b.state = READING;
  taskWait(b.waiters, t);
  const r = b.request;
  r.operation = BLOCK_READ;
  r.flags = 0;
  r.sector = sector;
  r.sectors = BLOCK_SECTORS;
  r.segments = b.segment;
  r.count = 1;
  segmentSet(b.segment, 0, b.machine, b.buffer, BLOCK_BYTES);
  r.done = changetype<usize>(readDone);
  r.cookie = at;
  diskSubmit(s.disk, r);
  return WAIT;
}

function identify(b: CacheBlock, s: Store, magic: u32, number: u32): void {
  b.store = changetype<usize>(s);
  b.magic = magic;
  b.number = number;
  b.pins = 0;
  hashAdd(b);
}

/** A block was read: its waiters find it, and none of them can lose it again before it has run. */
function readDone(request: usize, status: i32): void {
  const b = changetype<CacheBlock>(changetype<BlockRequest>(request).cookie);
  const s = changetype<Store>(b.store);
  if (b.state == READING_LOST) {
    taskWakeAll(b.waiters, 0);
    giveBuffer(b);
    return;
  }
  if (status == 0 && !blockIntact(s, b.buffer, b.magic, b.number)) {
    damaged(s, b.magic, b.number, "is damaged");
    status = -EIO;
  } else if (status != 0) {
    damaged(s, b.magic, b.number, "cannot be read");
  }
  if (status != 0) {
    hashRemove(b);
    taskWakeAll(b.waiters, -EIO);
    giveBuffer(b);
    return;
  }
  b.state = CLEAN;
  listAdd(b);
  for (let at = taskTake(b.waiters); at; at = taskTake(b.waiters)) {
    pin(changetype<Task>(at), b);
    taskReady(changetype<Task>(at));
  }
}

/** Whether a block of metadata is what it says and should be. */
export function blockIntact(s: Store, buffer: usize, magic: u32, number: u32): bool {
  if (load<u32>(buffer, BlockHeader.magic) != magic || load<u32>(buffer, BlockHeader.number) != number) return false;
  if (load<u64>(buffer, BlockHeader.store) != s.id) return false;
  return load<u32>(buffer, BlockHeader.checksum) == blockChecksum(buffer);
}

/** CRC32C of a block with 0 for its checksum. */
function blockChecksum(buffer: usize): u32 {
  const was = load<u32>(buffer, BlockHeader.checksum);
  store<u32>(buffer, 0, BlockHeader.checksum);
  const sum = crc32c(buffer, BLOCK_BYTES);
  store<u32>(buffer, was, BlockHeader.checksum);
  return sum;
}

/** Writes the header of a block that goes to the disk. Its level stays. */
export function blockSeal(s: Store, buffer: usize, magic: u32, number: u32, generation: u64): void {
  store<u32>(buffer, magic, BlockHeader.magic);
  store<u32>(buffer, number, BlockHeader.number);
  store<u64>(buffer, generation, BlockHeader.generation);
  store<u64>(buffer, s.id, BlockHeader.store);
  store<u32>(buffer, blockChecksum(buffer), BlockHeader.checksum);
}

function damaged(s: Store, magic: u32, number: u32, what: string): void {
  say("volumes: disk ");
  sayDec(s.disk.index);
  if (magic == MAGIC_NODE) say(": tree block ");
  else if (magic == MAGIC_TABLE) say(": volume table block ");
  else say(": bitmap page ");
  sayDec(number);
  say(" ");
  say(what);
  sayEnd();
}

// --- Changes -------------------------------------------------------------------------------------------------------------

/** Whether the current transaction has changed a block: it may be changed again where it is. */
export function blockDirty(b: CacheBlock): bool {
  return b.state == DIRTY;
}

function dirtyAdd(s: Store, b: CacheBlock): void {
  b.state = DIRTY;
  b.dirtyNext = 0;
  if (s.dirtyLast) changetype<CacheBlock>(s.dirtyLast).dirtyNext = changetype<usize>(b);
  else s.dirty = changetype<usize>(b);
  s.dirtyLast = changetype<usize>(b);
}

/** The current transaction changes a bitmap page. The caller holds it. */
export function bitmapChange(s: Store, b: CacheBlock): void {
  if (b.state != DIRTY) dirtyAdd(s, b);
}

/** Moves a clean node to block `number`, to be changed there; on the disk it stays where it was. The caller holds it. */
export function nodeMove(s: Store, b: CacheBlock, number: u32): void {
  assert(b.state == CLEAN && b.pins != 0, "a node is moved that is not held");
  forget(s, number);
  hashRemove(b);
  b.number = number;
  hashAdd(b);
  dirtyAdd(s, b);
  s.nodes++;
}

/** Makes an empty node at block `number`, held by the task, for which cacheRoom has found room. The CacheBlock. */
export function nodeCreate(t: Task, s: Store, magic: u32, number: u32, level: u32): CacheBlock {
  const at = takeBuffer();
  assert(at, "no buffer for a new node");
  const b = changetype<CacheBlock>(at);
  forget(s, number);
  identify(b, s, magic, number);
  memory.fill(b.buffer, 0, BLOCK_BYTES);
  store<u32>(b.buffer, level, BlockHeader.level);
  dirtyAdd(s, b);
  s.nodes++;
  pin(t, b);
  return b;
}

/** Block `number` is given to something new: what the cache has of its earlier content must not be found. */
function forget(s: Store, number: u32): void {
  forgetKind(s, MAGIC_NODE, number);
  forgetKind(s, MAGIC_TABLE, number);
}

function forgetKind(s: Store, magic: u32, number: u32): void {
  const at = lookup(s, magic, number);
  if (!at) return;
  const b = changetype<CacheBlock>(at);
  assert(b.state != DIRTY, "a block was given out twice");
  hashRemove(b);
  if (b.state == READING) {
    b.state = READING_LOST;
  } else if (b.pins) {
    b.state = LOST;
  } else {
    listRemove(b);
    giveBuffer(b);
  }
}

/** Drops everything of a store, which is to be mounted anew or is gone. Nothing is in flight, no task holds anything. */
export function cacheForgetStore(s: Store): void {
  for (let i: usize = 0; i < BUCKETS; i++) {
    for (let at = load<usize>(buckets + (i << 2)); at;) {
      const b = changetype<CacheBlock>(at);
      at = b.hashNext;
      if (b.store != changetype<usize>(s)) continue;
      assert(b.pins == 0 && b.state != READING, "a store is dropped while it is used");
      hashRemove(b);
      if (b.state == CLEAN) listRemove(b);
      giveBuffer(b);
    }
  }
  s.dirty = 0;
  s.dirtyLast = 0;
  s.nodes = 0;
}

/** The transaction is on the disk. */
export function transactionClean(s: Store): void {
  for (let at = s.dirty; at;) {
    const b = changetype<CacheBlock>(at);
    at = b.dirtyNext;
    b.dirtyNext = 0;
    b.state = CLEAN;
    if (!b.pins) {
      listAdd(b);
      roomMade();
    }
  }
  s.dirty = 0;
  s.dirtyLast = 0;
  s.nodes = 0;
}
