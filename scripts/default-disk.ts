/** The disk that `npm start` gives the machine when it is told of none: a sparse file that is kept from session to session. */
import { closeSync, existsSync, mkdirSync, openSync, readSync } from "node:fs";
import path from "node:path";
import { giveLock, takeLock } from "./build/lock.ts";
import { type Disk, openDisk } from "./devices.ts";
import { keptFolder } from "./paths.ts";

export const DEFAULT_DISK = { file: path.join(keptFolder, "disk.img"), bytes: 4 * 1024 ** 3 };

export interface DefaultDisk {
  disk: Disk;
  /** There is nothing on it: it is to be formatted. */
  blank: boolean;
}

/** Where a GPT begins, and what with. */
const GPT_AT = 512;
const GPT_SIGNATURE = "EFI PART";

/** Whether a disk has a partition table. */
function hasTable(file: string): boolean {
  const bytes = Buffer.alloc(GPT_SIGNATURE.length);
  const handle = openSync(file, "r");
  try {
    readSync(handle, bytes, 0, bytes.length, GPT_AT);
  } finally {
    closeSync(handle);
  }
  return bytes.toString("latin1") === GPT_SIGNATURE;
}

/**
 * Takes the disk for this process, until it ends.
 * @returns the process that has it, where another session does
 */
export function takeDefaultDisk({ file, bytes } = DEFAULT_DISK): DefaultDisk | number {
  mkdirSync(path.dirname(file), { recursive: true });
  const lock = `${file}.session`;
  const holder = takeLock(lock);
  if (holder !== null) return holder;
  process.once("exit", () => giveLock(lock));
  const disk = openDisk(existsSync(file) ? { file } : { file, bytes });
  return { disk, blank: !hasTable(file) };
}
