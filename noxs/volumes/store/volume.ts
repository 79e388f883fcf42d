/**
 * Volumes in memory: those that are in use, and those that were a moment ago. What the volume table says of a volume (table.ts) is
 * older than its record here for as long as a transaction is not on the disk.
 */
import {
  BLOCK_BYTES,
  CHUNK_SECTORS,
  Entry,
  VOLUME_NAME_BYTES,
  VOLUME_SNAPSHOT,
  VolumeRecord,
} from "../../../abi/io/volume-format";
import { BlockDevice } from "../../../drivers/block";
import { heapAllocate } from "../../../drivers/host/heap";
import { sayText } from "../../../drivers/host/log";
import { Store, transactionOf } from "./store";
import { TaskList } from "../disks/task";

/** Volumes in memory, at most. */
export const VOLUMES_OPEN_MAX: u32 = 4096;
const POOL_STEP: u32 = 16;

/** A volume is a disk to its clients (volume-io.ts). */
@unmanaged
export class Volume extends BlockDevice {
  chain: usize; // Volumes of the same bucket, or free
  store: Store;
  id: u32;
  flags: u32; // VOLUME_*
  rootTarget: u32; // Entry of its tree's root
  rootBirth: u32;
  rootGeneration: u32;
  /** Epoch of the snapshot before it, 0 none: what was born up to it is shared. */
  sharedEpoch: u32;
  mapped: u32;
  /** The last transaction that changed it. */
  transaction: u64;
  changed: u32; // 1: among Store.changedVolumes
  changedNext: usize;
  readers: u32; // clients
  writers: u32;
  holds: u32; // jobs that must find it in memory
  operation: u32; // 1: an operation of the control channel is changing it
  /** 1: writes wait, because a snapshot is taken. */
  frozen: u32;
  writing: u32; // writes and discards in progress
  thawWaiters: TaskList;
  quietWaiters: TaskList;
  blocked: u32; // Pieces that wait for the right of way
  piecesHead: usize; // Pieces, in the order in which they have the right of way
  piecesTail: usize;
  name64: usize; // VOLUME_NAME_BYTES
}

const BUCKETS: u32 = 256;
const buckets: usize = memory.data(256 * 4);
let unused: usize = 0;
let made: u32 = 0;

function bucketOf(id: u32): usize {
  return buckets + ((<usize>(id & (BUCKETS - 1))) << 2);
}

/** The volume with this id if it is in memory, else 0. */
export function volumeInMemory(s: Store, id: u32): usize {
  for (let at = load<usize>(bucketOf(id)); at; at = changetype<Volume>(at).chain) {
    const v = changetype<Volume>(at);
    if (v.id == id && changetype<usize>(v.store) == changetype<usize>(s)) return at;
  }
  return 0;
}

/** Whether a volume has clients. */
export function volumeInUse(v: Volume): bool {
  return v.readers + v.writers != 0;
}

function evictable(v: Volume): bool {
  return !volumeInUse(v) && v.holds == 0 && !v.operation && !v.changed && v.piecesHead == 0;
}

/** Brings a volume into memory from its record in the table. 0 when there are too many. */
export function volumeLoad(s: Store, id: u32, record: usize, sharedEpoch: u32): usize {
  const at = take();
  if (!at) return 0;
  const v = changetype<Volume>(at);
  v.store = s;
  v.id = id;
  v.chain = load<usize>(bucketOf(id));
  store<usize>(bucketOf(id), at);
  v.flags = load<u32>(record, VolumeRecord.flags);
  v.rootTarget = load<u32>(record + VolumeRecord.root, Entry.target);
  v.rootBirth = load<u32>(record + VolumeRecord.root, Entry.birth);
  v.rootGeneration = load<u32>(record + VolumeRecord.root, Entry.generation);
  v.sharedEpoch = sharedEpoch;
  v.mapped = load<u32>(record, VolumeRecord.mapped);
  v.sectors = load<u64>(record, VolumeRecord.sectors);
  v.readOnly = v.flags & VOLUME_SNAPSHOT ? 1 : 0;
  v.sectorSize = s.disk.device.sectorSize;
  v.physicalSectorSize = BLOCK_BYTES;
  memory.copy(v.name64, record + VolumeRecord.name, VOLUME_NAME_BYTES);
  return at;
}

