/** The first serial port, a 16550 at 0x3F8: 115,200 baud, 8 bits, no parity, FIFOs on, receive interrupt (IRQ 4) on. */
import { in8, out8, pause } from "./hw";

const COM1: u32 = 0x3f8;
const DATA: u32 = 0; // with LCR_DLAB: divisor, low
const IER: u32 = 1; // with LCR_DLAB: divisor, high
const FCR: u32 = 2;
const LCR: u32 = 3;
const MCR: u32 = 4;
const LSR: u32 = 5;

const IER_RECEIVE: u32 = 1 << 0;
const FCR_ENABLE: u32 = 0xc7; // on, both cleared, interrupt at 14 bytes or after a pause
const FCR_BYTES: u32 = 16;
const LCR_8N1: u32 = 3;
const LCR_DLAB: u32 = 1 << 7;
const MCR_READY: u32 = 0xb; // DTR, RTS, OUT2 (which lets the interrupt through)
const LSR_DATA: u32 = 1 << 0;
const LSR_EMPTY: u32 = 1 << 5; // room for FCR_BYTES
const LSR_IDLE: u32 = 1 << 6;
const BAUD_DIVISOR: u32 = 1;

/** Polls until a transmitter that takes nothing is taken for broken; 16 bytes take 1.4 ms. */
const PATIENCE: u32 = 200000;

let present: bool = false;

/** Sets the port up. Without one, what is written is dropped and nothing is read. */
export function uartInit(): void {
  present = in8(COM1 + LSR) != 0xff;
  if (!present) return;
  // Clearing the FIFOs would lose what the boot shim wrote last.
  for (let polls: u32 = 0; polls < PATIENCE && (in8(COM1 + LSR) & LSR_IDLE) == 0; polls++) pause();
  out8(COM1 + IER, 0);
  out8(COM1 + LCR, LCR_DLAB);
  out8(COM1 + DATA, BAUD_DIVISOR & 0xff);
  out8(COM1 + IER, BAUD_DIVISOR >> 8);
  out8(COM1 + LCR, LCR_8N1);
  out8(COM1 + FCR, FCR_ENABLE);
  out8(COM1 + MCR, MCR_READY);
  out8(COM1 + IER, IER_RECEIVE);
}

/** Writes `length` bytes at `ptr` as they are (the caller makes \r\n of \n). Waits while the port is busy. */
export function uartWrite(ptr: usize, length: u32): void {
  let room: u32 = 0;
  for (let i: u32 = 0; i < length && present; i++) {
    if (room == 0) {
      waitEmpty();
      room = FCR_BYTES;
    }
    out8(COM1 + DATA, load<u8>(ptr + i));
    room--;
  }
}

function waitEmpty(): void {
  for (let polls: u32 = 0; (in8(COM1 + LSR) & LSR_EMPTY) == 0; polls++) {
    if (polls == PATIENCE) {
      present = false;
      return;
    }
    pause();
  }
}

/** The next byte received, -1 for none. Called after VECTOR_SERIAL until it gives -1. */
export function uartRead(): i32 {
  if (!present || (in8(COM1 + LSR) & LSR_DATA) == 0) return -1;
  return in8(COM1 + DATA);
}
