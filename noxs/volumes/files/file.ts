/** Open files: one record for each, whoever has it. Several may read it, or one may write it. */
import { EBUSY } from "../../../abi/errno";
import { BlockDevice } from "../../../drivers/block";
import { heapAllocate, Pool, poolGive, poolInit, poolTake } from "../../../drivers/host/heap";
import { Partition, WRITTEN } from "../disk-list";
import { Disk } from "../disks/disk";
import { crc32 } from "../disks/checksum";
import { ExtentList, extentsGive, extentTableMake } from "./extents";

/** Open files, at most. */
export const FILES_MAX: u32 = 256;

/** An open file: a disk for its clients. */
@unmanaged
export class File extends BlockDevice {
  link: usize; // of the open ones
  disk: Disk;
  partition: Partition;
  first: u32; // its first cluster, by which it is known
  bytes: u32;
  dataStart: u64; // sector of the disk that cluster 2 begins with
  clusterSectors: u32;
  extents: ExtentList;
  users: u32; // clients that read it, or WRITTEN
}

const files = changetype<Pool>(memory.data(32, 8));
let open: usize = 0;
/** Lists that are not in use; their tables stay with them. */
let lists: usize = 0;

/** Before anything else of this file. */
export function filesInit(): void {
  poolInit(files, offsetof<File>(), FILES_MAX);
}

/** The open file with this first cluster; 0 none. */
export function fileFind(p: Partition, first: u32): usize {
  for (let at = open; at; at = changetype<File>(at).link) {
    const f = changetype<File>(at);
    if (changetype<usize>(f.partition) == changetype<usize>(p) && f.first == first) return at;
  }
  return 0;
}

/** A record for a file that is being opened, without extents; 0 when there are too many, or no memory. */
export function fileTake(): usize {
  const at = poolTake(files);
  if (!at) return 0;
  let list = lists;
  if (list) {
    lists = changetype<ExtentList>(list).clusters;
  } else {
    list = heapAllocate(offsetof<ExtentList>());
    if (!list || !extentTableMake(changetype<ExtentList>(list))) {
      poolGive(files, at);
      return 0;
    }
  }
  changetype<File>(at).extents = changetype<ExtentList>(list);
  return at;
}

/** Gives a record back that was not opened, or has no users any more. */
export function fileGive(f: File): void {
  const list = f.extents;
  extentsGive(list);
  list.clusters = <u32>lists;
  lists = changetype<usize>(list);
  poolGive(files, changetype<usize>(f));
}

/** The file is open. */
export function fileEnter(f: File): void {
  f.link = open;
  open = changetype<usize>(f);
}

function leave(f: File): void {
  if (open == changetype<usize>(f)) {
    open = f.link;
    return;
  }
  let before = changetype<File>(open);
  while (before.link != changetype<usize>(f)) before = changetype<File>(before.link);
  before.link = f.link;
}

/** One more client of a file: 0, or -EBUSY. */
export function fileUse(f: File, write: bool): i32 {
  if (f.users == WRITTEN || (write && f.users != 0)) return -EBUSY;
  const p = f.partition;
  if (write) {
    f.users = WRITTEN;
    p.filesWritten++;
  } else {
    f.users++;
    p.filesRead++;
  }
  return 0;
}

/** A client needs the file no more: its requests are done. */
export function fileClose(f: File): void {
  const p = f.partition;
  if (f.users == WRITTEN) {
    f.users = 0;
    p.filesWritten--;
  } else {
    f.users--;
    p.filesRead--;
  }
  if (f.users) return;
  leave(f);
  fileGive(f);
}

const words: usize = memory.data(24, 8);

/** By what a file is known again after a restart of the domain: its partition and its first cluster, in 32 bits. Not 0. */
export function fileIdentity(p: Partition, first: u32): u32 {
  store<u64>(words, p.guid0);
  store<u64>(words, p.guid1, 8);
  store<u32>(words, first, 16);
  const sum = crc32(0, words, 20);
  return sum ? sum : 1;
}
