/** Disks with a FAT32 partition, made by mtools. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FIRST, makePartitionedDisk } from "../../../scripts/bench/partitioned-disk.ts";

const SECTOR = 512;

function mtools(tool: string, disk: string, args: string[]): void {
  const env = { ...process.env, MTOOLS_SKIP_CHECK: "1", MTOOLSRC: "/dev/null" };
  execFileSync(tool, ["-i", `${disk}@@${FIRST * SECTOR}`, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
}

function inFolder<T>(work: (file: string) => T): T {
  const folder = mkdtempSync(path.join(tmpdir(), "typevisor-fat-"));
  try {
    return work(path.join(folder, "content"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Makes the disk anew: one partition of `size` bytes with these files, and free space behind it.
 * @param files by their paths, of one directory at most
 */
export function makeFatDisk(
  disk: string,
  bytes: number,
  label: string,
  size: number,
  files: Record<string, Uint8Array>,
): void {
  makePartitionedDisk(disk, bytes, label, size);
  mtools("mformat", disk, ["-F", "-T", String(size / SECTOR), "-h", "16", "-s", "63", "-c", "1", "-v", "STOCK", "::"]);
  const made = new Set<string>();
  for (const [name, content] of Object.entries(files)) {
    const directory = path.posix.dirname(name);
    if (directory !== "." && !made.has(directory)) mtools("mmd", disk, [`::${directory}`]);
    made.add(directory);
    inFolder((file) => {
      writeFileSync(file, content);
      mtools("mcopy", disk, [file, `::${name}`]);
    });
  }
}

/** A file of the disk's first partition. */
export function fatFile(disk: string, name: string): Buffer {
  return inFolder((file) => {
    mtools("mcopy", disk, [`::${name}`, file]);
    return readFileSync(file);
  });
}
