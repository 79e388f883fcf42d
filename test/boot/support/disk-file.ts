/** Disks of the machines in tests: files of this computer. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ExecutionContext } from "ava";

/** An empty disk, gone with the test. */
export function diskFile(t: ExecutionContext, bytes: number): string {
  const folder = mkdtempSync(path.join(tmpdir(), "typevisor-disks-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "disk.img");
  writeFileSync(file, "");
  truncateSync(file, bytes);
  return file;
}
