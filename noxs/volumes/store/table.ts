/**
 * The volume table: which volumes and snapshots a store has. A name is found by its hash, in the leaf that it hashes to or one of the few
 * after it; a leaf counts the records that had to go past it, so that a search knows where to stop.
 *
 * Unlike volumes' trees, the table is never shared: its old nodes are freed when they are replaced.
 */
import { EEXIST, EINVAL, ENOENT, ENOSPC } from "../../../abi/errno";
import {
  BLOCK_ENTRIES,
  BlockHeader,
  Entry,
  ENTRY_BYTES,
  MAGIC_TABLE,
  TABLE_RECORDS,
  VOLUME_NAME_BYTES,
  VolumeRecord,
  VOLUME_USED,
} from "../../../abi/io/volume-format";
import { blockDirty, CacheBlock, cacheRoom, found, nodeCreate, nodeGet, nodeMove } from "./cache";
import { blockFree, blocksReady, blockTake } from "./space";
import { Store, transactionOf } from "./store";
import { commitAndWait } from "./transaction";
import { Task, WAIT } from "../disks/task";

/** Leaves in which a record may be: the one its name hashes to, and those after it. */
const PROBES: u32 = 5;

/** What the last successful call found: a record in a leaf, and its id. */
export let record: usize = 0;
export let recordId: u32 = 0;

let leafBlock: usize = 0;

function rootEntry(leaf: u32): usize {
  return <usize>BlockHeader.SIZE + <usize>leaf * ENTRY_BYTES;
}

function recordAt(leaf: usize, i: u32): usize {
  return changetype<CacheBlock>(leaf).buffer + BlockHeader.SIZE + <usize>i * VolumeRecord.SIZE;
}

function used(at: usize): bool {
  return (load<u32>(at, VolumeRecord.flags) & VOLUME_USED) != 0;
}

/** A leaf of the table, as `leafBlock`: 0 when it is empty. Returns 0, WAIT or -EIO. */
function leafGet(t: Task, s: Store, leaf: u32): i32 {
  leafBlock = 0;
  if (!s.tableTarget) return 0;
  let rc = nodeGet(t, s, MAGIC_TABLE, s.tableTarget, 1, s.tableGeneration);
  if (rc != 0) return rc;
  const entry = changetype<CacheBlock>(found).buffer + rootEntry(leaf);
  if (!load<u32>(entry, Entry.target)) return 0;
  rc = nodeGet(t, s, MAGIC_TABLE, load<u32>(entry, Entry.target), 0, load<u32>(entry, Entry.generation));
  if (rc == 0) leafBlock = found;
  return rc;
}

/** Whether a name may be a volume's: 1 to 63 letters, digits and . _ - + @, of which the first is a letter or digit. */
export function nameValid(name: usize): bool {
  for (let i: u32 = 0; i < VOLUME_NAME_BYTES; i++) {
    const c = <u32>load<u8>(name + i);
    if (!c) return i != 0;
    const alphanumeric = (c >= 0x30 && c <= 0x39) || ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a);
    const mark = c == 0x2e || c == 0x5f || c == 0x2d || c == 0x2b || c == 0x40;
    if (!alphanumeric && (i == 0 || !mark)) return false;
  }
  return false;
}

function nameEquals(at: usize, name: usize): bool {
  for (let i: u32 = 0; i < VOLUME_NAME_BYTES; i++) {
    const c = load<u8>(name + i);
    if (load<u8>(at + VolumeRecord.name + i) != c) return false;
    if (!c) return true;
  }
  return false;
}

/** FNV-1a of a name, as a leaf. */
function homeOf(name: usize): u32 {
  let hash: u32 = 0x811c9dc5;
  for (let i: u32 = 0; i < VOLUME_NAME_BYTES; i++) {
    const c = load<u8>(name + i);
    if (!c) break;
    hash = (hash ^ c) * 0x01000193;
  }
  return hash % BLOCK_ENTRIES;
}

