/**
 * The clusters of a file, from its FAT: followed to their end, and compared with all others.
 *
 * A chain is good when it ends at the cluster that the file's size says: then it has no cycle, for a cluster that comes twice is
 * followed by the same ones again, and never by an end. Two chains share no cluster when no entry but the chain's own leads to one of its clusters:
 * of two files with a common cluster at least one has one more.
 */
import {
  FILE_CHAIN_BROKEN,
  FILE_CHAIN_CYCLE,
  FILE_CHAIN_LONG,
  FILE_CHAIN_SHORT,
  FILE_CROSS_LINKED,
  FILE_FRAGMENTS,
} from "../../../abi/io/control-block";
import { Task } from "../disks/task";
import { entryMeans, FAT_CHAIN_END, FAT_NEXT, isCluster } from "./fat-volume";
import { draftAdd, draftHas, draftPassed, draftSort } from "./extents";
import { fatEntry, fatLook, Look } from "./look";

/** What chainLook and crossLook end with, when it is not an error of the disk: 0 good, or FILE_*. */
export let chainResult: u32 = 0;

/** Begins at the file's first cluster; draftBegin has been called. 0, or FILE_*. */
export function chainBegin(l: Look): u32 {
  const v = l.volume;
  const bytes = (<u64>v.clusterSectors) << 9;
  l.clusters = <u32>((<u64>l.bytes + bytes - 1) / bytes);
  if (!isCluster(v, l.first)) return FILE_CHAIN_BROKEN;
  if (l.clusters > v.clusters) return FILE_CHAIN_SHORT;
  l.cluster = l.first;
  l.walked = 1;
  draftAdd(l.first);
  return 0;
}

/** Follows the chain into the list of extents: 0 (chainResult), WAIT, or a negative errno. */
export function chainLook(l: Look, t: Task): i32 {
  while (true) {
    const rc = fatLook(l, t, l.cluster);
    if (rc != 0) return rc;
    const next = fatEntry;
    const means = entryMeans(l.volume, next);
    if (means == FAT_CHAIN_END) {
      chainResult = l.walked == l.clusters ? 0 : FILE_CHAIN_SHORT;
      return 0;
    }
    chainResult = means == FAT_NEXT ? goOn(l, next) : FILE_CHAIN_BROKEN;
    if (chainResult != 0) return 0;
  }
}

/** The chain goes on with a cluster: 0, or FILE_*. */
function goOn(l: Look, next: u32): u32 {
  if (l.walked < l.clusters && draftAdd(next)) {
    l.cluster = next;
    l.walked++;
    return 0;
  }
  // Whatever has a cycle comes here; from a cluster that it has passed already.
  if (draftPassed(next)) return FILE_CHAIN_CYCLE;
  return l.walked == l.clusters ? FILE_CHAIN_LONG : FILE_FRAGMENTS;
}

/** Begins to compare the chain, which is good, with the rest of the FAT. 0, or FILE_CROSS_LINKED: it has a directory on the way to it. */
export function crossBegin(l: Look): u32 {
  draftSort();
  l.scan = 2;
  l.links = 0;
  for (let i: u32 = 0; i < l.depth; i++) {
    const directory = load<u32>(l.directories + ((<usize>i) << 2));
    if (directory && draftHas(directory)) return FILE_CROSS_LINKED;
  }
  return 0;
}

/** Looks at every entry of the FAT: 0 (chainResult), WAIT, or a negative errno. */
export function crossLook(l: Look, t: Task): i32 {
  const v = l.volume;
  while (l.scan - 2 < v.clusters) {
    const rc = fatLook(l, t, l.scan);
    if (rc != 0) return rc;
    if (isCluster(v, fatEntry) && draftHas(fatEntry)) l.links++;
    l.scan++;
  }
  chainResult = l.links == l.clusters - 1 ? 0 : FILE_CROSS_LINKED;
  return 0;
}
