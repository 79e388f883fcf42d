/**
 * The hypervisor's log: the latest lines in memory, which domain 0 reads (`dmesg`), and the first serial port, which it shares
 * with domain 0's console. Lines of the hypervisor start with "(TV) ", those of guests with "(dN) ".
 *
 * Guests' lines are kept in a separate ring, so that they never displace the hypervisor's lines. Readers get
 * both in the order in which they were written. Nothing here waits for the port: lines that it cannot keep up with are
 * only kept in memory, and their number is printed when it has caught up.
 */
import { uartRoom, uartWrite } from "../../arch-x86/host/uart";
import * as hw from "../../arch-x86/hw";

/** A ring of lines; new lines overwrite the oldest. A line is a header, then its text with a newline. */
@unmanaged
class LineRing {
  /** Linear address, and bytes: a power of two. */
  base: usize;
  size: u32;
  /** Total bytes written, and the position of the oldest complete line, modulo 2^32. */
  written: u32;
  first: u32;
  /** The reader's current line, and the bytes of it already read. */
  cursor: u32;
  taken: u32;
}

/** Of a line's header: its number (the bytes of text logged before it) and its length. Modulo 2^32. */
const HEADER_BYTES: u32 = 8;
const OWN_BYTES: u32 = 65536;
const GUESTS_BYTES: u32 = 16384;
/** Longest line stored, prefix and newline included. */
const LINE_BYTES: u32 = 528;
/** Space in the port's ring that domain 0's output leaves for the log. */
const LOG_ROOM: u32 = 4096;

const own = changetype<LineRing>(memory.data(offsetof<LineRing>(), 8));
const guests = changetype<LineRing>(memory.data(offsetof<LineRing>(), 8));
const ownBytes: usize = memory.data(65536);
const guestsBytes: usize = memory.data(16384);
const line: usize = memory.data(528);

/** Total bytes of text logged, and how many of them were cleared. */
let total: u64 = 0;
let cleared: u64 = 0;
let driver: bool = false;
let guestsRefused: bool = false;
/** The serial console's cursor is at the start of a line. */
let lineStart: bool = true;
/** Lines not sent because the port was too slow. */
let unseen: u32 = 0;
const prefix: usize = memory.data<u8>([0x28, 0x54, 0x56, 0x29, 0x20]); // "(TV) "
const newline: usize = memory.data<u8>([0x0d, 0x0a]);
const UNSEEN = " lines are missing here: the serial line was too slow. `dmesg` has the latest.";

/** From here on output goes through the UART's driver instead of the shim's polled writes. */
export function dmesgUseDriver(): void {
  driver = true;
}

/** Boot option guest-log=off: no guest may write into the log. */
export function dmesgRefuseGuests(): void {
  guestsRefused = true;
}

/** Whether guests may write to the log. */
export function dmesgTakesGuests(): bool {
  return !guestsRefused;
}

function serial(ptr: usize, length: u32): void {
  if (driver) uartWrite(ptr, length);
  else hw.serialWrite(ptr, length);
}

/** Bytes that consoleWrite accepts now without loss; newlines count once. */
export function consoleRoom(): u32 {
  const room = uartRoom();
  return room > LOG_ROOM ? (room - LOG_ROOM) >> 1 : 0;
}

/** Domain 0's bytes to the serial console, \n becoming \r\n; no more than consoleRoom. */
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

function putByte(ring: LineRing, byte: u8): void {
  store<u8>(ring.base + (ring.written & (ring.size - 1)), byte);
  ring.written++;
}

function putWord(ring: LineRing, word: u32): void {
  for (let shift: u32 = 0; shift < 32; shift += 8) putByte(ring, <u8>(word >> shift));
}

function putText(ring: LineRing, ptr: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i++) putByte(ring, load<u8>(ptr + i));
}

function wordAt(ring: LineRing, at: u32): u32 {
  let word: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) word |= (<u32>load<u8>(ring.base + ((at + i) & (ring.size - 1)))) << (i << 3);
  return word;
}

function keep(ring: LineRing, head: usize, headLength: u32, ptr: usize, length: u32): void {
  if (!ring.size) {
    own.base = ownBytes;
    own.size = OWN_BYTES;
    guests.base = guestsBytes;
    guests.size = GUESTS_BYTES;
  }
  const text = headLength + length + 1;
  while (ring.written + HEADER_BYTES + text - ring.first > ring.size) {
    ring.first += HEADER_BYTES + wordAt(ring, ring.first + 4);
  }
  putWord(ring, <u32>total);
  putWord(ring, text);
  putText(ring, head, headLength);
  putText(ring, ptr, length);
  putByte(ring, 0x0a);
  total += text;
}

