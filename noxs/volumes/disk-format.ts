/** VOLUME_FORMAT: makes a store on a disk, with a partition for it if there is none, and a partition table if there is none. */
import { EBUSY, EEXIST, EINVAL, EIO, ENOSPC, EROFS } from "../../abi/errno";
import { FORMAT_DISK, FORMAT_STORE } from "../../abi/io/control-block";
import { GPT_ENTRIES, GptEntry, GptHeader } from "../../abi/io/gpt";
import { BLOCK_SECTORS, STORE_BLOCKS_MIN } from "../../abi/io/volume-format";
import { heapAllocate } from "../../drivers/host/heap";
import { cacheForgetStore } from "./store/cache";
import {
  bufferMachine,
  DiskInfo,
  diskLookAgain,
  diskMount,
  disksReady,
  entriesAt,
  headerAt,
  Partition,
  partitionAt,
  partitionInUse,
  sectorsFor,
  storePartition,
  tableBuffer,
  tableBufferGive,
  unitOf,
} from "./disk-list";
import { formatStart } from "./store/format";
import {
  entriesBytes,
  entriesValid,
  entryAdd,
  gapFind,
  headerSeal,
  headerValid,
  mbrMake,
  tableMake,
} from "./disks/gpt";
import { jobsActive } from "./store/jobs";
import { COMMIT_NONE, Store, STORE_ABSENT, STORE_READY } from "./store/store";
import { storePlace } from "./store/stores";
import { Task, taskInit, taskReady } from "./disks/task";
import { TaskIo, taskFlush, taskIoMake, taskRead, taskWrite } from "./disks/task-io";
import { transactionChanged } from "./store/transaction";
import { volumesForget, volumesInUse } from "./store/volume";

export type DiskFormatDoneFn = (cookie: usize, status: i32) => void;

// Job.step
const BEGIN: u32 = 0;
const BLANK: u32 = 1; // what is at the disk's begin
const READ_HEADER: u32 = 2;
const READ_ENTRIES: u32 = 3;
const WRITE_MBR: u32 = 4;
const WRITE: u32 = 5; // entries and header of one copy, then a flush: three steps each
const STORE: u32 = 11;
const LOOKED: u32 = 12;

@unmanaged
class FormatTask extends Task {
  info: DiskInfo;
  io: TaskIo;
  step: u32;
  busy: u32;
  mine: u32; // 1: it has the buffer
  flags: u32;
  uuid0: u64;
  uuid1: u64;
  status: i32;
  doneFn: usize;
  cookie: usize;
}

let task: usize = 0;
let running: bool = false;

/** Sectors at a disk's begin that must be zero if it is to be taken as empty: 64 KiB. */
const BLANK_SECTORS: u32 = 128;

/**
 * Formats. `fn` is told: 0; -EEXIST there is a store already, or something on a disk without partitions, and `flags` (FORMAT_*) do not say
 * that it may be lost; -EBUSY volumes are in use; -ENOSPC no room for a partition; -EINVAL the disk is too small; -EROFS; errors of
 * the disk.
 * @returns 0, or -EBUSY: another disk is being formatted
 */
export function diskFormatStart(
  info: DiskInfo,
  flags: u32,
  uuid0: u64,
  uuid1: u64,
  fn: DiskFormatDoneFn,
  cookie: usize,
): i32 {
  if (running) return -EBUSY;
  if (!task) {
    task = heapAllocate(offsetof<FormatTask>());
    if (!task) return -ENOSPC;
    changetype<FormatTask>(task).io = changetype<TaskIo>(taskIoMake());
  }
  running = true;
  const t = changetype<FormatTask>(task);
  taskInit(t, formatRun);
  t.info = info;
  t.step = BEGIN;
  t.busy = 0;
  t.mine = 0;
  t.flags = flags;
  t.uuid0 = uuid0;
  t.uuid1 = uuid1;
  t.doneFn = changetype<usize>(fn);
  t.cookie = cookie;
  taskReady(t);
  return 0;
}

