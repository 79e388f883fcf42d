/** The record of an Intel gigabit card, and access to its registers. */
import { read32, write32 } from "../host/host";
import { Timer } from "../host/timer";
import { Frame, NetworkDevice } from "../network";
import { PciDevice } from "../pci/device";
import { pollEnter, Pollable } from "../poll";
import { Recovery } from "../recovery";

/** Descriptors of either ring. */
export const E1000_RING: u32 = 256;
/** Bytes of a receive buffer: half a page. */
export const E1000_BUFFER_BYTES: u32 = 2048;

// What is wrong with the card.
export const E1000_FINE: u32 = 0;
export const E1000_BAD_LENGTH: u32 = 1;
export const E1000_SILENT: u32 = 2;
export const E1000_ABSENT: u32 = 3;

/** What is entered in poll.ts for a card. */
@unmanaged
export class E1000Work extends Pollable {
  card: usize; // E1000Card
}

/** What is behind a transmit descriptor that begins a frame. */
@unmanaged
export class E1000Slot {
  cookie: usize;
  last: u16; // the frame's last descriptor
  count: u16; // descriptors of the frame
  stamp: u32; // card.clock when it was added
}

@unmanaged
export class E1000Card extends NetworkDevice {
  pci: usize; // PciDevice
  registers: usize; // linear address
  fault: u32; // E1000_*
  work: usize; // E1000Work
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
  pollTimer: usize; // Timer, for a card without interrupts
  polled: u32; // it has none
  clock: u32; // seconds
  // Reception: buffer i belongs to descriptor i.
  rxRing: usize; // DMA memory
  rxBuffers: usize; // u32[]: linear addresses
  rxNext: u32; // descriptor that is looked at next
  rxTail: u32; // RDT: the first descriptor that the card may not use
  rxDropping: u32; // the frame that is longer than a buffer has not ended yet
  frame: usize; // Frame, for the client
  // Transmission.
  txRing: usize; // DMA memory
  txSlots: usize; // E1000Slot[]
  txNext: u32; // descriptor that is written next
  txFirst: u32; // first descriptor of the oldest frame that is not done
  txFree: u32; // descriptors
  txTold: u32; // TDT as last written
  txContext0: u64; // the context that the card has, both halves
  txContext1: u64;
  wantsRoom: u32; // a frame was refused: transmitReady is due
}

export function pciOf(c: E1000Card): PciDevice {
  return changetype<PciDevice>(c.pci);
}

export function frameOf(c: E1000Card): Frame {
  return changetype<Frame>(c.frame);
}

export function recoveryOf(c: E1000Card): Recovery {
  return changetype<Recovery>(c.recovery);
}

export function watchdogOf(c: E1000Card): Timer {
  return changetype<Timer>(c.watchdog);
}

export function workOf(c: E1000Card): E1000Work {
  return changetype<E1000Work>(c.work);
}

export function slotAt(c: E1000Card, index: u32): E1000Slot {
  return changetype<E1000Slot>(c.txSlots + <usize>index * offsetof<E1000Slot>());
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function register(c: E1000Card, offset: u32): u32 {
  return read32(c.registers + offset);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function setRegister(c: E1000Card, offset: u32, value: u32): void {
  write32(c.registers + offset, value);
}

/** The card broke a rule: it is reset in the next turn, and not used until then. */
export function e1000Fault(c: E1000Card, fault: u32): void {
  if (c.fault != E1000_FINE) return;
  c.fault = fault;
  pollEnter(workOf(c));
}

/** The fault in words. */
export function e1000FaultWords(c: E1000Card): string {
  switch (c.fault) {
    case E1000_BAD_LENGTH:
      return "a received frame is longer than its buffer";
    case E1000_SILENT:
      return "it leaves frames unsent";
    default:
      return "it is gone";
  }
}
