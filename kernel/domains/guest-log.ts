/**
 * A guest's output to the hypervisor's log, by console_io or port 0xE9: collected into whole lines of printable text, with a
 * rate limit. Lines beyond the limit are dropped, and a line reports how many.
 */
import { Domain } from "../records/domain";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { dmesgLineFrom, dmesgTakesGuests } from "../machine/dmesg";
import { nowNs } from "../scheduling/time";

/** Longest line buffered for a guest; longer ones are split. Xen's DOMAIN_PBUF_SIZE. */
const LINE_BYTES: u32 = 200;

/** Lines that a domain may write in a burst, and the time per additional line. */
const BURST_LINES: u64 = 64;
const LINE_NS: u64 = 50000000;

const head: usize = memory.data(16);

/**
 * One byte of a guest's output (CONSOLEIO_write, port 0xE9): gathered until its line ends; only printable ASCII and tabs
 * are kept. False when there is no memory for the line.
 */
export function consoleByte(d: Domain, byte: u32): bool {
  if (!dmesgTakesGuests()) return true;
  if (byte != 0x0a && byte != 0x09 && (byte < 0x20 || byte > 0x7e)) return true;
  if (!d.consoleLine) {
    d.consoleLine = heapAllocFor(d, LINE_BYTES);
    if (!d.consoleLine) return false;
  }
  if (byte != 0x0a) {
    store<u8>(d.consoleLine + d.consoleLength, <u8>byte);
    d.consoleLength++;
  }
  if (byte == 0x0a || d.consoleLength == LINE_BYTES) flush(d);
  return true;
}

function flush(d: Domain): void {
  if (mayWrite(d)) {
    if (d.consoleDropped) sayDropped(d);
    write(d, d.consoleLine, d.consoleLength);
  } else {
    d.consoleDropped++;
  }
  d.consoleLength = 0;
}

/** Takes one line from the domain's allowance: each line advances the domain's time mark, at most a burst ahead. */
function mayWrite(d: Domain): bool {
  const now = nowNs();
  const after = max(d.consoleLinesNs, now) + LINE_NS;
  if (after > now + BURST_LINES * LINE_NS) return false;
  d.consoleLinesNs = after;
  return true;
}

const DROPPED = " lines of this domain were dropped: it writes too many.";
const dropped: usize = memory.data(80);

/** Also among the guests' lines: nothing that a guest does makes lines of the hypervisor's. */
function sayDropped(d: Domain): void {
  let length = putNumber(dropped, d.consoleDropped);
  for (let i = 0; i < DROPPED.length; i++) store<u8>(dropped + length++, <u8>DROPPED.charCodeAt(i));
  d.consoleDropped = 0;
  write(d, dropped, length);
}

/** In decimal; returns how many digits. */
function putNumber(at: usize, value: u32): u32 {
  let length: u32 = 0;
  let divisor: u32 = 1;
  while (value / divisor >= 10) divisor *= 10;
  for (; divisor; divisor /= 10) store<u8>(at + length++, <u8>(0x30 + ((value / divisor) % 10)));
  return length;
}

/** One line, prefixed with "(d", the id, ") ". */
function write(d: Domain, text: usize, length: u32): void {
  store<u16>(head, 0x6428);
  const end = 2 + putNumber(head + 2, d.id);
  store<u16>(head + end, 0x2029);
  dmesgLineFrom(head, end + 2, text, length);
}

/** Prints the unfinished line of a domain that is being freed, and frees its buffer. */
export function consoleLineFree(d: Domain): void {
  if (!d.consoleLine) return;
  if (d.consoleLength) flush(d);
  if (d.consoleDropped) sayDropped(d);
  heapFreeFor(d, d.consoleLine, LINE_BYTES);
  d.consoleLine = 0;
}
