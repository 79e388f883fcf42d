/**
 * The log of changes that are not yet on the disk, in stable memory. A write that was answered is in its volume's tree in memory, and
 * on the disk only after a commit; when the domain is restarted in between, the changes are made again from the log before
 * anything else happens. A loss of power takes them along with the disk's cache, as it may.
 *
 * A record says what a chunk of a volume refers to from then on, and which transaction changes it. Only those of the transaction
 * after the one on the disk count: the others are on it already.
 */
import { stableRegion } from "../../../drivers/host/stable";
import { read32, read64, write32, write64 } from "../../../drivers/host/host";
import { Store, storeAt, STORES_MAX, STORE_ABSENT, transactionOf } from "./store";
import { Volume } from "./volume";

const TAG: u32 = 0x564c4f47; // "VLOG"
/** Changes that fit: 192 KiB for each store. */
export const LOG_RECORDS: u32 = 8192;
const HEADER_BYTES: u32 = 32;
const LOG_BYTES: u32 = 196640; // HEADER_BYTES + LOG_RECORDS * LogRecord.SIZE

namespace LogHeader {
  export const id: u32 = 0; // u64, both halves of the store's UUID; 0: it belongs to none
  export const id1: u32 = 8;
  export const count: u32 = 16;
}

export namespace LogRecord {
  export const volume: u32 = 0; // its id
  export const chunk: u32 = 4;
  export const target: u32 = 8; // Entry of the leaf
  export const birth: u32 = 12;
  export const mask: u32 = 16;
  export const transaction: u32 = 20; // low half
  export const SIZE: u32 = 24;
}

function regionOf(i: u32): usize {
  const all = stableRegion(TAG, STORES_MAX * LOG_BYTES);
  return all ? all + <usize>i * LOG_BYTES : 0;
}

function belongsTo(log: usize, s: Store): bool {
  return read64(log + LogHeader.id) == s.id && read64(log + LogHeader.id1) == s.id1;
}

/** Whether a log belongs to no store that is there. */
function isSpare(log: usize): bool {
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    const s = storeAt(i);
    if (s.state != STORE_ABSENT && s.log == log) return false;
  }
  return true;
}

/** Finds the store's log, or gives it an empty one. False when there is no stable memory. */
export function logOpen(s: Store): bool {
  if (!regionOf(0)) return false;
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    const log = regionOf(i);
    if (!belongsTo(log, s) || !isSpare(log)) continue;
    s.log = log;
    return true;
  }
  // Logs of stores that are gone are given up last: an unused one first.
  let spare: usize = 0;
  for (let i: u32 = 0; i < STORES_MAX; i++) {
    const log = regionOf(i);
    if (!isSpare(log)) continue;
    if (!spare || read64(log + LogHeader.id) == 0) spare = log;
  }
  if (!spare) return false;
  write32(spare + LogHeader.count, 0);
  write64(spare + LogHeader.id, s.id);
  write64(spare + LogHeader.id1, s.id1);
  s.log = spare;
  return true;
}

/** Whether another change fits. */
export function logRoom(s: Store): bool {
  return read32(s.log + LogHeader.count) + 2 <= LOG_RECORDS;
}

/** Enters a change of the current transaction. It counts from the moment in which `count` is written. */
export function logChange(v: Volume, chunk: u32, target: u32, birth: u32, mask: u32): void {
  const s = v.store;
  if (s.replaying) return;
  const count = read32(s.log + LogHeader.count);
  const record = logRecord(s, count);
  write32(record + LogRecord.volume, v.id);
  write32(record + LogRecord.chunk, chunk);
  write32(record + LogRecord.target, target);
  write32(record + LogRecord.birth, birth);
  write32(record + LogRecord.mask, mask);
  write32(record + LogRecord.transaction, <u32>transactionOf(s));
  write32(s.log + LogHeader.count, count + 1);
}

/** Every change is on the disk. */
export function logClear(s: Store): void {
  write32(s.log + LogHeader.count, 0);
}

/** Records in the log, of whatever transaction. */
export function logCount(s: Store): u32 {
  return min(read32(s.log + LogHeader.count), LOG_RECORDS);
}

export function logRecord(s: Store, i: u32): usize {
  return s.log + HEADER_BYTES + <usize>i * LogRecord.SIZE;
}
