/**
 * A hash table from 64-bit keys to 32-bit values: open addressing, linear probing, nothing left behind by removals. MAC addresses,
 * IPv4 addresses and vifs are found through it.
 *
 * Others choose some of the keys (senders on the wire choose MAC addresses), so an insertion can be limited in how far it
 * probes: whoever makes keys collide keeps only their own keys out.
 */
import { heapAllocate } from "../../../drivers/host/heap";
import { systemTime } from "../../../drivers/host/host";

@unmanaged
export class KeyTable {
  entries: usize;
  /** Entries, a power of two, less one. */
  mask: u32;
  count: u32;
  seed: u64;
}

@unmanaged
export class KeyEntry {
  /** 0: the entry is empty. */
  key: u64;
  value: u32;
  /** For the table's owner. */
  stamp: u32;
}

/** No limit to probing, and the table grows: for keys from configuration. */
export const PROBE_ANY: u32 = 0xffffffff;

/** Makes a table of `entries` entries, a power of two, of which three quarters are used before it grows; false without memory. */
export function keyTableInit(t: KeyTable, entries: u32): bool {
  t.entries = heapAllocate(<usize>entries * offsetof<KeyEntry>());
  t.mask = entries - 1;
  t.count = 0;
  t.seed = systemTime() * 0x9e3779b97f4a7c15;
  return t.entries != 0;
}

/** Whether no more entries may be used. */
function isFull(t: KeyTable): bool {
  return t.count >= t.mask - (t.mask >> 2);
}

/** Doubles a table. The memory of the old one is lost: all that is lost in a table's life is less than what it has. */
function grow(t: KeyTable): bool {
  const old = t.entries;
  const size = t.mask + 1;
  const entries = heapAllocate(((<usize>size) << 1) * offsetof<KeyEntry>());
  if (!entries) return false;
  t.entries = entries;
  t.mask = (size << 1) - 1;
  t.count = 0;
  for (let i: u32 = 0; i < size; i++) {
    const from = changetype<KeyEntry>(old + <usize>i * offsetof<KeyEntry>());
    if (from.key) keyInsert(t, from.key, from.value, PROBE_ANY)!.stamp = from.stamp;
  }
  return true;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function keyEntryAt(t: KeyTable, index: u32): KeyEntry {
  return changetype<KeyEntry>(t.entries + <usize>index * offsetof<KeyEntry>());
}

function homeOf(t: KeyTable, key: u64): u32 {
  let h = (key ^ t.seed) * 0xff51afd7ed558ccd;
  h ^= h >> 32;
  h *= 0xc4ceb9fe1a85ec53;
  return (<u32>(h >> 32)) & t.mask;
}

/** The entry of `key`, which is not 0; null when it is not there. */
export function keyFind(t: KeyTable, key: u64): KeyEntry | null {
  let e = keyEntryAt(t, homeOf(t, key));
  for (let i = homeOf(t, key); e.key && e.key != key; e = keyEntryAt(t, i)) i = (i + 1) & t.mask;
  return e.key ? e : null;
}

/** The value of `key`, 0 when it is not there. */
export function keyValue(t: KeyTable, key: u64): u32 {
  const e = keyFind(t, key);
  return e == null ? 0 : e.value;
}

/**
 * Inserts a key that is not there.
 * @param probes most entries to look at
 * @returns its entry; null when the table is full and does not grow, or no entry is free within `probes`
 */
export function keyInsert(t: KeyTable, key: u64, value: u32, probes: u32): KeyEntry | null {
  if (isFull(t) && (probes != PROBE_ANY || !grow(t))) return null;
  let i = homeOf(t, key);
  for (let n: u32 = 0; n < probes; n++) {
    const e = keyEntryAt(t, i);
    if (!e.key) {
      e.key = key;
      e.value = value;
      t.count++;
      return e;
    }
    i = (i + 1) & t.mask;
  }
  return null;
}

/** Removes a key, if it is there. */
export function keyRemove(t: KeyTable, key: u64): void {
  const found = keyFind(t, key);
  if (found == null) return;
  let hole = <u32>((changetype<usize>(found) - t.entries) / offsetof<KeyEntry>());
  // Entries behind it that probed past the hole move up into it.
  for (let i = (hole + 1) & t.mask; keyEntryAt(t, i).key; i = (i + 1) & t.mask) {
    const home = homeOf(t, keyEntryAt(t, i).key);
    if (((i - home) & t.mask) < ((i - hole) & t.mask)) continue;
    memory.copy(changetype<usize>(keyEntryAt(t, hole)), changetype<usize>(keyEntryAt(t, i)), offsetof<KeyEntry>());
    hole = i;
  }
  keyEntryAt(t, hole).key = 0;
  t.count--;
}
