/**
 * Makes an empty store in a partition. Until the last steps nothing that was there before is found as a store any more: its superblocks
 * are overwritten first.
 */
import { EINVAL, EROFS } from "../../../abi/errno";
import { BLOCK_BYTES, BLOCK_SECTORS, IndexEntry, MAGIC_INDEX } from "../../../abi/io/volume-format";
import { blockSeal } from "./cache";
import { Store, STORE_ABSENT, STORE_MOUNTING, bitmapPages, bitsOfPage, indexEntryOf, sectorOf } from "./store";
import { StoreDoneFn, StoreTask, storeTaskOf } from "./stores";
import { geometrySet, superblockFill, superblockIndex, superblockSeal } from "./superblock";
import { taskInit, taskReady } from "../disks/task";
import { taskFlush, taskWrite } from "../disks/task-io";

// StoreTask.step
const CLEAR_FIRST: u32 = 0;
const CLEAR_SECOND: u32 = 1;
const INDEX: u32 = 2;
const FLUSH: u32 = 3;
const WRITE_FIRST: u32 = 4;
const WRITE_SECOND: u32 = 5;

/**
 * Formats the partition of a store (storePlace), which is then STORE_ABSENT in any case: it is to be mounted. `fn` is told: 0;
 * -EINVAL the partition is too small; -EROFS; -EIO and other errors of the disk.
 * @param id, id1 the new store's UUID, random
 */
export function formatStart(s: Store, id: u64, id1: u64, fn: StoreDoneFn, cookie: usize): void {
  const t = storeTaskOf(s);
  s.state = STORE_MOUNTING;
  taskInit(t, formatRun);
  t.doneFn = changetype<usize>(fn);
  t.cookie = cookie;
  t.step = CLEAR_FIRST;
  t.busy = 0;
  t.item = 0;
  s.id = id;
  s.id1 = id1;
  s.generation = 0;
  s.epoch = 1;
  s.tableTarget = 0;
  s.tableGeneration = 0;
  s.volumes = 0;
  s.jobs = 0;
  s.jobId = 0;
  s.indexSlots = 0;
  taskReady(t);
}

function finish(t: StoreTask, status: i32): void {
  const s = t.store;
  s.state = STORE_ABSENT;
  changetype<StoreDoneFn>(t.doneFn)(changetype<usize>(s), t.cookie, status);
}

function formatRun(task: usize): void {
  const t = changetype<StoreTask>(task);
  const s = t.store;
  if (t.busy) {
    t.busy = 0;
    if (t.io.status != 0) {
      finish(t, t.io.status);
      return;
    }
    if (t.step == WRITE_SECOND) {
      finish(t, 0);
      return;
    }
    if (t.step == INDEX && ++t.item < s.indexPages) {
      indexWrite(t, s);
      return;
    }
    t.step++;
  } else if (s.readOnly) {
    finish(t, -EROFS);
    return;
  } else if (!geometrySet(s, s.partitionBlocks)) {
    finish(t, -EINVAL);
    return;
  }
  t.busy = 1;
  switch (t.step) {
    case CLEAR_FIRST:
      memory.fill(s.superblock, 0, BLOCK_BYTES);
      copyWrite(t, s, 0);
      break;
    case CLEAR_SECOND:
      // That of an earlier store may be elsewhere than this one's.
      copyWrite(t, s, 1);
      break;
    case INDEX:
      indexFill(s);
      indexWrite(t, s);
      break;
    case FLUSH:
      taskFlush(t.io, t, s.disk);
      break;
    default:
      superblockFill(s, s.superblock, 1);
      superblockSeal(s.superblock, t.step - WRITE_FIRST);
      copyWrite(t, s, t.step - WRITE_FIRST);
  }
}

function copyWrite(t: StoreTask, s: Store, copy: u32): void {
  t.busy = 1;
  const sector = sectorOf(s, copy ? s.blocks - 1 : 0);
  taskWrite(t.io, t, s.disk, sector, BLOCK_SECTORS, s.superblock, s.superblockMachine, true);
}

/** Index pages of a store whose bitmaps were never written: everything is free. */
function indexFill(s: Store): void {
  memory.fill(s.index, 0, <usize>s.indexPages * BLOCK_BYTES);
  for (let page: u32 = 0; page < bitmapPages(s); page++) {
    store<u32>(indexEntryOf(s, page), bitsOfPage(s, page), IndexEntry.free);
  }
  for (let i: u32 = 0; i < s.indexPages; i++) {
    blockSeal(s, s.index + <usize>i * BLOCK_BYTES, MAGIC_INDEX, i, 1);
    store<u32>(superblockIndex(s.superblock, i), 1, IndexEntry.generation);
  }
  s.freeBlocks = s.metadataBlocks;
  s.freeChunks = s.dataChunks;
  s.reservedCount = 0;
}

function indexWrite(t: StoreTask, s: Store): void {
  t.busy = 1;
  const offset = <usize>t.item * BLOCK_BYTES;
  const sector = sectorOf(s, s.indexStart + 2 * t.item);
  taskWrite(t.io, t, s.disk, sector, BLOCK_SECTORS, s.index + offset, s.indexMachine + offset, false);
}