/** Finds a name: 0 (`record`, `recordId`), WAIT, -EINVAL not a name, -ENOENT, -EIO. */
export function tableFind(t: Task, s: Store, name: usize): i32 {
  if (!nameValid(name)) return -EINVAL;
  let leaf = homeOf(name);
  for (let probe: u32 = 0; probe < PROBES; probe++) {
    const rc = leafGet(t, s, leaf);
    if (rc != 0) return rc;
    if (!leafBlock) return -ENOENT;
    for (let i: u32 = 0; i < TABLE_RECORDS; i++) {
      const at = recordAt(leafBlock, i);
      if (!used(at) || !nameEquals(at, name)) continue;
      record = at;
      recordId = leaf * TABLE_RECORDS + i;
      return 0;
    }
    if (!load<u32>(changetype<CacheBlock>(leafBlock).buffer, BlockHeader.passed)) return -ENOENT;
    leaf = leaf + 1 == BLOCK_ENTRIES ? 0 : leaf + 1;
  }
  return -ENOENT;
}

/** Gets the record with this id, to read it: 0 (`record`), WAIT, -ENOENT, -EIO. */
export function tableGet(t: Task, s: Store, id: u32): i32 {
  if (id >= BLOCK_ENTRIES * TABLE_RECORDS) return -ENOENT;
  const rc = leafGet(t, s, id / TABLE_RECORDS);
  if (rc != 0) return rc;
  if (!leafBlock) return -ENOENT;
  const at = recordAt(leafBlock, id % TABLE_RECORDS);
  if (!used(at)) return -ENOENT;
  record = at;
  recordId = id;
  return 0;
}

/** The first record with an id of at least `id`: 0 (`record`, `recordId`), WAIT, -ENOENT there is none, -EIO. Ids grow. */
export function tableNext(t: Task, s: Store, id: u32): i32 {
  for (let leaf = id / TABLE_RECORDS; leaf < BLOCK_ENTRIES; leaf++) {
    const rc = leafGet(t, s, leaf);
    if (rc != 0) return rc;
    if (!leafBlock) continue;
    for (let i: u32 = leaf == id / TABLE_RECORDS ? id % TABLE_RECORDS : 0; i < TABLE_RECORDS; i++) {
      const at = recordAt(leafBlock, i);
      if (!used(at)) continue;
      record = at;
      recordId = leaf * TABLE_RECORDS + i;
      return 0;
    }
  }
  return -ENOENT;
}

// --- Changes: the task has begun a change (changeBegin), or is the commit -------------------------------------------------

/**
 * Makes a leaf, and the root, one of the current transaction's; the task holds it.
 * @returns 0: `leafBlock`; WAIT, -ENOSPC the metadata area is full, -EIO
 */
function leafWritable(t: Task, s: Store, leaf: u32, inCommit: bool): i32 {
  let rc = leafGet(t, s, leaf);
  if (rc != 0) return rc;
  if (leafBlock && blockDirty(changetype<CacheBlock>(leafBlock))) return 0;
  rc = blocksReady(t, s, 2);
  if (rc == -ENOSPC && !inCommit && s.freesCount) {
    commitAndWait(t, s);
    return WAIT;
  }
  if (rc != 0) return rc;
  if (!cacheRoom(t, 2)) return WAIT;
  // Nothing can fail from here on. What was found above is still held.
  let root: CacheBlock;
  if (!s.tableTarget) {
    root = nodeCreate(t, s, MAGIC_TABLE, blockTake(s), 1);
  } else {
    nodeGet(t, s, MAGIC_TABLE, s.tableTarget, 1, s.tableGeneration);
    root = changetype<CacheBlock>(found);
    if (!blockDirty(root)) {
      blockFree(s, root.number);
      nodeMove(s, root, blockTake(s));
    }
  }
  s.tableTarget = root.number;
  s.tableGeneration = <u32>transactionOf(s);
  if (!leafBlock) {
    leafBlock = changetype<usize>(nodeCreate(t, s, MAGIC_TABLE, blockTake(s), 0));
  } else {
    const node = changetype<CacheBlock>(leafBlock);
    blockFree(s, node.number);
    nodeMove(s, node, blockTake(s));
  }
  const entry = root.buffer + rootEntry(leaf);
  store<u32>(entry, changetype<CacheBlock>(leafBlock).number, Entry.target);
  store<u32>(entry, s.epoch, Entry.birth);
  store<u32>(entry, <u32>transactionOf(s), Entry.generation);
  return 0;
}

