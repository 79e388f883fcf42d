/**
 * Builds one line of the hypervisor's log from pieces without allocating:
 *
 *     say("d"); sayDec(id); say(" crashed at "); sayHex(rip); sayEnd();
 *
 * The pieces are collected in one static buffer; `sayEnd` passes the line to supply.logLine. Longer lines are truncated. Calling
 * context: any CPU, interrupts off; the callers hold a lock so that two CPUs do not build a line at the same
 * time.
 */
import { logLine } from "./supply";

const LINE_BYTES: u32 = 512;
const line: usize = memory.data(512);
let used: u32 = 0;

/** Appends one byte; bytes beyond the line's end are dropped. */
function put(byte: u32): void {
  if (used < LINE_BYTES) {
    store<u8>(line + used, <u8>byte);
    used++;
  }
}

/** Appends a code point of the Basic Multilingual Plane as UTF-8. */
export function sayChar(code: u32): void {
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | (code >> 6));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xe0 | ((code >> 12) & 0xf));
    put(0x80 | ((code >> 6) & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

/** Appends a string constant. */
export function say(s: string): void {
  const length = s.length;
  for (let i = 0; i < length; i++) sayChar(load<u16>(changetype<usize>(s) + ((<usize>i) << 1)));
}

/** Appends `length` bytes at `ptr` as they are: text from a command line or from a guest, already made printable. */
export function sayBytes(ptr: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i++) put(load<u8>(ptr + i));
}

/** Appends an unsigned number in decimal. */
export function sayDec(value: u64): void {
  let divisor: u64 = 1;
  while (value / divisor >= 10) divisor *= 10;
  for (; divisor != 0; divisor /= 10) put(0x30 + <u32>((value / divisor) % 10));
}

/** Appends a number in hexadecimal, 0x first, without leading zeroes. */
export function sayHex(value: u64): void {
  put(0x30);
  put(0x78);
  let shift = 60;
  while (shift > 0 && value >> shift == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) {
    const digit = (<u32>(value >> shift)) & 0xf;
    put(digit < 10 ? 0x30 + digit : 0x57 + digit);
  }
}

/** Ends the line and passes it to the log. */
export function sayEnd(): void {
  const length = used;
  used = 0;
  logLine(line, length);
}
