/** The file that is looked for: one at a time, by the task of the vbd that wants it. What is known of it, and why it cannot be had. */
import { EBADMSG, EBUSY, E2BIG, EINVAL, EIO, EISDIR, ENFILE, ENOENT, ENOTDIR } from "../../../abi/errno";
import {
  FILE_ABSENT,
  FILE_EMPTY,
  FILE_FRAGMENTS,
  FILE_IS_DIRECTORY,
  FILE_NO_ROOM,
  FILE_NO_VOLUME,
  FILE_NOT_DIRECTORY,
  FILE_ODD_SIZE,
  FILE_PARTITION_BUSY,
  FILE_READ,
  VbdRefusal,
} from "../../../abi/io/control-block";
import { GPT_NAME_CHARACTERS } from "../../../abi/io/gpt";
import { heapAllocate } from "../../../drivers/host/heap";
import { DiskInfo, Partition } from "../disk-list";
import { Task } from "../disks/task";
import { entryByte, entryValue, FatVolume } from "./fat-volume";
import { NameSearch } from "./file-name";
import { Region, Window, windowAt, windowForget, windowMake, windowResult } from "./window";

/** Directories on the way to a file: more than a target has room for. */
export const DIRECTORIES_MAX: u32 = 64;

@unmanaged
export class Look {
  step: u32; // open.ts
  // What is looked for.
  path: usize; // ASCII, without a slash at its begin
  pathLength: u32;
  label: usize; // what the partition's label is to be; 0: any
  labelLength: u32;
  write: u32;
  identity: u32; // File.identity that it must have, 0 any
  // Where.
  diskNumber: u32; // where the search goes on
  partitionNumber: u32;
  info: DiskInfo;
  partition: Partition;
  writes: u32; // Partition.writes when it was begun with
  volumes: u32; // FAT volumes so far
  volume: FatVolume;
  region: Region;
  fat: Window;
  data: Window;
  // The directory, and the name in it.
  name: u32; // offset in the path
  search: NameSearch;
  cluster: u32; // 0: FatVolume.rootStart
  sector: u32; // in the cluster
  entries: u32;
  directories: usize; // u32[DIRECTORIES_MAX] first clusters of those on the way
  depth: u32;
  // The file.
  first: u32; // cluster
  bytes: u32;
  clusters: u32; // that it needs
  walked: u32; // so far; `cluster` is the last of them
  scan: u32; // the next entry of the FAT that is compared
  links: u32; // entries that lead to one of the file's clusters
  file: usize; // File that is being made of it
}

/** The only one; 0 before there was any. */
let made: usize = 0;

/** VbdRefusal of the last file that could not be had; its reason is 0 when there is none. */
export const refusal: usize = memory.data(64, 8);
/** How much the reason in `refusal` says: one that says more replaces it. */
let noted: u32 = 0;

/** Makes the record, when it is first needed; 0 when there is no memory. */
export function lookMake(): usize {
  if (made) return made;
  const at = heapAllocate(offsetof<Look>());
  if (!at) return 0;
  const l = changetype<Look>(at);
  l.volume = changetype<FatVolume>(heapAllocate(offsetof<FatVolume>()));
  l.region = changetype<Region>(heapAllocate(offsetof<Region>()));
  l.search = changetype<NameSearch>(heapAllocate(offsetof<NameSearch>()));
  l.fat = changetype<Window>(heapAllocate(offsetof<Window>()));
  l.data = changetype<Window>(heapAllocate(offsetof<Window>()));
  l.directories = heapAllocate(DIRECTORIES_MAX << 2);
  if (!l.directories || !windowMake(l.fat) || !windowMake(l.data)) return 0;
  made = at;
  return at;
}

/**
 * Takes a target's name apart: `[LABEL/]PATH`; whether the former is a label is not known yet, so `label` is what may be one.
 * @returns false: it is no path
 */
export function lookName(l: Look, name: usize, most: u32): bool {
  let length: u32 = 0;
  while (length < most && load<u8>(name + length)) length++;
  const rooted = length != 0 && load<u8>(name) == 0x2f;
  l.path = rooted ? name + 1 : name;
  l.pathLength = rooted ? length - 1 : length;
  l.label = 0;
  l.labelLength = 0;
  let begin: u32 = 0;
  let depth: u32 = 0;
  for (let i: u32 = 0; i <= l.pathLength; i++) {
    if (i < l.pathLength && load<u8>(l.path + i) != 0x2f) continue;
    if (!isName(l.path + begin, i - begin) || ++depth > DIRECTORIES_MAX) return false;
    if (!rooted && begin == 0 && i < l.pathLength && i <= GPT_NAME_CHARACTERS) {
      l.label = name;
      l.labelLength = i;
    }
    begin = i + 1;
  }
  return true;
}

