/**
 * The first serial port, a 16550 at 0x3F8: 115,200 baud, 8 bits, no parity, FIFOs on, interrupts by IRQ 4.
 *
 * Output goes into a ring, and from there to the port when it has room: immediately, or by its interrupt. So a
 * guest does not wait while a domain prints, 9 ms for 100 characters.
 */
import { in8, out8, pause } from "../hw";

const COM1: u32 = 0x3f8;
const DATA: u32 = 0; // with LCR_DLAB: divisor, low
const IER: u32 = 1; // with LCR_DLAB: divisor, high
const FCR: u32 = 2;
const IIR: u32 = 2; // when read
const LCR: u32 = 3;
const MCR: u32 = 4;
const LSR: u32 = 5;

const IER_RECEIVE: u32 = 1 << 0;
const IER_TRANSMIT: u32 = 1 << 1; // the transmitter has room
const IIR_NONE: u32 = 1 << 0; // no interrupt waits
const FCR_ENABLE: u32 = 0xc7; // on, both cleared, interrupt at 14 bytes or after a pause
const FCR_BYTES: u32 = 16;
const LCR_8N1: u32 = 3;
const LCR_DLAB: u32 = 1 << 7;
const MCR_READY: u32 = 0xb; // DTR, RTS, OUT2 (which lets the interrupt through)
const MCR_RTS: u32 = 1 << 1;
const LSR_DATA: u32 = 1 << 0;
const LSR_OVERRUN: u32 = 1 << 1; // cleared when read
const LSR_EMPTY: u32 = 1 << 5; // room for FCR_BYTES
const LSR_IDLE: u32 = 1 << 6;
const BAUD_DIVISOR: u32 = 1;

/** Polls until an unresponsive transmitter is considered broken; 16 bytes take 1.4 ms. */
const PATIENCE: u32 = 200000;

/** Interrupt causes served in one go; a port that always has one is broken. */
const CAUSES_MAX: u32 = 64;

const RING_BYTES: u32 = 16384;
const ring: usize = memory.data(16384);
/** Total bytes written to the ring, and read from it. */
let put: u32 = 0;
let taken: u32 = 0;
let transmitInterrupt: bool = false;

let present: bool = false;

/** What was received before the FIFOs were turned on, FCR_BYTES at most. */
@unmanaged
class Early {
  count: u32;
  read: u32;
}

const early = changetype<Early>(memory.data(8, 4));
const earlyBytes: usize = memory.data(16);

/** A byte: the receiver has lost input since `uartOverran` was last asked. */
const overrun: usize = memory.data(1);

/** The line status register. Its overrun bit is kept: reading it clears it. */
function lineStatus(): u32 {
  const status = in8(COM1 + LSR);
  if ((status & LSR_OVERRUN) != 0) store<u8>(overrun, 1);
  return status;
}

/**
 * Sets the port up. Without one, what is written is dropped and nothing is read. What it had received before is there to be
 * read, but for a byte that comes in the very moment in which the FIFOs are turned on: it is lost with their contents.
 */
export function uartInit(): void {
  present = in8(COM1 + LSR) != 0xff;
  if (!present) return;
  // Clearing the FIFOs would lose the boot shim's last output.
  for (let polls: u32 = 0; polls < PATIENCE && (lineStatus() & LSR_IDLE) == 0; polls++) pause();
  out8(COM1 + IER, 0);
  out8(COM1 + LCR, LCR_DLAB);
  out8(COM1 + DATA, BAUD_DIVISOR & 0xff);
  out8(COM1 + IER, BAUD_DIVISOR >> 8);
  out8(COM1 + LCR, LCR_8N1);
  while (early.count < FCR_BYTES && (lineStatus() & LSR_DATA) != 0) {
    store<u8>(earlyBytes + early.count, <u8>in8(COM1 + DATA));
    early.count++;
  }
  out8(COM1 + FCR, FCR_ENABLE);
  out8(COM1 + MCR, MCR_READY);
  out8(COM1 + IER, IER_RECEIVE);
}

/** Bytes that uartWrite accepts now. */
export function uartRoom(): u32 {
  return present ? RING_BYTES - (put - taken) : RING_BYTES;
}

/**
 * Writes `length` bytes at `ptr` as they are (the caller makes \r\n of \n). Never waits: what is beyond uartRoom is
 * dropped.
 */
export function uartWrite(ptr: usize, length: u32): void {
  for (let i: u32 = 0; i < length && put - taken != RING_BYTES && present; i++) {
    store<u8>(ring + <usize>(put & (RING_BYTES - 1)), load<u8>(ptr + i));
    put++;
  }
  uartPump();
}

/** Moves bytes from the ring to the port as long as it has room, and asks for its interrupt when some are left. */
export function uartPump(): void {
  if (!present) return;
  while (put != taken && (lineStatus() & LSR_EMPTY) != 0) {
    for (let i: u32 = 0; i < FCR_BYTES && put != taken; i++) {
      out8(COM1 + DATA, load<u8>(ring + <usize>(taken & (RING_BYTES - 1))));
      taken++;
    }
  }
  const wanted = put != taken;
  if (wanted == transmitInterrupt) return;
  transmitInterrupt = wanted;
  out8(COM1 + IER, (in8(COM1 + IER) & IER_RECEIVE) | (wanted ? IER_TRANSMIT : 0));
}

/** Waits until everything written is at the port: before the machine stops. */
export function uartFlush(): void {
  while (present && put != taken) {
    waitEmpty();
    uartPump();
  }
}

/**
 * Whether the port still has a cause to interrupt. Its line only falls, and can only rise again (the 8259 wants an edge),
 * once there is none: the handler of VECTOR_SERIAL serves it until this says no.
 */
export function uartWantsService(): bool {
  if (!present || (in8(COM1 + IIR) & IIR_NONE) != 0) {
    causes = 0;
    return false;
  }
  return ++causes < CAUSES_MAX;
}

let causes: u32 = 0;

function waitEmpty(): void {
  for (let polls: u32 = 0; (lineStatus() & LSR_EMPTY) == 0; polls++) {
    if (polls == PATIENCE) {
      present = false;
      return;
    }
    pause();
  }
}

/**
 * Stops or resumes receiving: RTS tells the sender, and a full FIFO interrupts no more. What is in the FIFO when it is
 * resumed interrupts at once.
 */
export function uartHold(hold: bool): void {
  if (!present) return;
  out8(COM1 + MCR, hold ? MCR_READY & ~MCR_RTS : MCR_READY);
  out8(COM1 + IER, (in8(COM1 + IER) & IER_TRANSMIT) | (hold ? 0 : IER_RECEIVE));
}

/** Whether received bytes were lost in the port since this was last asked. */
export function uartOverran(): bool {
  const lost = load<u8>(overrun) != 0;
  store<u8>(overrun, 0);
  return lost;
}

/** The next byte received, -1 for none. Called after VECTOR_SERIAL until it gives -1. */
export function uartRead(): i32 {
  if (early.read < early.count) return load<u8>(earlyBytes + early.read++);
  if (!present || (lineStatus() & LSR_DATA) == 0) return -1;
  return in8(COM1 + DATA);
}
