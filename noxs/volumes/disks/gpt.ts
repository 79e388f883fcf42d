/**
 * Partition tables in memory: checking, reading and making them. Everything in them is checked before it is believed: checksums, places,
 * that partitions are within the usable part of the disk and do not overlap.
 */
import {
  GPT_ENTRIES,
  GPT_NAME_CHARACTERS,
  GPT_REVISION,
  GPT_SIGNATURE_0,
  GPT_SIGNATURE_1,
  GptEntry,
  GptHeader,
  Mbr,
  MBR_SIGNATURE,
  MBR_TYPE_GPT,
} from "../../../abi/io/gpt";
import { VOLUME_TYPE_0, VOLUME_TYPE_1, VOLUME_TYPE_2, VOLUME_TYPE_3 } from "../../../abi/io/volume-format";
import { crc32 } from "./checksum";

/** Most bytes of a table's entries. */
export const GPT_ENTRIES_BYTES_MAX: u32 = 65536;
/** Alignment of a new partition: 1 MiB, in sectors of 512 bytes. */
const ALIGNMENT: u64 = 2048;

/** What partitionFind and gapFind found: in sectors of the disk. */
export let partitionFirst: u64 = 0;
export let partitionLast: u64 = 0;

/** CRC32 of a header with 0 for its checksum. */
function headerSum(header: usize): u32 {
  const was = load<u32>(header, GptHeader.headerChecksum);
  store<u32>(header, 0, GptHeader.headerChecksum);
  const sum = crc32(0, header, load<u32>(header, GptHeader.headerSize));
  store<u32>(header, was, GptHeader.headerChecksum);
  return sum;
}

/** Bytes of the entries that a header describes. */
export function entriesBytes(header: usize): u32 {
  return load<u32>(header, GptHeader.entries) * load<u32>(header, GptHeader.entrySize);
}

/** Whether sector `lba` of a disk of `lbas` sectors holds a header that can be believed, but for the entries. */
export function headerValid(header: usize, sectorSize: u32, lba: u64, lbas: u64): bool {
  if (load<u32>(header) != GPT_SIGNATURE_0 || load<u32>(header, 4) != GPT_SIGNATURE_1) return false;
  const size = load<u32>(header, GptHeader.headerSize);
  if (size < GptHeader.SIZE || size > sectorSize) return false;
  if (load<u32>(header, GptHeader.headerChecksum) != headerSum(header)) return false;
  if (load<u64>(header, GptHeader.myLba) != lba) return false;
  const entrySize = load<u32>(header, GptHeader.entrySize);
  const entries = load<u32>(header, GptHeader.entries);
  if (entrySize < GptEntry.SIZE || (entrySize & (entrySize - 1)) != 0) return false;
  if (entries == 0 || entries > GPT_ENTRIES_BYTES_MAX / entrySize) return false;
  const first = load<u64>(header, GptHeader.firstUsable);
  const last = load<u64>(header, GptHeader.lastUsable);
  if (first < 2 || first > last || last >= lbas) return false;
  const table = load<u64>(header, GptHeader.entriesLba);
  const length = <u64>((entries * entrySize + sectorSize - 1) / sectorSize);
  if (table < 2 || table >= lbas || length > lbas - table) return false;
  // The entries are not where the partitions are, and not where a header is.
  return (table + length <= first || table > last) && (lba < table || lba >= table + length);
}

/** Entry `i`; its type is 0 when it is not in use. */
export function entryAt(header: usize, entries: usize, i: u32): usize {
  return entries + <usize>i * load<u32>(header, GptHeader.entrySize);
}

export function entryUsed(entry: usize): bool {
  return (load<u64>(entry) | load<u64>(entry, 8)) != 0;
}

/** Whether the entries are those of a valid header, and each can be believed. */
export function entriesValid(header: usize, entries: usize): bool {
  if (crc32(0, entries, entriesBytes(header)) != load<u32>(header, GptHeader.entriesChecksum)) return false;
  const count = load<u32>(header, GptHeader.entries);
  for (let i: u32 = 0; i < count; i++) {
    const e = entryAt(header, entries, i);
    if (!entryUsed(e)) continue;
    const first = load<u64>(e, GptEntry.firstLba);
    const last = load<u64>(e, GptEntry.lastLba);
    if (first > last) return false;
    if (first < load<u64>(header, GptHeader.firstUsable) || last > load<u64>(header, GptHeader.lastUsable))
      return false;
    for (let j: u32 = 0; j < i; j++) {
      const other = entryAt(header, entries, j);
      if (!entryUsed(other)) continue;
      if (first <= load<u64>(other, GptEntry.lastLba) && load<u64>(other, GptEntry.firstLba) <= last) return false;
    }
  }
  return true;
}

/** Whether an entry is a partition for a volume store. */
export function entryIsStore(entry: usize): bool {
  return (
    load<u32>(entry) == VOLUME_TYPE_0 &&
    load<u32>(entry, 4) == VOLUME_TYPE_1 &&
    load<u32>(entry, 8) == VOLUME_TYPE_2 &&
    load<u32>(entry, 12) == VOLUME_TYPE_3
  );
}

/** Copies an entry's name as ASCII: 36 bytes, NUL-padded, other characters as '?'. */
export function entryName(entry: usize, to: usize): void {
  memory.fill(to, 0, GPT_NAME_CHARACTERS);
  for (let i: u32 = 0; i < GPT_NAME_CHARACTERS; i++) {
    const c = <u32>load<u16>(entry + GptEntry.name + (i << 1));
    if (!c) return;
    store<u8>(to + i, c >= 0x20 && c < 0x7f ? <u8>c : 0x3f);
  }
}