/** Whether a part of a path is a name: not empty, not "." or "..". */
function isName(at: usize, length: u32): bool {
  if (length == 0 || length > 255) return false;
  if (load<u8>(at) != 0x2e) return true;
  return length > 2 || (length == 2 && load<u8>(at + 1) != 0x2e);
}

/** What could be a label is one: the path is what follows it. */
export function lookLabelled(l: Look): void {
  l.path += l.labelLength + 1;
  l.pathLength -= l.labelLength + 1;
}

/** Begins a search: nothing has been found, nothing refused. */
export function lookBegin(l: Look): void {
  l.diskNumber = 0;
  l.partitionNumber = 0;
  l.volumes = 0;
  memory.fill(refusal, 0, VbdRefusal.SIZE);
  noted = 0;
}

/** Begins with a partition. */
export function lookPartition(l: Look, info: DiskInfo, p: Partition): void {
  l.info = info;
  l.partition = p;
  l.writes = p.writes;
  l.bytes = 0;
  windowForget(l.fat);
  windowForget(l.data);
}

export let fatEntry: u32 = 0;

/** Reads the entry of a cluster of the volume: 0 (fatEntry), WAIT, or a negative errno. */
export function fatLook(l: Look, t: Task, cluster: u32): i32 {
  const v = l.volume;
  const byte = entryByte(v, cluster);
  l.region.start = v.fatStart;
  l.region.sectors = v.fatSectors;
  const at = windowAt(t, l.fat, l.info.disk, l.partition.first, l.region, v.fatStart + (byte >> 9));
  if (!at) return windowResult;
  fatEntry = entryValue(v, cluster, at + <usize>(byte & 511));
  return 0;
}

// --- Refusals ------------------------------------------------------------------------------------------------------------

/** The status of a reason. */
function statusOf(reason: u32): i32 {
  switch (reason) {
    case FILE_NO_VOLUME:
    case FILE_ABSENT:
      return -ENOENT;
    case FILE_NOT_DIRECTORY:
      return -ENOTDIR;
    case FILE_IS_DIRECTORY:
      return -EISDIR;
    case FILE_EMPTY:
    case FILE_ODD_SIZE:
      return -EINVAL;
    case FILE_FRAGMENTS:
      return -E2BIG;
    case FILE_NO_ROOM:
      return -ENFILE;
    case FILE_PARTITION_BUSY:
      return -EBUSY;
    case FILE_READ:
      return -EIO;
    default:
      return -EBADMSG;
  }
}

/** The file, or the partition that is looked at, cannot be had. The status. */
export function refuse(l: Look, reason: u32): i32 {
  store<u32>(refusal, reason, VbdRefusal.reason);
  store<u32>(refusal, l.volumes, VbdRefusal.volumes);
  store<u32>(refusal, l.info.disk.index, VbdRefusal.disk);
  store<u32>(refusal, l.partition.number, VbdRefusal.partition);
  store<u32>(refusal, l.bytes, VbdRefusal.bytes);
  store<u32>(refusal, l.info.disk.device.sectorSize, VbdRefusal.unit);
  memory.copy(refusal + VbdRefusal.label, l.partition.name, GPT_NAME_CHARACTERS);
  return statusOf(reason);
}

/** A partition does not have the file: the search goes on, and ends with this unless there is something that says more. */
export function note(l: Look, reason: u32): void {
  const says: u32 = reason == FILE_NO_VOLUME ? 1 : reason == FILE_ABSENT ? 2 : 3;
  if (says <= noted) return;
  noted = says;
  refuse(l, reason);
}

/** The file was on no partition: the status of what was noted. */
export function refuseNoted(l: Look): i32 {
  if (!noted) store<u32>(refusal, FILE_NO_VOLUME, VbdRefusal.reason);
  store<u32>(refusal, l.volumes, VbdRefusal.volumes);
  return statusOf(load<u32>(refusal, VbdRefusal.reason));
}