/** Whether another volume can be brought into memory. */
export function volumesRoom(): bool {
  if (!unused && made < VOLUMES_OPEN_MAX) grow();
  if (!unused) evict();
  return unused != 0;
}

function take(): usize {
  if (!volumesRoom()) return 0;
  const at = unused;
  const v = changetype<Volume>(at);
  unused = v.chain;
  const name64 = v.name64;
  memory.fill(at, 0, offsetof<Volume>());
  v.name64 = name64;
  v.thawWaiters = changetype<TaskList>(name64 + VOLUME_NAME_BYTES);
  v.quietWaiters = changetype<TaskList>(name64 + VOLUME_NAME_BYTES + 8);
  memory.fill(name64, 0, VOLUME_NAME_BYTES + 16);
  return at;
}

function grow(): void {
  for (let i: u32 = 0; i < POOL_STEP; i++) {
    const at = heapAllocate(offsetof<Volume>());
    if (!at) return;
    const v = changetype<Volume>(at);
    v.name64 = heapAllocate(VOLUME_NAME_BYTES + 16);
    if (!v.name64) return;
    v.chain = unused;
    unused = at;
    made++;
  }
}

/** Drops one volume that nothing needs. */
function evict(): void {
  for (let i: u32 = 0; i < BUCKETS; i++) {
    for (let at = load<usize>(bucketOf(i)); at; at = changetype<Volume>(at).chain) {
      if (!evictable(changetype<Volume>(at))) continue;
      drop(at);
      return;
    }
  }
}

function drop(at: usize): void {
  const v = changetype<Volume>(at);
  let link = bucketOf(v.id);
  while (load<usize>(link) != at) link = load<usize>(link) + offsetof<Volume>("chain");
  store<usize>(link, v.chain);
  v.chain = unused;
  unused = at;
}

/** The volume is deleted: it is not in memory any more. */
export function volumeForget(v: Volume): void {
  assert(evictable(v), "a volume that is in use is dropped");
  drop(changetype<usize>(v));
}

/** Drops all volumes of a store, none of which is in use. */
export function volumesForget(s: Store): void {
  for (let i: u32 = 0; i < BUCKETS; i++) {
    for (let at = load<usize>(bucketOf(i)); at;) {
      const v = changetype<Volume>(at);
      at = v.chain;
      if (changetype<usize>(v.store) != changetype<usize>(s)) continue;
      v.changed = 0;
      drop(changetype<usize>(v));
    }
  }
}

/** The current transaction changes the volume's record. */
export function volumeChange(v: Volume): void {
  const s = v.store;
  v.transaction = transactionOf(s);
  if (v.changed) return;
  v.changed = 1;
  v.changedNext = s.changedVolumes;
  s.changedVolumes = changetype<usize>(v);
  s.changedCount++;
}

/** Chunks of a volume of this size. */
export function chunksOf(sectors: u64): u32 {
  return <u32>((sectors + CHUNK_SECTORS - 1) / CHUNK_SECTORS);
}

/** Writes a volume's name into a line of the log. */
export function sayName(v: Volume): void {
  sayText(v.name64, VOLUME_NAME_BYTES);
}

/** Whether any volume of the store is in use. */
export function volumesInUse(s: Store): bool {
  for (let i: u32 = 0; i < BUCKETS; i++) {
    for (let at = load<usize>(bucketOf(i)); at; at = changetype<Volume>(at).chain) {
      const v = changetype<Volume>(at);
      if (changetype<usize>(v.store) == changetype<usize>(s) && (volumeInUse(v) || v.operation)) return true;
    }
  }
  return false;
}
