/**
 * The hypervisor's log: a ring of the latest 64 KiB in memory, which domain 0 reads (`dmesg`), and the first serial port,
 * which it shares with domain 0's console. Lines of the hypervisor start with "(TV) ", those of guests with "(dN) ".
 */
import { uartWrite } from "../../arch-x86/host/uart";
import * as hw from "../../arch-x86/hw";

const RING_BYTES: u32 = 65536;
const ring: usize = memory.data(65536);
/** Bytes ever written; the ring holds the last RING_BYTES of them. */
let written: u64 = 0;
let driver: bool = false;
/** The serial console stands at the start of a line. */
let lineStart: bool = true;
const prefix: usize = memory.data<u8>([0x28, 0x54, 0x56, 0x29, 0x20]); // "(TV) "
const newline: usize = memory.data<u8>([0x0d, 0x0a]);

/** From here on output goes through the UART's driver instead of the shim's polled writes. */
export function dmesgUseDriver(): void {
  driver = true;
}

function serial(ptr: usize, length: u32): void {
  if (driver) uartWrite(ptr, length);
  else hw.serialWrite(ptr, length);
}

/** Bytes to the serial console, \n becoming \r\n. */
export function consoleWrite(ptr: usize, length: u32): void {
  let from: u32 = 0;
  for (let i: u32 = 0; i < length; i++) {
    const byte = load<u8>(ptr + i);
    if (byte != 0x0a) continue;
    const carriage = i > 0 && load<u8>(ptr + i - 1) == 0x0d;
    serial(ptr + from, i - from);
    serial(carriage ? newline + 1 : newline, carriage ? 1 : 2);
    from = i + 1;
  }
  if (from < length) serial(ptr + from, length - from);
  if (length) lineStart = load<u8>(ptr + length - 1) == 0x0a;
}

function keep(ptr: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i++) {
    store<u8>(ring + ((<usize>written) & (RING_BYTES - 1)), load<u8>(ptr + i));
    written++;
  }
}

/** A whole line of the log, with another prefix than the hypervisor's: both given without newline. */
export function dmesgLineFrom(head: usize, headLength: u32, ptr: usize, length: u32): void {
  // Domain 0 may have left a prompt on the line: the log starts one of its own.
  if (!lineStart) consoleWrite(newline + 1, 1);
  keep(head, headLength);
  keep(ptr, length);
  keep(newline + 1, 1);
  consoleWrite(head, headLength);
  consoleWrite(ptr, length);
  consoleWrite(newline + 1, 1);
}

/** supply.ts's LogLine: one line of the hypervisor. */
export function dmesgLine(ptr: usize, length: u32): void {
  dmesgLineFrom(prefix, 5, ptr, length);
}

/** Linear address of the ring; the byte written as number n is at n % dmesgSize(). */
export function dmesgBase(): usize {
  return ring;
}

export function dmesgSize(): u32 {
  return RING_BYTES;
}

/** Bytes ever written. */
export function dmesgWritten(): u64 {
  return written;
}

let clearedAt: u64 = 0;

/** Forgets what is in the ring up to byte number `upTo` (XEN_SYSCTL_readconsole with clear). */
export function dmesgClear(upTo: u64): void {
  clearedAt = upTo;
}

/** Number of the oldest byte that is still there and not cleared. */
export function dmesgOldest(): u64 {
  const oldest = written > RING_BYTES ? written - RING_BYTES : 0;
  return max(oldest, clearedAt);
}
