/**
 * The console hypercall (xen/xen.h, CONSOLEIO_*) and debug port 0xE9. Domain 0 owns the serial line: its bytes go out as
 * they are, and it reads what is typed after VIRQ_CONSOLE. Guests write whole lines of printable text into the log, as
 * on a Xen built with verbose debugging.
 */
import { E2BIG, EFAULT, ENOMEM, ENOSYS, EPERM } from "../abi/errno";
import { CONSOLEIO_read, CONSOLEIO_write, VIRQ_CONSOLE } from "../abi/xen";
import { uartRead } from "../arch-x86/uart";
import { consoleWrite, dmesgLineFrom } from "./dmesg";
import { Domain } from "./domain";
import { sendGlobalVirq } from "./event-channel";
import { copyFromGuest, copyToGuest } from "./guest-copy";
import { heapAllocFor, heapFreeFor } from "./heap";
import { hypercallRestart, preemptNeeded } from "./hypercall";
import { scratch } from "./scratch";
import { Vcpu } from "./vcpu";

/** Longest line kept for a guest; what goes beyond is a line of its own. Xen's DOMAIN_PBUF_SIZE. */
const LINE_BYTES: u32 = 200;
/** Bytes between looks at the clock: with the serial port behind, some 20 ms. */
const COPY_BYTES: u32 = 256;
const head: usize = memory.data(16);

const INPUT_BYTES: u32 = 1024;
const input: usize = memory.data(1024);
let inputRead: u32 = 0;
let inputWritten: u32 = 0;

/** The serial port has received something: keeps it and tells domain 0. Bytes beyond what fits are dropped. */
export function consoleInput(): void {
  let any = false;
  for (let byte = uartRead(); byte >= 0; byte = uartRead()) {
    any = true;
    if (inputWritten - inputRead == INPUT_BYTES) continue;
    store<u8>(input + (inputWritten & (INPUT_BYTES - 1)), <u8>byte);
    inputWritten++;
  }
  if (any) sendGlobalVirq(VIRQ_CONSOLE);
}

/** CONSOLEIO_* for any domain: see xen/xen.h. */
export function consoleIo(v: Vcpu, cmd: u64, count: u64, buffer: u64, a4: u64, a5: u64, a6: u64): i64 {
  const privileged = v.domain.privileged != 0;
  if (<u32>cmd != CONSOLEIO_write && !privileged) return -EPERM;
  if (<u32>cmd == CONSOLEIO_write) return write(v, <u32>count, buffer);
  if (<u32>cmd == CONSOLEIO_read) return read(v, <u32>count, buffer);
  return -ENOSYS;
}

function write(v: Vcpu, total: u32, buffer: u64): i64 {
  const bytes = scratch(v);
  let done: u32 = 0;
  while (done < total) {
    if (done && preemptNeeded(v)) return hypercallRestart(v, CONSOLEIO_write, total - done, buffer + done, 0, 0, 0);
    const piece = min(total - done, COPY_BYTES);
    if (!copyFromGuest(v, bytes, buffer + done, piece)) return -EFAULT;
    if (v.domain.privileged) {
      consoleWrite(bytes, piece);
    } else {
      for (let i: u32 = 0; i < piece; i++) if (!consoleByte(v.domain, load<u8>(bytes + i))) return -ENOMEM;
    }
    done += piece;
  }
  return 0;
}

function read(v: Vcpu, count: u32, buffer: u64): i64 {
  if (count > 0x7fffffff) return -E2BIG;
  let done: u32 = 0;
  while (inputRead != inputWritten && done < count) {
    const index = inputRead & (INPUT_BYTES - 1);
    const piece = min(min(inputWritten - inputRead, INPUT_BYTES - index), count - done);
    if (!copyToGuest(v, buffer + done, input + index, piece)) return -EFAULT;
    inputRead += piece;
    done += piece;
  }
  return done;
}

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
