/**
 * Output to the machine's serial console. It is queued and passed to the hypervisor in pieces: at the end of a turn,
 * after the promise jobs that wrote it, and as a task for output beyond one turn's share. A serial line is slow: callers with
 * much output must wait for it (`printed`, `whenDrained`).
 */
import type { Interruption } from "../interruption.ts";
import { memory } from "../host.ts";
import { consoleWrite } from "../hypercalls/console-io.ts";
import { reserveScratch } from "../scratch.ts";
import { giveWay, Task, turnIsOver } from "../tasks.ts";
import { forEachUtf8Byte, pieceEnd } from "../text.ts";
import { showLife } from "../watchdog.ts";

const LF = 0x0a;

/** Bytes that go out in one hypercall, or a few more: some 20 ms of a slow line. */
const PIECE = 256;
/** Bytes of UTF-8 for a UTF-16 code unit, at most. */
const UTF8_MAX = 3;
/** Queue length beyond which producers must wait. */
const FULL = 16 * 1024;
/** Room of a chunk for bytes: many small ones share it. */
const CHUNK_BYTES = 1024;

const buffer = reserveScratch((PIECE + 1) * UTF8_MAX + PIECE);
/** The buffer as bytes; there from the first output on. */
let bytes: Uint8Array | null = null;

/** Bytes of a guest or of the log: the first `used` of `bytes`. */
interface ByteChunk {
  readonly bytes: Uint8Array;
  used: number;
}

/** The queue starts at chunk number `first`, of which the first `at` bytes or characters have been written. */
let chunks: (string | ByteChunk)[] = [];
let first = 0;
let at = 0;
/** Characters and bytes that wait. */
let queued = 0;
let flushPromised = false;
/** The latest byte or character written. */
let latest = 0;
/** Who waits for room. */
let listeners: (() => void)[] = [];

/** What is more than a turn's part. */
const rest = new Task("the console's output", () => {
  flushConsole();
  return false;
});

/** As `flushConsole`, unless it is to be done by a turn that follows. */
export function flushTurn(): void {
  if (!rest.waits) flushConsole();
}

function promiseFlush(): void {
  if (flushPromised) return;
  flushPromised = true;
  Promise.resolve().then(() => {
    flushPromised = false;
    flushTurn();
  });
}

/** Writes text. The hypervisor makes "\r\n" of "\n" on the serial line. */
export function print(text: string): void {
  if (text === "") return;
  chunks.push(text);
  queued += text.length;
  latest = text.charCodeAt(text.length - 1);
  promiseFlush();
}

/** Writes bytes of a guest or of the log. */
export function printBytes(bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  let last = chunks[chunks.length - 1];
  if (last === undefined || typeof last === "string" || last.used + bytes.length > last.bytes.length) {
    last = { bytes: new Uint8Array(Math.max(bytes.length, CHUNK_BYTES)), used: 0 };
    chunks.push(last);
  }
  last.bytes.set(bytes, last.used);
  last.used += bytes.length;
  queued += bytes.length;
  latest = bytes[bytes.length - 1]!;
  promiseFlush();
}

/** True if the cursor will be at the beginning of a line once all has been written. */
export function atLineStart(): boolean {
  return latest === LF || latest === 0;
}

/** True if the queue is so long that producers should wait. */
export function outputFull(): boolean {
  return queued >= FULL;
}

/** Calls `listener` once when there is room again. */
export function whenDrained(listener: () => void): void {
  listeners.push(listener);
}

/** Drops queued output. */
export function dropOutput(): void {
  chunks = [];
  first = at = queued = 0;
}

/**
 * To be awaited between the parts of a long output, and behind one that may be long: goes on when there is room for more and
 * others have had their turn. When the user interrupts, what waits is dropped.
 */
export async function printed(interruption: Interruption): Promise<void> {
  if (outputFull()) {
    await new Promise<void>((resolve) => {
      whenDrained(resolve);
      interruption.onRaise(resolve);
    });
    if (interruption.raised) dropOutput();
  }
  await giveWay();
}

/** Copies what comes next of the first chunk into the buffer, from `used` on; returns the new end. */
function copyNext(bytes: Uint8Array, used: number): number {
  const chunk = chunks[first]!;
  const most = PIECE - used;
  let taken: number;
  if (typeof chunk === "string") {
    const piece = chunk.slice(at, pieceEnd(chunk, at, most));
    taken = piece.length;
    forEachUtf8Byte(piece, (byte) => (bytes[used++] = byte));
  } else {
    taken = Math.min(most, chunk.used - at);
    bytes.set(chunk.bytes.subarray(at, at + taken), used);
    used += taken;
  }
  at += taken;
  queued -= taken;
  if (at === (typeof chunk === "string" ? chunk.length : chunk.used)) {
    at = 0;
    first++;
  }
  return used;
}

/** Hands a piece to the hypervisor. */
function writePiece(): void {
  bytes ??= memory.bytes(buffer.address, buffer.size);
  let used = 0;
  while (used < PIECE && first < chunks.length) used = copyNext(bytes, used);
  if (first === chunks.length || first > 1000) {
    chunks = chunks.slice(first);
    first = 0;
  }
  consoleWrite(buffer.address, used);
}

/** Passes queued output to the hypervisor: at least one piece; output beyond this turn's share follows by itself. */
export function flushConsole(): void {
  while (queued > 0) {
    writePiece();
    if (queued === 0 || !turnIsOver()) continue;
    rest.request();
    break;
  }
  if (listeners.length === 0 || queued > FULL / 2) return;
  const ready = listeners;
  listeners = [];
  for (const listener of ready) listener();
}

/** Hands everything written so far to the hypervisor, however long that takes. */
export function flushAll(): void {
  while (queued > 0) {
    writePiece();
    showLife();
  }
}
