/** Stops a hypervisor that cannot continue. */
import * as hw from "../../arch-x86/hw";
import { uartFlush } from "../../arch-x86/host/uart";

const text: usize = memory.data(256);

/** Prints "PANIC: <words>" with a stack trace and stops the machine. Only for broken invariants and unrecoverable states. */
export function panic(words: string): void {
  let length: u32 = 0;
  for (; length < <u32>words.length && length < 256; length++) store<u8>(text + length, <u8>words.charCodeAt(length));
  uartFlush();
  hw.panic(text, length);
}
