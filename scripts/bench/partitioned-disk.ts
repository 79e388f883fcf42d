/** A disk image, sparse, with one partition: with a GUID partition table, for Typevisor and Linux alike. */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { GPT_ENTRIES, GptEntry, GptHeader, Mbr, MBR_SIGNATURE, MBR_TYPE_GPT } from "../../abi/io/gpt.ts";

const SECTOR = 512;
const TABLE_SECTORS = (GPT_ENTRIES * GptEntry.SIZE) / SECTOR;
/** Where partitions begin, in sectors: at a MiB, as all tools have it. */
export const FIRST = 2048;
const LINUX_DATA = Buffer.from("af3dc60f838472478e793d69d8477de4", "hex");
const SOME_GUID = Buffer.from("5479706576697365722062656e636831", "hex");

function protectiveMbr(sectors: number): Buffer {
  const mbr = Buffer.alloc(SECTOR);
  mbr[Mbr.partition + 4] = MBR_TYPE_GPT;
  mbr.writeUInt32LE(1, Mbr.partition + 8);
  mbr.writeUInt32LE(Math.min(sectors - 1, 0xffffffff), Mbr.partition + 12);
  mbr.writeUInt16LE(MBR_SIGNATURE, Mbr.signature);
  return mbr;
}

function header(own: number, other: number, table: number, last: number, entries: Buffer): Buffer {
  const sector = Buffer.alloc(SECTOR);
  sector.write("EFI PART", GptHeader.signature, "latin1");
  sector.writeUInt32LE(0x10000, GptHeader.revision);
  sector.writeUInt32LE(GptHeader.SIZE, GptHeader.headerSize);
  sector.writeBigUInt64LE(BigInt(own), GptHeader.myLba);
  sector.writeBigUInt64LE(BigInt(other), GptHeader.alternateLba);
  sector.writeBigUInt64LE(BigInt(2 + TABLE_SECTORS), GptHeader.firstUsable);
  sector.writeBigUInt64LE(BigInt(last - 1 - TABLE_SECTORS), GptHeader.lastUsable);
  SOME_GUID.copy(sector, GptHeader.diskGuid);
  sector.writeBigUInt64LE(BigInt(table), GptHeader.entriesLba);
  sector.writeUInt32LE(GPT_ENTRIES, GptHeader.entries);
  sector.writeUInt32LE(GptEntry.SIZE, GptHeader.entrySize);
  sector.writeUInt32LE(crc32(entries), GptHeader.entriesChecksum);
  sector.writeUInt32LE(crc32(sector.subarray(0, GptHeader.SIZE)), GptHeader.headerChecksum);
  return sector;
}

/** Makes it, or makes it anew. @param label of the partition @param size of the partition, in bytes; all of the disk if not given */
export function makePartitionedDisk(file: string, bytes: number, label: string, size?: number): void {
  const sectors = bytes / SECTOR;
  const last = sectors - 1;
  const end = size === undefined ? last - 1 - TABLE_SECTORS : FIRST + size / SECTOR - 1;
  const entries = Buffer.alloc(GPT_ENTRIES * GptEntry.SIZE);
  LINUX_DATA.copy(entries, GptEntry.type);
  SOME_GUID.copy(entries, GptEntry.guid);
  entries.writeBigUInt64LE(BigInt(FIRST), GptEntry.firstLba);
  entries.writeBigUInt64LE(BigInt(end), GptEntry.lastLba);
  entries.write(label, GptEntry.name, "utf16le");
  const image = openSync(file, "w");
  try {
    ftruncateSync(image, bytes);
    const put = (sector: number, data: Buffer) => writeSync(image, data, 0, data.length, sector * SECTOR);
    put(0, protectiveMbr(sectors));
    put(1, header(1, last, 2, last, entries));
    put(2, entries);
    put(last - TABLE_SECTORS, entries);
    put(last, header(last, 1, last - TABLE_SECTORS, last, entries));
  } finally {
    closeSync(image);
  }
}
