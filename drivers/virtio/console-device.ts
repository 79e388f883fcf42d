/** The records of a virtio console device: the device, and its ports. */
import { Timer } from "../host/timer";
import { pollEnter, Pollable } from "../poll";
import { Recovery } from "../recovery";
import { SerialPort } from "../serial";
import { VirtioDevice } from "./device";
import { faultWords, QUEUE_FINE, Virtqueue } from "./virtqueue";

/** Ports that are used: those with lower numbers. Number 0 is a console in QEMU. */
export const CONSOLE_PORTS_MAX: u32 = 16;

// What is wrong with the device.
export const CONSOLE_FINE: u32 = 0;
export const CONSOLE_QUEUE_FAULT: u32 = 1; // in words: faultWords
export const CONSOLE_BAD_MESSAGE: u32 = 2;
export const CONSOLE_NEEDS_RESET: u32 = 3;

/** A port. Its queues are there from the start, for they must be; its buffers from when it has a client. */
@unmanaged
export class VirtioConsolePort extends SerialPort {
  console: usize; // VirtioConsole
  rx: usize; // Virtqueue
  tx: usize; // Virtqueue
  added: u32; // the device has announced it
  registered: u32;
  readyTold: u32; // the device knows that we know
  openWanted: u32; // this end is to be open; what the device was told is `openTold`
  openTold: u32;
  rxBuffers: usize; // DMA memory of buffers of a page each; 0: no client
  txBuffers: usize;
  heldBuffer: usize; // a received one of which the client has not taken all
  heldAt: usize; // the rest of it
  heldBytes: u32;
  txFree: u32; // bit mask of the buffers to be sent that the device does not have
}

@unmanaged
export class VirtioConsole extends Pollable {
  virtio: usize; // VirtioDevice
  ports: usize; // VirtioConsolePort[CONSOLE_PORTS_MAX]
  portCount: u32; // that have queues
  controlRx: usize; // Virtqueue
  controlTx: usize; // Virtqueue
  inbox: usize; // DMA memory of messages from the device
  outbox: usize; // DMA memory of messages to it
  outFree: u32; // bit mask of the messages that it does not have
  told: u32; // it knows that the driver is ready
  working: u32;
  fault: u32; // CONSOLE_*
  queueFault: u32; // QUEUE_*
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
  pollTimer: usize; // Timer, for a device without interrupts
}

export function virtioOf(c: VirtioConsole): VirtioDevice {
  return changetype<VirtioDevice>(c.virtio);
}

export function portAt(c: VirtioConsole, index: u32): VirtioConsolePort {
  return changetype<VirtioConsolePort>(c.ports + <usize>index * offsetof<VirtioConsolePort>());
}

export function consoleOf(p: VirtioConsolePort): VirtioConsole {
  return changetype<VirtioConsole>(p.console);
}

export function rxOf(p: VirtioConsolePort): Virtqueue {
  return changetype<Virtqueue>(p.rx);
}

export function txOf(p: VirtioConsolePort): Virtqueue {
  return changetype<Virtqueue>(p.tx);
}

export function recoveryOf(c: VirtioConsole): Recovery {
  return changetype<Recovery>(c.recovery);
}

export function watchdogOf(c: VirtioConsole): Timer {
  return changetype<Timer>(c.watchdog);
}

/** The device broke a rule: it is reset in the next turn, and not used until then. */
export function consoleFault(c: VirtioConsole, fault: u32, queueFault: u32): void {
  if (c.fault != CONSOLE_FINE) return;
  c.fault = fault;
  c.queueFault = queueFault;
  pollEnter(c);
}

/** Reports a queue's fault, if it has one. */
export function consoleCheckQueue(c: VirtioConsole, q: Virtqueue): void {
  if (q.fault != QUEUE_FINE) consoleFault(c, CONSOLE_QUEUE_FAULT, q.fault);
}

/** The fault in words. */
export function consoleFaultWords(c: VirtioConsole): string {
  switch (c.fault) {
    case CONSOLE_QUEUE_FAULT:
      return faultWords(c.queueFault);
    case CONSOLE_BAD_MESSAGE:
      return "a message about its ports makes no sense";
    default:
      return "it wants a reset, or is gone";
  }
}