/** Gets the record with this id, to change it: 0 (`record`), WAIT, -ENOENT, -ENOSPC, -EIO. */
export function tableWritable(t: Task, s: Store, id: u32, inCommit: bool): i32 {
  let rc = tableGet(t, s, id);
  if (rc != 0) return rc;
  rc = leafWritable(t, s, id / TABLE_RECORDS, inCommit);
  if (rc == 0) record = recordAt(leafBlock, id % TABLE_RECORDS);
  return rc;
}

/**
 * Adds a record with this name, VOLUME_USED, all else 0.
 * @returns 0: `record`, `recordId`; WAIT, -EINVAL not a name, -EEXIST, -ENOSPC the table or the metadata area is full, -EIO
 */
export function tableAdd(t: Task, s: Store, name: usize): i32 {
  let rc = tableFind(t, s, name);
  if (rc == 0) return -EEXIST;
  if (rc != -ENOENT) return rc;
  const home = homeOf(name);
  // All leaves that change are made writable first: then nothing can fail.
  let leaf = home;
  let free: u32 = TABLE_RECORDS;
  let probes: u32 = 0;
  for (; probes < PROBES; probes++) {
    rc = leafGet(t, s, leaf);
    if (rc != 0) return rc;
    free = 0;
    if (leafBlock) while (free < TABLE_RECORDS && used(recordAt(leafBlock, free))) free++;
    if (free < TABLE_RECORDS) break;
    leaf = leaf + 1 == BLOCK_ENTRIES ? 0 : leaf + 1;
  }
  if (probes == PROBES) return -ENOSPC;
  for (let i: u32 = 0; i <= probes; i++) {
    rc = leafWritable(t, s, (home + i) % BLOCK_ENTRIES, false);
    if (rc != 0) return rc;
  }
  passedChange(t, s, home, probes, 1);
  leafGet(t, s, leaf);
  const at = recordAt(leafBlock, free);
  memory.fill(at, 0, VolumeRecord.SIZE);
  for (let i: u32 = 0; i < VOLUME_NAME_BYTES - 1 && load<u8>(name + i); i++) {
    store<u8>(at + VolumeRecord.name + i, load<u8>(name + i));
  }
  store<u32>(at, VOLUME_USED, VolumeRecord.flags);
  store<u32>(at, home, VolumeRecord.home);
  s.volumes++;
  record = at;
  recordId = leaf * TABLE_RECORDS + free;
  return 0;
}

/** Removes a record: 0, WAIT, -ENOENT, -ENOSPC, -EIO. */
export function tableRemove(t: Task, s: Store, id: u32): i32 {
  let rc = tableGet(t, s, id);
  if (rc != 0) return rc;
  const leaf = id / TABLE_RECORDS;
  const home = load<u32>(record, VolumeRecord.home) % BLOCK_ENTRIES;
  const probes = (leaf + BLOCK_ENTRIES - home) % BLOCK_ENTRIES;
  if (probes >= PROBES) return -ENOENT;
  for (let i: u32 = 0; i <= probes; i++) {
    rc = leafWritable(t, s, (home + i) % BLOCK_ENTRIES, false);
    if (rc != 0) return rc;
  }
  passedChange(t, s, home, probes, -1);
  leafGet(t, s, leaf);
  memory.fill(recordAt(leafBlock, id % TABLE_RECORDS), 0, VolumeRecord.SIZE);
  s.volumes--;
  return 0;
}

/** Counts a record that went past `probes` leaves from `home` on, all of which the task holds. */
function passedChange(t: Task, s: Store, home: u32, probes: u32, by: i32): void {
  for (let i: u32 = 0; i < probes; i++) {
    leafGet(t, s, (home + i) % BLOCK_ENTRIES);
    const buffer = changetype<CacheBlock>(leafBlock).buffer;
    store<u32>(buffer, load<u32>(buffer, BlockHeader.passed) + by, BlockHeader.passed);
  }
}
