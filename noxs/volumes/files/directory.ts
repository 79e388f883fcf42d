/** Looking for a name in a directory of a FAT volume, which may be damaged: no more entries than a directory can have are looked at. */
import { FILE_ABSENT, FILE_BAD_DIRECTORY, FILE_IS_DIRECTORY, FILE_NOT_DIRECTORY } from "../../../abi/io/control-block";
import { FAT_ATTRIBUTE_DIRECTORY, FAT_DIRECTORY_ENTRIES, FatEntry } from "../../../abi/io/fat";
import { Task } from "../disks/task";
import { clusterStart, entryMeans, FAT_CHAIN_END, FAT_NEXT, isCluster } from "./fat-volume";
import { NAME_END, nameEntry, nameSearch } from "./file-name";
import { fatEntry, fatLook, Look } from "./look";
import { windowAt, windowResult } from "./window";

/** Begins at the root, with the path's first name. */
export function pathBegin(l: Look): void {
  l.name = 0;
  l.depth = 0;
  enter(l, l.volume.root);
}

/** Begins to look for the name at `l.name` in a directory. */
function enter(l: Look, cluster: u32): void {
  let end = l.name;
  while (end < l.pathLength && load<u8>(l.path + end) != 0x2f) end++;
  nameSearch(l.search, l.path + l.name, end - l.name);
  l.cluster = cluster;
  l.sector = 0;
  l.entries = 0;
  store<u32>(l.directories + ((<usize>l.depth) << 2), cluster);
  l.depth++;
}

/** What pathLook ends with, when it is not an error of the disk. */
export let pathResult: u32 = 0;

/**
 * Follows the path to the file.
 * @returns 0: pathResult is 0 (`first` and `bytes`) or FILE_*, why there is none; WAIT; a negative errno
 */
export function pathLook(l: Look, t: Task): i32 {
  while (true) {
    const v = l.volume;
    const length = l.cluster ? v.clusterSectors : v.rootSectors;
    if (l.sector == length || l.entries >= FAT_DIRECTORY_ENTRIES) {
      const rc = directoryGoOn(l, t);
      if (rc != 0) return rc;
      if (pathResult != 0) return 0;
      continue;
    }
    l.region.start = l.cluster ? clusterStart(v, l.cluster) : v.rootStart;
    l.region.sectors = length;
    const at = windowAt(t, l.data, l.info.disk, l.partition.first, l.region, l.region.start + l.sector);
    if (!at) return windowResult;
    l.sector++;
    for (let i: u32 = 0; i < 512; i += FatEntry.SIZE) {
      const what = nameEntry(l.search, at + i);
      if (what == 0) continue;
      pathResult = what == NAME_END ? FILE_ABSENT : found(l, at + i);
      if (pathResult != ON_THE_WAY) return 0;
      break;
    }
    l.entries += 512 / FatEntry.SIZE;
  }
}

/** Goes to the next cluster of the directory: 0, with pathResult if there is none; WAIT; a negative errno. */
function directoryGoOn(l: Look, t: Task): i32 {
  pathResult = FILE_BAD_DIRECTORY;
  if (l.entries >= FAT_DIRECTORY_ENTRIES) return 0;
  if (!l.cluster) {
    pathResult = FILE_ABSENT;
    return 0;
  }
  const rc = fatLook(l, t, l.cluster);
  if (rc != 0) return rc;
  const means = entryMeans(l.volume, fatEntry);
  if (means == FAT_CHAIN_END) pathResult = FILE_ABSENT;
  if (means != FAT_NEXT) return 0;
  pathResult = 0;
  l.cluster = fatEntry;
  l.sector = 0;
  return 0;
}

/** The name is that of a directory, and another one follows. Not one of FILE_*. */
const ON_THE_WAY: u32 = 0x100;

/** The entry has the name: 0 it is the file, ON_THE_WAY, or FILE_*. */
function found(l: Look, entry: usize): u32 {
  const isDirectory = ((<u32>load<u8>(entry, FatEntry.attributes)) & FAT_ATTRIBUTE_DIRECTORY) != 0;
  const low = <u32>load<u16>(entry, FatEntry.clusterLow);
  const cluster = l.volume.bits == 32 ? low | ((<u32>load<u16>(entry, FatEntry.clusterHigh)) << 16) : low;
  const end = l.name + l.search.length;
  if (end == l.pathLength) {
    if (isDirectory) return FILE_IS_DIRECTORY;
    l.bytes = load<u32>(entry, FatEntry.bytes);
    l.first = cluster;
    return 0;
  }
  if (!isDirectory) return FILE_NOT_DIRECTORY;
  if (!isCluster(l.volume, cluster)) return FILE_BAD_DIRECTORY;
  l.name = end + 1;
  enter(l, cluster);
  return ON_THE_WAY;
}
