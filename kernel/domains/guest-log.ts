/** What a guest writes into the hypervisor's log, by console_io or port 0xE9: gathered into whole lines of printable text. */
import { Domain } from "../records/domain";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { dmesgLineFrom } from "../machine/dmesg";

/** Longest line kept for a guest; what goes beyond is a line of its own. Xen's DOMAIN_PBUF_SIZE. */
const LINE_BYTES: u32 = 200;

const head: usize = memory.data(16);

/**
 * One byte of a guest's output (CONSOLEIO_write, port 0xE9): gathered until its line ends; only printable ASCII and tabs
 * are kept. False when there is no memory for the line.
 */
export function consoleByte(d: Domain, byte: u32): bool {
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
  // "(d", the id, ") "
  store<u16>(head, 0x6428);
  let length: u32 = 2;
  let divisor: u32 = 1;
  while (d.id / divisor >= 10) divisor *= 10;
  for (; divisor; divisor /= 10) {
    store<u8>(head + length, <u8>(0x30 + ((d.id / divisor) % 10)));
    length++;
  }
  store<u16>(head + length, 0x2029);
  dmesgLineFrom(head, length + 2, d.consoleLine, d.consoleLength);
  d.consoleLength = 0;
}

/** Prints what a domain that is going away left without a newline, and frees its line. */
export function consoleLineFree(d: Domain): void {
  if (!d.consoleLine) return;
  if (d.consoleLength) flush(d);
  heapFreeFor(d, d.consoleLine, LINE_BYTES);
  d.consoleLine = 0;
}