function show(head: usize, headLength: u32, ptr: usize, length: u32): void {
  if (driver && uartRoom() < headLength + length + LINE_BYTES) {
    unseen++;
    return;
  }
  // Domain 0 may have left a prompt on the line: the log starts a new one.
  if (!lineStart) consoleWrite(newline + 1, 1);
  if (unseen) sayUnseen();
  consoleWrite(head, headLength);
  consoleWrite(ptr, length);
  consoleWrite(newline + 1, 1);
}

function sayUnseen(): void {
  let length: u32 = 0;
  let divisor: u32 = 1;
  while (unseen / divisor >= 10) divisor *= 10;
  for (; divisor; divisor /= 10) store<u8>(line + length++, <u8>(0x30 + ((unseen / divisor) % 10)));
  for (let i = 0; i < UNSEEN.length; i++) store<u8>(line + length++, <u8>UNSEEN.charCodeAt(i));
  unseen = 0;
  consoleWrite(prefix, 5);
  consoleWrite(line, length);
  consoleWrite(newline + 1, 1);
}

/** A whole line of a guest, with the prefix `head`: both without newline, together shorter than LINE_BYTES. */
export function dmesgLineFrom(head: usize, headLength: u32, ptr: usize, length: u32): void {
  keep(guests, head, headLength, ptr, length);
  show(head, headLength, ptr, length);
}

/** supply.ts's LogLine: one line of the hypervisor. */
export function dmesgLine(ptr: usize, length: u32): void {
  keep(own, prefix, 5, ptr, length);
  show(prefix, 5, ptr, length);
}

/** Total bytes of text logged. */
export function dmesgWritten(): u64 {
  return total;
}

/** Clears everything before byte number `upTo` (XEN_SYSCTL_readconsole with clear). */
export function dmesgClear(upTo: u64): void {
  cleared = upTo;
}

/** Starts reading with dmesgNext at the oldest byte available that is not cleared and among the latest `bytes`. */
export function dmesgRewind(bytes: u64): void {
  rewind(own, min(bytes, total - cleared));
  rewind(guests, min(bytes, total - cleared));
}

function rewind(ring: LineRing, bytes: u64): void {
  ring.taken = 0;
  for (ring.cursor = ring.first; ring.cursor != ring.written; ring.cursor += HEADER_BYTES + lengthAt(ring)) {
    const begun = age(ring);
    if (begun <= bytes) return;
    if (begun - lengthAt(ring) >= bytes) continue;
    ring.taken = <u32>(begun - bytes);
    return;
  }
}

function lengthAt(ring: LineRing): u32 {
  return wordAt(ring, ring.cursor + 4);
}

/** Bytes of text from the reader's position to the end of the log. */
function age(ring: LineRing): u64 {
  return <u32>total - (wordAt(ring, ring.cursor) + ring.taken);
}

/** The ring whose next line is older; null if both are exhausted. */
function older(): LineRing | null {
  if (guests.cursor == guests.written) return own.cursor == own.written ? null : own;
  return own.cursor == own.written || age(guests) > age(own) ? guests : own;
}

/** Copies the rest of the next line, newline included, or `room` bytes of it, to dmesgText(). 0: no more lines, or no room. */
export function dmesgNext(room: u32): u32 {
  const ring = older();
  if (ring == null) return 0;
  const length = lengthAt(ring);
  const piece = min(length - ring.taken, room);
  const from = ring.cursor + HEADER_BYTES + ring.taken;
  for (let i: u32 = 0; i < piece; i++) store<u8>(line + i, load<u8>(ring.base + ((from + i) & (ring.size - 1))));
  ring.taken += piece;
  if (ring.taken == length) {
    ring.cursor += HEADER_BYTES + length;
    ring.taken = 0;
  }
  return piece;
}

/** Address of dmesgNext's result. */
export function dmesgText(): usize {
  return line;
}

/** Number of the first byte that dmesgNext has not returned yet. */
export function dmesgPosition(): u64 {
  const ring = older();
  return ring == null ? total : total - age(ring);
}
