/**
 * Opening files for vbds: `[LABEL/]PATH`. One after the other: the path is followed on each FAT volume that may have it, the file's
 * clusters are followed and compared with the rest of the FAT, and the file is open.
 *
 * Without a label, or where no partition has it, it is the first FAT volume with such a file, in the order of disks and of their
 * tables. A partition that is written as `part:` is not looked at: it belongs to a guest.
 */
import { EINVAL, ENOMEM, EROFS } from "../../../abi/errno";
import {
  FILE_ABSENT,
  FILE_CROSS_LINKED,
  FILE_EMPTY,
  FILE_NO_ROOM,
  FILE_NO_VOLUME,
  FILE_ODD_SIZE,
  FILE_PARTITION_BUSY,
  FILE_READ,
  VbdRefusal,
} from "../../../abi/io/control-block";
import { diskCount, diskInfoAt, disksReady, isNamed, Partition, partitionAt, WRITTEN } from "../disk-list";
import { Task, TaskList, taskWait, taskWakeOne, WAIT } from "../disks/task";
import { chainBegin, chainLook, chainResult, crossBegin, crossLook } from "./chain";
import { pathBegin, pathLook, pathResult } from "./directory";
import { draftBegin, draftTake, extentsInit } from "./extents";
import { fatVolumeRead } from "./fat-volume";
import { File, fileEnter, fileFind, fileGive, fileIdentity, filesInit, fileTake, fileUse } from "./file";
import { fileDisk, fileDisksInit, fileDisksReady } from "./file-disk";
import {
  Look,
  lookBegin,
  lookLabelled,
  lookMake,
  lookName,
  lookPartition,
  note,
  refusal,
  refuse,
  refuseNoted,
} from "./look";
import { windowAt, windowResult } from "./window";

// Look.step
const PARTITION: u32 = 0; // the next one is looked for
const BOOT: u32 = 1; // its boot sector is read
const PATH: u32 = 2;
const CHAIN: u32 = 3;
const CROSS: u32 = 4;

/** The smallest partition that is looked at, in sectors: tables for the smallest disks have as much. */
const PARTITION_SECTORS_MIN: u64 = 64;

/** The task whose file is looked for; 0 none. */
let owner: usize = 0;
const waiters = changetype<TaskList>(memory.data(8, 8));

/** What fileOpen has opened: a BlockDevice; and what it is known by after a restart. */
export let fileOpened: usize = 0;
export let fileOpenedIdentity: u32 = 0;

/** Before anything else of this folder. */
export function filesStart(): void {
  extentsInit();
  filesInit();
  fileDisksInit();
}

/** VbdRefusal of the file that fileOpen has just refused; 0: there is none, the status says all. */
export function fileRefusal(): usize {
  return load<u32>(refusal, VbdRefusal.reason) ? refusal : 0;
}

/** A status that says all. */
function plain(status: i32): i32 {
  store<u32>(refusal, 0, VbdRefusal.reason);
  return status;
}

/**
 * Opens a file for a vbd. The task is run again after each wait, with the same arguments.
 * @param name at most `most` bytes, NUL-padded
 * @param identity of the file that was open before a restart, 0 any
 * @returns 0: fileOpened; WAIT; -EINVAL no path; -EBUSY it is in use, or its partition; -EROFS; -ENOMEM; and what VbdRefusal has
 */
export function fileOpen(t: Task, name: usize, most: u32, write: bool, identity: u32): i32 {
  if (owner != changetype<usize>(t)) {
    if (owner) {
      taskWait(waiters, t);
      return WAIT;
    }
    if (!disksReady(t)) return WAIT;
    const rc = begin(name, most, write, identity);
    if (rc != 0) return rc;
    owner = changetype<usize>(t);
  }
  const l = changetype<Look>(lookMake());
  const rc = look(l, t);
  if (rc == WAIT) return WAIT;
  if (l.step != PARTITION) l.info.opening--;
  owner = 0;
  taskWakeOne(waiters);
  return rc == OPENED ? 0 : rc;
}

function begin(name: usize, most: u32, write: bool, identity: u32): i32 {
  const at = lookMake();
  if (!at || !fileDisksReady()) return plain(-ENOMEM);
  const l = changetype<Look>(at);
  if (!lookName(l, name, most)) return plain(-EINVAL);
  if (l.label && isLabel(l)) lookLabelled(l);
  else l.label = 0;
  l.write = write ? 1 : 0;
  l.identity = identity;
  l.step = PARTITION;
  lookBegin(l);
  return 0;
}

/** Whether a partition has the label; those of volume stores have none. */
function isLabel(l: Look): bool {
  for (let i: u32 = 0; i < diskCount(); i++) {
    const info = diskInfoAt(i);
    for (let j: u32 = 0; j < info.count; j++) if (mayBe(l, partitionAt(info, j))) return true;
  }
  return false;
}

function mayBe(l: Look, p: Partition): bool {
  return !p.isStore && (!l.label || isNamed(p, l.label, l.labelLength));
}

// --- Steps -----------------------------------------------------------------------------------------------------------------
// Each returns 0: there is another one; WAIT; OPENED; or the status with which it ends.

const OPENED: i32 = 2;

