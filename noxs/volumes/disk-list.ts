/**
 * The disks that there are: what partitions each has, and which of them holds a store. A disk is looked at once, when it is found, one
 * after the other; nothing is written to one without a partition of our type.
 */
import { EBADMSG, EIO, ENODATA } from "../../abi/errno";
import { GPT_NAME_CHARACTERS, GptEntry, GptHeader } from "../../abi/io/gpt";
import { CHUNK_SECTORS } from "../../abi/io/volume-format";
import { BlockDevice, blockFirst } from "../../drivers/block";
import { dmaAllocate, dmaMachine } from "../../drivers/host/dma";
import { heapAllocate } from "../../drivers/host/heap";
import { say, sayDec, sayEnd } from "../../drivers/host/log";
import { Disk, diskOpen } from "./disks/disk";
import {
  entriesBytes,
  entriesValid,
  entryAt,
  entryIsStore,
  entryName,
  entryUsed,
  GPT_ENTRIES_BYTES_MAX,
  headerValid,
} from "./disks/gpt";
import { mountStart } from "./store/mount";
import { Store } from "./store/store";
import { storePlace } from "./store/stores";
import { Task, taskInit, TaskList, taskReady, taskWait, taskWakeAll } from "./disks/task";
import { TaskIo, taskIoMake, taskRead } from "./disks/task-io";

export const DISKS_MAX: u32 = 16;
export const PARTITIONS_MAX: u32 = 128;

/** In sectors of 512 bytes. */
@unmanaged
export class Partition {
  first: u64;
  sectors: u64;
  isStore: u32;
  users: u32; // clients that read it as a whole, or WRITTEN
  writes: u32; // times that it has become WRITTEN
  filesRead: u32; // clients of files on it
  filesWritten: u32;
  number: u32; // in the table, from 1 on
  guid0: u64; // its own
  guid1: u64;
  name: usize; // GPT_NAME_CHARACTERS
}
/** Partition.users: one client writes it. */
export const WRITTEN: u32 = 0x80000000;

@unmanaged
export class DiskInfo {
  disk: Disk;
  partitions: usize; // Partition[]
  count: u32;
  table: u32; // 1: it has a partition table that can be believed
  second: u32; // 1: the second one
  looked: u32; // 1: it has been looked at
  changing: u32; // 1: its table is being changed, nothing on it is opened
  opening: u32; // 1: something on it is being looked for, its table is not changed
  /** Store of its partition of our type, STORE_ABSENT when there is none in it; 0: there is no such partition. */
  store: usize;
  storeReason: i32; // why it cannot be used
  scan: usize; // Scan
}

const disks: usize = memory.data(16 * 4);
let count: u32 = 0;
/** The buffer for partition tables: the header's sector, then the entries; and whoever uses it. */
let buffer: usize = 0;
let bufferUsed: bool = false;
const bufferWaiters = changetype<TaskList>(memory.data(8, 8));
const readyWaiters = changetype<TaskList>(memory.data(8, 8));

/** Bytes before the entries in the buffer. */
const HEADER_BYTES: u32 = 4096;

export function diskCount(): u32 {
  return count;
}

export function diskInfoAt(i: u32): DiskInfo {
  return changetype<DiskInfo>(load<usize>(disks + ((<usize>i) << 2)));
}

// --- The buffer ----------------------------------------------------------------------------------------------------------

/** Allocates what this file needs; false when there is no memory. */
export function disksInit(): bool {
  buffer = dmaAllocate((HEADER_BYTES + GPT_ENTRIES_BYTES_MAX) >> 12);
  return buffer != 0;
}

/** Gets the buffer for a task; false: it waits. */
export function tableBuffer(t: Task): bool {
  if (bufferUsed) {
    taskWait(bufferWaiters, t);
    return false;
  }
  bufferUsed = true;
  return true;
}

export function tableBufferGive(): void {
  bufferUsed = false;
  taskWakeAll(bufferWaiters, 0);
}

export function headerAt(): usize {
  return buffer;
}
export function entriesAt(): usize {
  return buffer + HEADER_BYTES;
}
export function bufferMachine(at: usize): u64 {
  return dmaMachine(at);
}

/** Sectors of 512 bytes for one of the disk's own. */
export function unitOf(d: Disk): u64 {
  return d.device.sectorSize >> 9;
}

