/** The archive of files that the guest `web` serves; guests/lib/data/archive.h describes the format. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

export interface ArchiveFile {
  /** Components separated by "/", without one in front. */
  path: string;
  data: Uint8Array;
}

const MAGIC = "TVFILES1";
const BLOCK = 4096;
const HEADER_BYTES = 64;
const ENTRY_BYTES = 32;
const CRC_AT = 24;
const MAX_PATH = 0xffff;

/** CRC-32 as zlib computes it; Node's own came only with version 20.15. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ ((value & 1) === 0 ? 0 : 0xedb88320);
  return value;
});

function roundUp(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

function checkPath(name: string): Buffer {
  const bytes = Buffer.from(name, "utf8");
  const parts = name.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..") || name.includes("\0")) {
    throw new Error(`"${name}" is no path for an archive: its components may not be empty, "." or ".."`);
  }
  if (bytes.length > MAX_PATH) throw new Error(`a path of ${bytes.length} bytes is too long: at most ${MAX_PATH}`);
  return bytes;
}

/** The image of an archive: a multiple of 4096 bytes. */
export function packArchive(files: ArchiveFile[]): Buffer {
  const sorted = files
    .map((file) => ({ name: checkPath(file.path), path: file.path, data: file.data }))
    .sort((a, b) => Buffer.compare(a.name, b.name));
  sorted.forEach((file, i) => {
    if (i > 0 && file.name.equals(sorted[i - 1].name)) throw new Error(`${file.path} is given twice`);
  });

  const names = HEADER_BYTES + sorted.length * ENTRY_BYTES;
  const indexBytes = roundUp(names + sorted.reduce((sum, { name }) => sum + name.length, 0));
  if (indexBytes > 0xffffffff) throw new Error("too many files for an archive");
  const out = Buffer.alloc(indexBytes + sorted.reduce((sum, { data }) => sum + roundUp(data.length), 0));
  out.write(MAGIC, 0, "latin1");
  out.writeUInt32LE(sorted.length, 8);
  out.writeUInt32LE(indexBytes, 12);
  out.writeBigUInt64LE(BigInt(out.length), 16);
  let [nameAt, dataAt] = [names, indexBytes];
  sorted.forEach(({ name, data }, i) => {
    const entry = HEADER_BYTES + i * ENTRY_BYTES;
    out.writeBigUInt64LE(BigInt(dataAt), entry);
    out.writeBigUInt64LE(BigInt(data.length), entry + 8);
    out.writeUInt32LE(nameAt, entry + 16);
    out.writeUInt16LE(name.length, entry + 20);
    out.writeUInt32LE(crc32(data), entry + 24);
    out.set(name, nameAt);
    out.set(data, dataAt);
    nameAt += name.length;
    dataAt += roundUp(data.length);
  });
  out.writeUInt32LE(crc32(out.subarray(0, indexBytes)), CRC_AT);
  return out;
}

function filesOfFolder(folder: string, prefix: string): ArchiveFile[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => filesOf(path.join(folder, entry.name), `${prefix}${entry.name}`));
}

/** The file `name`, or all files below the folder of that name, for an archive in which it has the path `as`. */
function filesOf(name: string, as: string): ArchiveFile[] {
  const status = statSync(name);
  if (status.isDirectory()) return filesOfFolder(name, `${as}/`);
  if (!status.isFile()) throw new Error(`${name} is neither a file nor a folder`);
  return [{ path: as, data: readFileSync(name) }];
}

/** Files for an archive: of a folder its contents, each with its path below the folder; a file by its own name. */
export function collectFiles(names: string[]): ArchiveFile[] {
  return names.flatMap((name) => {
    let status;
    try {
      status = statSync(name);
    } catch {
      throw new Error(`there is no file or folder ${name}`);
    }
    return status.isDirectory() ? filesOfFolder(name, "") : filesOf(name, path.basename(name));
  });
}
