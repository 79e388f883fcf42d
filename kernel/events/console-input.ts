/**
 * Serial console input, buffered until domain 0 reads it (CONSOLEIO_read). While the ring is full the serial port is not
 * read: its FIFO fills, RTS is deasserted, and the sender waits (a terminal by RTS, QEMU by the full FIFO). Input that a
 * sender without flow control pushes into the full FIFO is lost, which is logged.
 */
import { VIRQ_CONSOLE } from "../../abi/xen";
import { say, sayEnd } from "../../arch-x86/log";
import { uartHold, uartOverran, uartRead } from "../../arch-x86/host/uart";
import { sendGlobalVirq } from "./event-channel";
import { copyToGuest } from "../memory/guest-copy";
import { Vcpu } from "../records/vcpu";

const RING_BYTES: u32 = 4096;
/** The port is read again once there is room for this many bytes. */
const RESUME_BYTES: u32 = 2048;
const ring: usize = memory.data(4096);

@unmanaged
class ConsoleInput {
  /** Total bytes read by domain 0, and written to the ring. */
  read: u32;
  written: u32;
  /** The ring was full: the port is held. */
  held: u32;
  /** A loss was reported, and domain 0 has not emptied the ring since. */
  reported: u32;
}

const input = changetype<ConsoleInput>(memory.data(16, 8));

/** The serial port has received something: stores what fits and notifies domain 0. */
export function consoleInput(): void {
  let any = false;
  while (input.written - input.read < RING_BYTES) {
    const byte = uartRead();
    if (byte < 0) break;
    any = true;
    store<u8>(ring + (input.written & (RING_BYTES - 1)), <u8>byte);
    input.written++;
  }
  if (input.written - input.read == RING_BYTES && !input.held) {
    input.held = 1;
    uartHold(true);
  }
  if (uartOverran() && !input.reported) {
    input.reported = 1;
    say("Console input was lost: it came faster than it was taken, and the sender does not wait for RTS.");
    sayEnd();
  }
  if (any) sendGlobalVirq(VIRQ_CONSOLE);
}

/**
 * Copies up to `count` bytes of input to domain 0's `buffer`.
 * @returns how many were copied, or -1 if the buffer cannot be written; bytes copied before that are consumed
 */
export function consoleInputTake(v: Vcpu, count: u32, buffer: u64): i64 {
  let done: u32 = 0;
  while (input.read != input.written && done < count) {
    const index = input.read & (RING_BYTES - 1);
    const piece = min(min(input.written - input.read, RING_BYTES - index), count - done);
    if (!copyToGuest(v, buffer + done, ring + index, piece)) return -1;
    input.read += piece;
    done += piece;
  }
  if (input.held && RING_BYTES - (input.written - input.read) >= RESUME_BYTES) {
    input.held = 0;
    uartHold(false);
    consoleInput();
  } else if (input.read == input.written) {
    input.reported = 0;
  }
  return done;
}
