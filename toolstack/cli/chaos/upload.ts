/** Kernels and ramdisks for Typevisor: those that it has are named, files are uploaded once, by the hash of their contents. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { SingleBar } from "cli-progress";
import { CommandError } from "../../api/command-error.ts";
import { DATA_MOST } from "../../api/protocol.ts";
import { imagePutRequest } from "../../api/requests/images.ts";
import type { ToolSession } from "./session.ts";

/** Below so many bytes no progress is shown. */
const SHOWN_BYTES = 1024 * 1024;
/** What is read of a file at once: whole frames. */
const CHUNK_BYTES = 8 * DATA_MOST;
const MIB = 1024 * 1024;

/** Whether a kernel's or ramdisk's name is a file of this computer's: it has a slash, or there is such a file. */
export function isFile(name: string): boolean {
  return !name.startsWith("sha256:") && (name.includes("/") || existsSync(name));
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest("hex")}`;
}

/**
 * What a request calls an image: `name` itself, or the hash of the file that it names, which is uploaded if Typevisor lacks it.
 * @throws CommandError when the file cannot be read; RequestFailed, ConnectionLost
 */
export async function provideImage(session: ToolSession, what: string, name: string): Promise<string> {
  if (!isFile(name)) return name;
  const status = statSync(name, { throwIfNoEntry: false });
  if (status === undefined || !status.isFile()) throw new CommandError(`${what}: there is no file ${name}`);
  if (status.size === 0) throw new CommandError(`${what}: the file ${name} is empty`);
  const hash = await hashOf(name);
  const { result, stream } = await session.start(imagePutRequest, {
    hash,
    name: path.basename(name).slice(0, 64),
    bytes: status.size,
  });
  stream.resume();
  const bar = progressBar(name, status.size);
  const source = createReadStream(name, { highWaterMark: CHUNK_BYTES });
  source.on("data", (bytes) => bar.add(bytes.length));
  // The answer may come before everything was sent: the image is there, or there is no room for it.
  const sending = pipeline(source, stream).catch(() => {});
  try {
    await result;
  } finally {
    source.destroy();
    await sending;
    bar.end();
  }
  return hash;
}

/** On a terminal, for what takes a while. */
function progressBar(name: string, size: number): { add(bytes: number): void; end(): void } {
  if (size < SHOWN_BYTES || process.stderr.isTTY !== true) return { add: () => {}, end: () => {} };
  const bar = new SingleBar({
    format: `${path.basename(name)} [{bar}] {percentage}% of ${(size / MIB).toFixed(1)} MiB, {eta} s left`,
    stream: process.stderr,
    clearOnComplete: true,
  });
  bar.start(size, 0);
  return { add: (bytes) => bar.increment(bytes), end: () => bar.stop() };
}