// --- Making --------------------------------------------------------------------------------------------------------------

/** Makes an empty table for a disk, of which `header` becomes the first header: zeroed, and as large as a sector. */
export function tableMake(header: usize, sectorSize: u32, lbas: u64, guid0: u64, guid1: u64): void {
  const table = <u64>(GPT_ENTRIES * GptEntry.SIZE) / sectorSize;
  store<u32>(header, GPT_SIGNATURE_0);
  store<u32>(header, GPT_SIGNATURE_1, 4);
  store<u32>(header, GPT_REVISION, GptHeader.revision);
  store<u32>(header, GptHeader.SIZE, GptHeader.headerSize);
  store<u64>(header, 1, GptHeader.myLba);
  store<u64>(header, lbas - 1, GptHeader.alternateLba);
  store<u64>(header, 2 + table, GptHeader.firstUsable);
  store<u64>(header, lbas - 2 - table, GptHeader.lastUsable);
  store<u64>(header, guid0, GptHeader.diskGuid);
  store<u64>(header, guid1, GptHeader.diskGuid + 8);
  store<u64>(header, 2, GptHeader.entriesLba);
  store<u32>(header, GPT_ENTRIES, GptHeader.entries);
  store<u32>(header, GptEntry.SIZE, GptHeader.entrySize);
}

/** The protective MBR of a disk. */
export function mbrMake(at: usize, lbas: u64): void {
  memory.fill(at, 0, 512);
  const p = at + Mbr.partition;
  store<u32>(p, 0x00020000); // not active; begins at cylinder 0, head 0, sector 2
  store<u32>(p, 0xffffff00 | MBR_TYPE_GPT, 4);
  store<u32>(p, 1, 8);
  store<u32>(p, <u32>min<u64>(lbas - 1, 0xffffffff), 12);
  store<u16>(at, <u16>MBR_SIGNATURE, Mbr.signature);
}

/**
 * The largest gap between partitions, aligned to 1 MiB: partitionFirst, partitionLast. False when there is none of at least `least`
 * sectors of the disk.
 */
export function gapFind(header: usize, entries: usize, sectorSize: u32, least: u64): bool {
  const unit = (ALIGNMENT * 512) / sectorSize;
  const count = load<u32>(header, GptHeader.entries);
  let best: u64 = 0;
  let at = load<u64>(header, GptHeader.firstUsable);
  const end = load<u64>(header, GptHeader.lastUsable);
  // Gaps in ascending order: from `at` to the next partition that begins there or later.
  while (at <= end) {
    let next: u64 = end + 1;
    let after: u64 = end + 1;
    for (let i: u32 = 0; i < count; i++) {
      const e = entryAt(header, entries, i);
      if (!entryUsed(e)) continue;
      const first = load<u64>(e, GptEntry.firstLba);
      if (first < at || first >= next) continue;
      next = first;
      after = load<u64>(e, GptEntry.lastLba) + 1;
    }
    const from = ((at + unit - 1) / unit) * unit;
    const to = (next / unit) * unit;
    if (to > from && to - from > best) {
      best = to - from;
      partitionFirst = from;
      partitionLast = to - 1;
    }
    at = after;
  }
  return best >= least && best != 0;
}

/** Adds a partition for a store, where gapFind found room. False when no entry is free. */
export function entryAdd(header: usize, entries: usize, guid0: u64, guid1: u64): bool {
  const count = load<u32>(header, GptHeader.entries);
  for (let i: u32 = 0; i < count; i++) {
    const e = entryAt(header, entries, i);
    if (entryUsed(e)) continue;
    memory.fill(e, 0, load<u32>(header, GptHeader.entrySize));
    store<u32>(e, VOLUME_TYPE_0);
    store<u32>(e, VOLUME_TYPE_1, 4);
    store<u32>(e, VOLUME_TYPE_2, 8);
    store<u32>(e, VOLUME_TYPE_3, 12);
    store<u64>(e, guid0, GptEntry.guid);
    store<u64>(e, guid1, GptEntry.guid + 8);
    store<u64>(e, partitionFirst, GptEntry.firstLba);
    store<u64>(e, partitionLast, GptEntry.lastLba);
    const name = "typevisor-volumes";
    for (let j: i32 = 0; j < name.length; j++) {
      store<u16>(e + GptEntry.name + (j << 1), load<u16>(changetype<usize>(name) + (j << 1)));
    }
    return true;
  }
  return false;
}

/** Makes a header the first one (copy 0) or the second one of its disk, for these entries. */
export function headerSeal(header: usize, entries: usize, copy: u32, sectorSize: u32, lbas: u64): void {
  const table = <u64>((entriesBytes(header) + sectorSize - 1) / sectorSize);
  store<u64>(header, copy ? lbas - 1 : 1, GptHeader.myLba);
  store<u64>(header, copy ? 1 : lbas - 1, GptHeader.alternateLba);
  store<u64>(header, copy ? lbas - 1 - table : 2, GptHeader.entriesLba);
  store<u32>(header, crc32(0, entries, entriesBytes(header)), GptHeader.entriesChecksum);
  store<u32>(header, headerSum(header), GptHeader.headerChecksum);
}