/** Sectors of 512 bytes that hold these bytes, in whole ones of the disk's own. */
export function sectorsFor(d: Disk, bytes: u32): u32 {
  const unit = d.device.sectorSize;
  return ((bytes + unit - 1) / unit) * (unit >> 9);
}

// --- Looking at a disk -------------------------------------------------------------------------------------------------

// Scan.step
const HEADER: u32 = 0;
const ENTRIES: u32 = 1;

@unmanaged
class Scan extends Task {
  info: DiskInfo;
  io: TaskIo;
  step: u32;
  second: u32; // 1: the second table is looked at
  busy: u32;
  mine: u32; // 1: it has the buffer
}

/** Begins to look at every disk. False when there is no memory. */
export function disksStart(): bool {
  for (let at = blockFirst(); at && count < DISKS_MAX; at = changetype<BlockDevice>(at).next) {
    const info = changetype<DiskInfo>(heapAllocate(offsetof<DiskInfo>()));
    const scan = changetype<Scan>(heapAllocate(offsetof<Scan>()));
    const disk = diskOpen(changetype<BlockDevice>(at), count);
    const io = taskIoMake();
    if (!changetype<usize>(info) || !changetype<usize>(scan) || !disk || !io) return false;
    info.disk = changetype<Disk>(disk);
    store<usize>(disks + ((<usize>count) << 2), changetype<usize>(info));
    count++;
    scan.io = changetype<TaskIo>(io);
    scan.info = info;
    info.scan = changetype<usize>(scan);
    scanStart(scan);
  }
  return true;
}

function scanStart(c: Scan): void {
  c.step = HEADER;
  c.second = 0;
  c.busy = 0;
  c.mine = 0;
  taskInit(c, scanRun);
  taskReady(c);
}

/** Has a task run when every disk has been looked at; true: that is so. */
export function disksReady(t: Task): bool {
  for (let i: u32 = 0; i < count; i++) {
    if (diskInfoAt(i).looked) continue;
    taskWait(readyWaiters, t);
    return false;
  }
  return true;
}

/** Whether every disk has been looked at. */
export function disksLooked(): bool {
  for (let i: u32 = 0; i < count; i++) if (!diskInfoAt(i).looked) return false;
  return true;
}

/** Looks at a disk again, whose partition table was changed. Its partitions are not in use. */
export function diskLookAgain(info: DiskInfo): void {
  info.looked = 0;
  info.table = 0;
  info.second = 0;
  info.count = 0;
  scanStart(changetype<Scan>(info.scan));
}

/** Mounts the store of a disk whose partition has just been formatted. */
export function diskMount(info: DiskInfo): void {
  info.looked = 0;
  mountStore(info);
}

function looked(info: DiskInfo): void {
  info.looked = 1;
  taskWakeAll(readyWaiters, 0);
}

function scanRun(task: usize): void {
  const c = changetype<Scan>(task);
  const info = c.info;
  const device = info.disk.device;
  if (!c.mine) {
    if (!tableBuffer(c)) return;
    c.mine = 1;
  }
  const lbas = device.sectors / unitOf(info.disk);
  const lba: u64 = c.second ? lbas - 1 : 1;
  if (lbas < 64) {
    scanEnd(c, false);
    return;
  }
  if (!c.busy) {
    c.busy = 1;
    if (c.step == HEADER) {
      taskRead(
        c.io,
        c,
        info.disk,
        lba * unitOf(info.disk),
        <u32>unitOf(info.disk),
        headerAt(),
        bufferMachine(headerAt()),
      );
      return;
    }
    const from = load<u64>(headerAt(), GptHeader.entriesLba) * unitOf(info.disk);
    const sectors = sectorsFor(info.disk, entriesBytes(headerAt()));
    taskRead(c.io, c, info.disk, from, sectors, entriesAt(), bufferMachine(entriesAt()));
    return;
  }
  c.busy = 0;
  let good = false;
  if (c.io.status == 0) {
    if (c.step == HEADER) good = headerValid(headerAt(), device.sectorSize, lba, lbas) ? true : false;
    else good = entriesValid(headerAt(), entriesAt()) ? true : false;
  }
  if (good && c.step == HEADER) {
    c.step = ENTRIES;
    scanRun(task);
  } else if (good || c.second) {
    scanEnd(c, good);
  } else {
    c.second = 1;
    c.step = HEADER;
    scanRun(task);
  }
}