function finish(t: FormatTask, status: i32): void {
  if (t.mine) tableBufferGive();
  t.info.changing = 0;
  running = false;
  changetype<DiskFormatDoneFn>(t.doneFn)(t.cookie, status);
}

function formatRun(at: usize): void {
  const t = changetype<FormatTask>(at);
  if (t.step == LOOKED) {
    // The disk has been looked at again, and its store mounted.
    if (!disksReady(t)) return;
    const s = t.info.store;
    finish(t, s && changetype<Store>(s).state == STORE_READY ? 0 : t.info.storeReason ? t.info.storeReason : -EIO);
    return;
  }
  if (t.step == BEGIN) {
    const rc = begin(t);
    if (rc != 0) finish(t, rc);
    if (rc != 0 || t.step == STORE) return;
  }
  if (t.step != STORE && !t.mine) {
    if (!tableBuffer(t)) return;
    t.mine = 1;
  }
  if (!t.busy) {
    submit(t);
    return;
  }
  t.busy = 0;
  if (t.io.status != 0) {
    finish(t, t.io.status);
    return;
  }
  const rc = after(t);
  if (rc != 0) finish(t, rc);
  else if (t.step == STORE) storeMake(t);
  else submit(t);
}

/** Decides what is to be done. */
function begin(t: FormatTask): i32 {
  const info = t.info;
  if (info.disk.device.readOnly) return -EROFS;
  if (!info.looked) return -EBUSY;
  if (info.disk.device.sectors < STORE_BLOCKS_MIN * BLOCK_SECTORS) return -EINVAL;
  if (storePartition(info)) {
    const s = info.store;
    if (s) {
      if (!(t.flags & FORMAT_STORE)) return -EEXIST;
      const old = changetype<Store>(s);
      if (old.state == STORE_READY) {
        const busy =
          volumesInUse(old) ||
          jobsActive(old) ||
          old.checking ||
          old.commitPhase != COMMIT_NONE ||
          transactionChanged(old);
        if (busy) return -EBUSY;
      }
      cacheForgetStore(old);
      volumesForget(old);
      old.state = STORE_ABSENT;
      info.store = 0;
    }
    t.step = STORE;
    storeMake(t);
    return 0;
  }
  for (let i: u32 = 0; i < info.count; i++) if (partitionInUse(partitionAt(info, i))) return -EBUSY;
  if (info.opening) return -EBUSY;
  info.changing = 1;
  t.step = info.table ? READ_HEADER : BLANK;
  return 0;
}

function lbasOf(t: FormatTask): u64 {
  return t.info.disk.device.sectors / unitOf(t.info.disk);
}

/** Submits the transfer of the step. */
function submit(t: FormatTask): void {
  const d = t.info.disk;
  const unit = <u32>unitOf(d);
  const last = lbasOf(t) - 1;
  t.busy = 1;
  if (t.step == BLANK) {
    taskRead(t.io, t, d, 0, BLANK_SECTORS, entriesAt(), bufferMachine(entriesAt()));
  } else if (t.step == READ_HEADER) {
    const lba: u64 = t.info.second ? last : 1;
    taskRead(t.io, t, d, lba * unit, unit, headerAt(), bufferMachine(headerAt()));
  } else if (t.step == READ_ENTRIES) {
    const from = load<u64>(headerAt(), GptHeader.entriesLba) * unit;
    const sectors = sectorsFor(d, entriesBytes(headerAt()));
    taskRead(t.io, t, d, from, sectors, entriesAt(), bufferMachine(entriesAt()));
  } else if (t.step == WRITE_MBR) {
    taskWrite(t.io, t, d, 0, unit, headerAt(), bufferMachine(headerAt()), true);
  } else {
    submitCopy(t, (t.step - WRITE) / 3, (t.step - WRITE) % 3);
  }
}

