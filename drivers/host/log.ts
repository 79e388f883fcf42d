/** Lines on the hypervisor's console (CONSOLEIO_write), and what becomes of a failed assertion. */
import { __HYPERVISOR_console_io, CONSOLEIO_write } from "../../abi/xen";
import { hypercall } from "./host";

/** Longest line; what is beyond it is left out. */
const LINE_BYTES: usize = 240;
const line: usize = memory.data(256);
let length: usize = 0;

/** Appends one character, ASCII; others become '?'. */
export function sayChar(code: u32): void {
  if (length < LINE_BYTES) store<u8>(line + length++, code < 0x80 ? <u8>code : 0x3f);
}

/** Appends text. */
export function say(text: string): void {
  for (let i = 0; i < text.length; i++) sayChar(text.charCodeAt(i));
}

/** Appends text from memory, up to a NUL or `bytes` bytes; what is not printable becomes '?'. */
export function sayText(ptr: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i++) {
    const code = <u32>load<u8>(ptr + i);
    if (!code) return;
    sayChar(code >= 0x20 && code < 0x7f ? code : 0x3f);
  }
}

/** Appends a number in decimal. */
export function sayDec(value: u64): void {
  if (value >= 10) sayDec(value / 10);
  sayChar(0x30 + <u32>(value % 10));
}

/** Appends a number in hexadecimal, without prefix. */
export function sayHex(value: u64): void {
  if (value >= 16) sayHex(value >> 4);
  const digit = <u32>(value & 15);
  sayChar(digit < 10 ? 0x30 + digit : 0x57 + digit);
}

/** Ends the line: it goes to the hypervisor's log, which puts the domain's id before it. */
export function sayEnd(): void {
  store<u8>(line + length, 0x0a);
  hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length + 1, line, 0, 0);
  length = 0;
}

/** AssemblyScript's abort: logs the failed assertion and traps. */
export function abort(message: string | null, file: string | null, row: u32, column: u32): void {
  length = 0;
  if (message !== null) say(message);
  say(" (");
  if (file !== null) say(file);
  sayChar(0x3a);
  sayDec(row);
  sayChar(0x3a);
  sayDec(column);
  sayChar(0x29);
  sayEnd();
  unreachable();
}
