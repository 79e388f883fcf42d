/**
 * Output to the machine's serial console. Bytes collect in a page of scratch memory and go out in one hypercall when the
 * page is full, at the end of a turn, or after the promise jobs that wrote them.
 */
import { memory } from "../host.ts";
import { consoleWrite } from "../hypercalls/console-io.ts";
import { reserveScratch } from "../scratch.ts";
import { forEachUtf8Byte } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";

const LF = 0x0a;

const page = reserveScratch(PAGE_SIZE);
/** The page as bytes; there from the first output on. */
let bytes: Uint8Array | null = null;
let used = 0;
let flushPromised = false;
/** The latest byte written. */
let latest = 0;

function put(byte: number): void {
  if (used === PAGE_SIZE) flushConsole();
  bytes ??= memory.bytes(page.address, PAGE_SIZE);
  bytes[used] = byte;
  used++;
  latest = byte;
}

function promiseFlush(): void {
  if (flushPromised) return;
  flushPromised = true;
  Promise.resolve().then(() => {
    flushPromised = false;
    flushConsole();
  });
}

/** Writes text. The hypervisor makes "\r\n" of "\n" on the serial line. */
export function print(text: string): void {
  forEachUtf8Byte(text, put);
  promiseFlush();
}

/** Writes bytes of a guest or of the log. */
export function printBytes(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) put(bytes[i]!);
  promiseFlush();
}

/** True when the cursor is at the beginning of a line. */
export function atLineStart(): boolean {
  return latest === LF || latest === 0;
}

/** Hands everything written so far to the hypervisor. */
export function flushConsole(): void {
  if (used === 0) return;
  const length = used;
  used = 0;
  consoleWrite(page.address, length);
}
