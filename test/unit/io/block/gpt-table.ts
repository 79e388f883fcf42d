/** Partition tables for simulated disks. */
import { crc32 } from "node:zlib";
import { GptEntry, GptHeader } from "../../../../abi/io/gpt.ts";
import { SECTOR, type SimDisk } from "./sim-disk.ts";

export interface TablePartition {
  name: string;
  first: number;
  last: number;
  /** 16 bytes; by default some. */
  type?: Uint8Array;
}

/** Writes both copies of a table of 128 entries; `twist` may change header and entries before their checksums are made. */
export function writeTable(
  disk: SimDisk,
  partitions: TablePartition[],
  twist: (header: Buffer, entries: Buffer, copy: number) => void = () => {},
): void {
  const entries = Buffer.alloc(128 * GptEntry.SIZE);
  partitions.forEach((partition, i) => {
    const at = i * GptEntry.SIZE;
    entries.set(partition.type ?? Buffer.alloc(16, 0x77), at);
    entries.fill(i + 1, at + GptEntry.guid, at + GptEntry.guid + 16);
    entries.writeBigUInt64LE(BigInt(partition.first), at + GptEntry.firstLba);
    entries.writeBigUInt64LE(BigInt(partition.last), at + GptEntry.lastLba);
    entries.write(partition.name, at + GptEntry.name, "utf16le");
  });
  for (const copy of [0, 1]) {
    const header = Buffer.alloc(SECTOR);
    const own = Buffer.from(entries);
    header.write("EFI PART", 0, "latin1");
    header.writeUInt32LE(0x10000, GptHeader.revision);
    header.writeUInt32LE(GptHeader.SIZE, GptHeader.headerSize);
    const last = disk.sectors - 1;
    const table = copy ? last - 32 : 2;
    header.writeBigUInt64LE(BigInt(copy ? last : 1), GptHeader.myLba);
    header.writeBigUInt64LE(BigInt(copy ? 1 : last), GptHeader.alternateLba);
    header.writeBigUInt64LE(34n, GptHeader.firstUsable);
    header.writeBigUInt64LE(BigInt(last - 33), GptHeader.lastUsable);
    header.writeBigUInt64LE(BigInt(table), GptHeader.entriesLba);
    header.writeUInt32LE(128, GptHeader.entries);
    header.writeUInt32LE(GptEntry.SIZE, GptHeader.entrySize);
    header.writeUInt32LE(crc32(own), GptHeader.entriesChecksum);
    twist(header, own, copy);
    header.writeUInt32LE(0, GptHeader.headerChecksum);
    const size = Math.min(header.readUInt32LE(GptHeader.headerSize), SECTOR);
    header.writeUInt32LE(crc32(header.subarray(0, size)), GptHeader.headerChecksum);
    disk.corrupt(copy ? last : 1, (data) => data.set(header));
    for (let i = 0; i < 32; i++)
      disk.corrupt(table + i, (data) => data.set(own.subarray(i * SECTOR, (i + 1) * SECTOR)));
  }
}