/** Goes as far as it can. */
function look(l: Look, t: Task): i32 {
  while (true) {
    let rc: i32;
    if (l.step == PARTITION) rc = nextPartition(l);
    else if (l.step == BOOT) rc = bootSector(l, t);
    else if (l.step == PATH) rc = path(l, t);
    else if (l.step == CHAIN) rc = chain(l, t);
    else rc = cross(l, t);
    if (rc != 0) return rc;
  }
}

/** Begins with the next partition that may have the file. */
function nextPartition(l: Look): i32 {
  for (; l.diskNumber < diskCount(); l.diskNumber++) {
    const info = diskInfoAt(l.diskNumber);
    while (l.partitionNumber < info.count) {
      const p = partitionAt(info, l.partitionNumber++);
      if (!mayBe(l, p)) continue;
      const written = p.users == WRITTEN;
      // Not of interest: a guest's disk.
      if (written && !l.label) continue;
      lookPartition(l, info, p);
      if (written || info.changing) {
        note(l, FILE_PARTITION_BUSY);
        continue;
      }
      info.opening++;
      l.step = BOOT;
      return 0;
    }
    l.partitionNumber = 0;
  }
  return refuseNoted(l);
}

/** The partition does not have the file, or nobody can tell. */
function nowhere(l: Look, reason: u32): i32 {
  note(l, reason);
  l.info.opening--;
  l.step = PARTITION;
  return 0;
}

function bootSector(l: Look, t: Task): i32 {
  const p = l.partition;
  if (p.sectors < PARTITION_SECTORS_MIN) return nowhere(l, FILE_NO_VOLUME);
  l.region.start = 0;
  l.region.sectors = 8;
  const at = windowAt(t, l.data, l.info.disk, p.first, l.region, 0);
  if (!at) return windowResult == WAIT ? WAIT : nowhere(l, FILE_READ);
  const reason = fatVolumeRead(at, p.sectors, l.info.disk.device.sectorSize, l.volume);
  if (reason != 0) return nowhere(l, reason);
  l.volumes++;
  pathBegin(l);
  l.step = PATH;
  return 0;
}

function path(l: Look, t: Task): i32 {
  const rc = pathLook(l, t);
  if (rc != 0) return rc == WAIT ? WAIT : nowhere(l, FILE_READ);
  if (pathResult != 0) return nowhere(l, pathResult);
  if (l.identity && l.identity != fileIdentity(l.partition, l.first)) return nowhere(l, FILE_ABSENT);
  if (l.bytes == 0) return refuse(l, FILE_EMPTY);
  if (l.bytes % l.info.disk.device.sectorSize) return refuse(l, FILE_ODD_SIZE);
  if (l.write && l.info.disk.device.readOnly) return plain(-EROFS);
  const open = fileFind(l.partition, l.first);
  if (open) return share(l, changetype<File>(open));
  if (!draftBegin()) return plain(-ENOMEM);
  const reason = chainBegin(l);
  if (reason != 0) return refuse(l, reason);
  l.step = CHAIN;
  return 0;
}

/** The file is open already, so that its clusters are known. */
function share(l: Look, f: File): i32 {
  // Two names of one chain.
  if (f.bytes != l.bytes) return refuse(l, FILE_CROSS_LINKED);
  return use(l, f);
}

function chain(l: Look, t: Task): i32 {
  const rc = chainLook(l, t);
  if (rc != 0) return rc == WAIT ? WAIT : refuse(l, FILE_READ);
  if (chainResult != 0) return refuse(l, chainResult);
  // In the file's order, which the comparison needs no more.
  const at = fileTake();
  if (!at) return refuse(l, FILE_NO_ROOM);
  l.file = at;
  if (!draftTake(changetype<File>(at).extents)) return abandon(l, FILE_NO_ROOM);
  const reason = crossBegin(l);
  if (reason != 0) return abandon(l, reason);
  l.step = CROSS;
  return 0;
}

/** The record made for the file is given back. */
function abandon(l: Look, reason: u32): i32 {
  fileGive(changetype<File>(l.file));
  return refuse(l, reason);
}

function cross(l: Look, t: Task): i32 {
  const rc = crossLook(l, t);
  if (rc == WAIT) return WAIT;
  if (rc != 0) return abandon(l, FILE_READ);
  if (chainResult != 0) return abandon(l, chainResult);
  const f = changetype<File>(l.file);
  f.first = l.first;
  f.bytes = l.bytes;
  fileDisk(f, l.info.disk, l.partition, l.volume, l.write == 0);
  const used = use(l, f);
  if (used == OPENED) fileEnter(f);
  else fileGive(f);
  return used;
}

/** Gives the file to the client. */
function use(l: Look, f: File): i32 {
  const p = l.partition;
  // What was read here may have been written by somebody who has the partition now, or had it meanwhile.
  if (p.users == WRITTEN || p.writes != l.writes || (l.write && p.users != 0)) return refuse(l, FILE_PARTITION_BUSY);
  const rc = fileUse(f, l.write != 0);
  if (rc != 0) return plain(rc);
  fileOpened = changetype<usize>(f);
  fileOpenedIdentity = fileIdentity(p, f.first);
  return OPENED;
}
