/** Places for stores, and the memory that each needs: made when a place is first used, and kept. */
import { BLOCK_BYTES, BLOCK_SECTORS, SUPER_INDEX_MAX } from "../../../abi/io/volume-format";
import { dmaAllocate, dmaMachine } from "../../../drivers/host/dma";
import { heapAllocate } from "../../../drivers/host/heap";
import { commitInit } from "./commit";
import { Disk } from "../disks/disk";
import { jobsInit } from "./jobs";
import {
  BITMAP_PAGES_MAX,
  FREES_MAX,
  RESERVED_MAX,
  Store,
  STORE_ABSENT,
  STORE_BLOCKS_MAX,
  storeAt,
  STORES_MAX,
} from "./store";
import { Task, TaskList } from "../disks/task";
import { TaskIo, taskIoMake } from "../disks/task-io";

/** Called when a store has been mounted or formatted, or not: `status` is 0 or -errno. */
export type StoreDoneFn = (store: usize, cookie: usize, status: i32) => void;

/** Mounting and formatting a store. */
@unmanaged
export class StoreTask extends Task {
  store: Store;
  io: TaskIo;
  step: u32;
  busy: u32; // 1: `io` is in flight, or done and not looked at
  item: u32; // index page, or record of the log
  second: usize; // a superblock beside the store's
  secondMachine: u64;
  intact: u32; // bit for each superblock
  newer: u32; // which one is believed
  doneFn: usize; // StoreDoneFn
  cookie: usize;
}

/** StoreTask of each place, 0 for none yet. */
const tasks: usize = memory.data(4 * 4);

/** The task of a store's place. */
export function storeTaskOf(s: Store): StoreTask {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    if (changetype<usize>(storeAt(i)) == changetype<usize>(s)) {
      return changetype<StoreTask>(load<usize>(tasks + ((<usize>i) << 2)));
    }
  }
  return unreachable();
}

/** A free place for a store on the disk, from sector `first` on; 0 when there is none, or no memory. */
export function storePlace(d: Disk, first: u64, sectors: u64): usize {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    const s = storeAt(i);
    if (s.state != STORE_ABSENT) continue;
    if (!load<usize>(tasks + ((<usize>i) << 2)) && !prepare(s, i)) return 0;
    reset(s);
    s.disk = d;
    s.firstSector = first;
    s.partitionBlocks = <u32>min(sectors / BLOCK_SECTORS, STORE_BLOCKS_MAX);
    s.readOnly = d.device.readOnly;
    return changetype<usize>(s);
  }
  return 0;
}

/** The store on this disk that begins at this sector, 0 none. */
export function storeFind(d: Disk, first: u64): usize {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    const s = storeAt(i);
    if (s.state == STORE_ABSENT || changetype<usize>(s.disk) != changetype<usize>(d)) continue;
    if (s.firstSector == first) return changetype<usize>(s);
  }
  return 0;
}

function prepare(s: Store, i: u32): bool {
  const t = changetype<StoreTask>(heapAllocate(offsetof<StoreTask>()));
  const lists = heapAllocate(32);
  if (!changetype<usize>(t) || !lists) return false;
  t.store = s;
  t.io = changetype<TaskIo>(taskIoMake());
  s.index = dmaAllocate(SUPER_INDEX_MAX);
  s.superblock = dmaAllocate(2);
  s.touched = heapAllocate(BITMAP_PAGES_MAX / 8);
  s.frees = heapAllocate(FREES_MAX * 4);
  s.reserved = heapAllocate(RESERVED_MAX * 4);
  if (!changetype<usize>(t.io) || !s.index || !s.superblock) return false;
  if (!s.touched || !s.frees || !s.reserved || !commitInit(s) || !jobsInit(s)) return false;
  s.indexMachine = dmaMachine(s.index);
  s.superblockMachine = dmaMachine(s.superblock);
  t.second = s.superblock + BLOCK_BYTES;
  t.secondMachine = s.superblockMachine + BLOCK_BYTES;
  s.flushWaiters = changetype<TaskList>(lists);
  s.commitWaiters = changetype<TaskList>(lists + 8);
  s.reserveWaiters = changetype<TaskList>(lists + 16);
  s.checkWaiters = changetype<TaskList>(lists + 24);
  store<usize>(tasks + ((<usize>i) << 2), changetype<usize>(t));
  return true;
}

/** Forgets what an earlier store in this place was; its memory stays. */
function reset(s: Store): void {
  s.reason = 0;
  s.readOnly = 0;
  s.indexChanged = 0;
  s.indexSlots = 0;
  s.mirrored = 0;
  s.dirty = 0;
  s.dirtyLast = 0;
  s.nodes = 0;
  s.bitmaps = 0;
  memory.fill(s.touched, 0, BITMAP_PAGES_MAX / 8);
  s.freesCount = 0;
  s.changedVolumes = 0;
  s.changedCount = 0;
  s.metadataPromised = 0;
  memory.fill(s.reserved, 0, RESERVED_MAX * 4);
  s.reservedCount = 0;
  s.commitPhase = 0;
  s.failed = 0;
  s.replaying = 0;
  s.log = 0;
  s.checking = 0;
  s.jobId = 0;
  s.jobKind = 0;
  s.jobCursor = 0;
  s.jobNext = 0;
  s.jobScan = 0;
}