/** One copy of the table after the other, each durable before the next is begun: at any moment one of them is good. */
function submitCopy(t: FormatTask, copy: u32, part: u32): void {
  const d = t.info.disk;
  const unit = <u32>unitOf(d);
  if (part == 2) {
    taskFlush(t.io, t, d);
    return;
  }
  headerSeal(headerAt(), entriesAt(), copy, d.device.sectorSize, lbasOf(t));
  const header = headerAt();
  if (part == 0) {
    const from = load<u64>(header, GptHeader.entriesLba) * unit;
    const sectors = sectorsFor(d, entriesBytes(header));
    taskWrite(t.io, t, d, from, sectors, entriesAt(), bufferMachine(entriesAt()), true);
  } else {
    const lba = load<u64>(header, GptHeader.myLba);
    taskWrite(t.io, t, d, lba * unit, unit, header, bufferMachine(header), false);
  }
}

/** What follows from the transfer that is done: the next step. 0 or an error. */
function after(t: FormatTask): i32 {
  const size = t.info.disk.device.sectorSize;
  const header = headerAt();
  if (t.step == BLANK) {
    if (!(t.flags & FORMAT_DISK) && !isZero(entriesAt(), BLANK_SECTORS << 9)) return -EEXIST;
    memory.fill(header, 0, 4096);
    mbrMake(header, lbasOf(t));
    t.step = WRITE_MBR;
  } else if (t.step == WRITE_MBR) {
    memory.fill(header, 0, 4096);
    memory.fill(entriesAt(), 0, GPT_ENTRIES * GptEntry.SIZE);
    tableMake(header, size, lbasOf(t), t.uuid0 ^ 0x5a5a5a5a5a5a5a5a, t.uuid1);
    return partitionMake(t);
  } else if (t.step == READ_HEADER) {
    if (!headerValid(header, size, t.info.second ? lbasOf(t) - 1 : 1, lbasOf(t))) return -EIO;
    t.step = READ_ENTRIES;
  } else if (t.step == READ_ENTRIES) {
    if (!entriesValid(header, entriesAt())) return -EIO;
    return partitionMake(t);
  } else {
    t.step++;
    if (t.step < STORE) return 0;
    tableBufferGive();
    t.mine = 0;
  }
  return 0;
}

function isZero(at: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i += 8) if (load<u64>(at + i)) return false;
  return true;
}

/** Adds a partition to the table in the buffer. */
function partitionMake(t: FormatTask): i32 {
  const size = t.info.disk.device.sectorSize;
  const header = headerAt();
  const table = <u64>((entriesBytes(header) + size - 1) / size);
  // Both copies of the table must fit where they are put.
  if (load<u64>(header, GptHeader.firstUsable) < 2 + table) return -EINVAL;
  if (load<u64>(header, GptHeader.lastUsable) + 1 + table >= lbasOf(t)) return -EINVAL;
  const least = (<u64>STORE_BLOCKS_MIN * 4096) / size;
  if (!gapFind(header, entriesAt(), size, least)) return -ENOSPC;
  if (!entryAdd(header, entriesAt(), t.uuid0 ^ 0x3c3c3c3c3c3c3c3c, t.uuid1)) return -ENOSPC;
  t.step = WRITE;
  return 0;
}

/** Makes the store in the partition that there is, or will be found when the disk is looked at again. */
function storeMake(t: FormatTask): void {
  const info = t.info;
  if (!storePartition(info)) {
    // The table is new: it is looked at first, and found to have a partition without a store.
    t.step = BEGIN;
    t.flags |= FORMAT_STORE;
    diskLookAgain(info);
    if (disksReady(t)) taskReady(t);
    return;
  }
  const p = changetype<Partition>(storePartition(info));
  const s = storePlace(info.disk, p.first, p.sectors);
  if (!s) {
    finish(t, -ENOSPC);
    return;
  }
  formatStart(changetype<Store>(s), t.uuid0, t.uuid1, formatted, changetype<usize>(t));
}

function formatted(_store: usize, cookie: usize, status: i32): void {
  const t = changetype<FormatTask>(cookie);
  if (status != 0) {
    finish(t, status);
    return;
  }
  t.step = LOOKED;
  diskMount(t.info);
  if (disksReady(t)) taskReady(t);
}