function scanEnd(c: Scan, good: bool): void {
  const info = c.info;
  if (good) {
    info.table = 1;
    info.second = c.second;
    if (c.second) {
      say("volumes: disk ");
      sayDec(info.disk.index);
      say(": the first partition table is damaged, the second one is used");
      sayEnd();
    }
    if (!partitionsTake(info)) info.count = 0;
  }
  tableBufferGive();
  mountStore(info);
}

/** Remembers the partitions of the table in the buffer. */
function partitionsTake(info: DiskInfo): bool {
  if (!info.partitions) {
    info.partitions = heapAllocate(PARTITIONS_MAX * (offsetof<Partition>() + GPT_NAME_CHARACTERS));
    if (!info.partitions) return false;
  }
  const names = info.partitions + PARTITIONS_MAX * offsetof<Partition>();
  const unit = unitOf(info.disk);
  info.count = 0;
  for (let i: u32 = 0; i < load<u32>(headerAt(), GptHeader.entries) && info.count < PARTITIONS_MAX; i++) {
    const e = entryAt(headerAt(), entriesAt(), i);
    if (!entryUsed(e)) continue;
    const p = partitionAt(info, info.count);
    p.first = load<u64>(e, GptEntry.firstLba) * unit;
    p.sectors = (load<u64>(e, GptEntry.lastLba) + 1) * unit - p.first;
    p.isStore = entryIsStore(e) ? 1 : 0;
    p.users = 0;
    p.writes = 0;
    p.filesRead = 0;
    p.filesWritten = 0;
    p.number = i + 1;
    p.guid0 = load<u64>(e, GptEntry.guid);
    p.guid1 = load<u64>(e, GptEntry.guid + 8);
    p.name = names + <usize>info.count * GPT_NAME_CHARACTERS;
    entryName(e, p.name);
    info.count++;
  }
  return true;
}

export function partitionAt(info: DiskInfo, i: u32): Partition {
  return changetype<Partition>(info.partitions + <usize>i * offsetof<Partition>());
}

/** Whether a partition has this label, of at least one character. */
export function isNamed(p: Partition, label: usize, length: u32): bool {
  if (length > GPT_NAME_CHARACTERS) return false;
  for (let i: u32 = 0; i < length; i++) if (load<u8>(p.name + i) != load<u8>(label + i)) return false;
  return length == GPT_NAME_CHARACTERS || load<u8>(p.name + length) == 0;
}

/** Whether a client has it, or files on it. */
export function partitionInUse(p: Partition): bool {
  return (p.users | p.filesRead | p.filesWritten) != 0;
}

/** The disk's partition of our type: the first one. 0 none. */
export function storePartition(info: DiskInfo): usize {
  for (let i: u32 = 0; i < info.count; i++) {
    if (partitionAt(info, i).isStore) return changetype<usize>(partitionAt(info, i));
  }
  return 0;
}

// --- Stores --------------------------------------------------------------------------------------------------------------

/** What a disk must be able to do for a store on it: a chunk in one transfer, with what is before and behind it. */
function fitForStore(d: BlockDevice): bool {
  return d.sectorSize <= 4096 && d.segmentsMax >= 4 && d.segmentBytesMax >= 4096 && d.sectorsMax >= CHUNK_SECTORS;
}

/** Mounts the store in the disk's partition of our type. */
function mountStore(info: DiskInfo): void {
  const at = storePartition(info);
  if (!at) {
    looked(info);
    return;
  }
  const p = changetype<Partition>(at);
  if (!info.store) info.store = storePlace(info.disk, p.first, p.sectors);
  if (!info.store || !fitForStore(info.disk.device)) {
    info.store = 0;
    info.storeReason = -EIO;
    say("volumes: the store on disk ");
    sayDec(info.disk.index);
    say(" cannot be used: too many stores, or a disk that is too simple");
    sayEnd();
    looked(info);
    return;
  }
  mountStart(changetype<Store>(info.store), mounted, changetype<usize>(info));
}

function mounted(at: usize, cookie: usize, status: i32): void {
  const info = changetype<DiskInfo>(cookie);
  info.storeReason = status;
  if (status == -ENODATA) {
    // The partition is there and has never been formatted.
    info.store = 0;
  } else if (status != 0) {
    say("volumes: the store on disk ");
    sayDec(info.disk.index);
    say(status == -EBADMSG ? " is damaged: both superblocks, or what they lead to" : " cannot be read");
    sayEnd();
  }
  looked(info);
}
