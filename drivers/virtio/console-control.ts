/**
 * The control queues of a virtio console (virtio 1.1, 5.3.6.2): the device announces its ports, their names, and whether the host's end
 * is open; the driver says that it knows them, and whether this end is. What the device is to know is state, not a list of
 * messages: of what changed twice before there was room to tell it, it is told the last.
 */
import {
  VIRTIO_CONSOLE_DEVICE_READY,
  VIRTIO_CONSOLE_PORT_ADD,
  VIRTIO_CONSOLE_PORT_NAME,
  VIRTIO_CONSOLE_PORT_OPEN,
  VIRTIO_CONSOLE_PORT_READY,
  VIRTIO_CONSOLE_PORT_REMOVE,
  VirtioConsoleControl,
} from "../../abi/io/virtio-console";
import { dmaMachine } from "../host/dma";
import { read8, read16, read32, write16, write32 } from "../host/host";
import { segmentSet } from "../segment";
import { SERIAL_LABEL_MAX, serialReady, serialRegister } from "../serial";
import {
  CONSOLE_BAD_MESSAGE,
  CONSOLE_FINE,
  consoleCheckQueue,
  consoleFault,
  portAt,
  VirtioConsole,
  VirtioConsolePort,
} from "./console-device";
import { virtqueueAdd, virtqueueKick, virtqueueTake } from "./queue";
import { Virtqueue } from "./virtqueue";

/** Messages that the device may send before they are looked at: it drops others. Names are in them. */
export const CONTROL_MESSAGES: u32 = 32;
export const CONTROL_BYTES: u32 = 128;
/** Messages to it at a time. */
export const CONTROL_OUT: u32 = 16;

/** Segment[1] */
const one: usize = memory.data(16);

function inOf(c: VirtioConsole): Virtqueue {
  return changetype<Virtqueue>(c.controlRx);
}

function outOf(c: VirtioConsole): Virtqueue {
  return changetype<Virtqueue>(c.controlTx);
}

function give(c: VirtioConsole, index: u32): void {
  const at = c.inbox + <usize>index * CONTROL_BYTES;
  segmentSet(one, 0, dmaMachine(at), at, CONTROL_BYTES);
  virtqueueAdd(inOf(c), one, 0, 1, index);
}

/** The device was reset, and its queues are set up: it has room for its messages, and knows nothing. */
export function controlReset(c: VirtioConsole): void {
  c.told = 0;
  c.outFree = ((<u32>1) << min(CONTROL_OUT, outOf(c).size)) - 1;
  for (let i: u32 = 0; i < min(CONTROL_MESSAGES, inOf(c).size); i++) give(c, i);
  for (let i: u32 = 0; i < c.portCount; i++) {
    const p = portAt(c, i);
    p.added = 0;
    p.readyTold = 0;
    p.openTold = 0;
    if (p.connection & 1) p.connection++;
  }
}

/** Reads up to `budget` messages; true: that many were there. */
export function controlTake(c: VirtioConsole, budget: u32): bool {
  const q = inOf(c);
  let taken: u32 = 0;
  while (taken < budget && c.fault == CONSOLE_FINE && virtqueueTake(q) >= 0) {
    taken++;
    message(c, c.inbox + <usize>(<u32>q.takenCookie) * CONTROL_BYTES, q.takenBytes);
    give(c, <u32>q.takenCookie);
  }
  consoleCheckQueue(c, q);
  if (taken != 0) virtqueueKick(q);
  return taken == budget;
}

/** One message. Those of kinds that are not known, and those about ports that are not used, are none of ours. */
function message(c: VirtioConsole, at: usize, bytes: u32): void {
  if (bytes < VirtioConsoleControl.SIZE) {
    consoleFault(c, CONSOLE_BAD_MESSAGE, 0);
    return;
  }
  const id = read32(at + VirtioConsoleControl.id);
  const event = read16(at + VirtioConsoleControl.event);
  const value = read16(at + VirtioConsoleControl.value);
  if (id >= c.portCount) return;
  const p = portAt(c, id);
  if (event == VIRTIO_CONSOLE_PORT_ADD) {
    p.added = 1;
    return;
  }
  if (!p.added) return;
  if (event == VIRTIO_CONSOLE_PORT_NAME) setName(p, at + VirtioConsoleControl.SIZE, bytes - VirtioConsoleControl.SIZE);
  else if (event == VIRTIO_CONSOLE_PORT_OPEN) hostOpened(p, value != 0);
  else if (event == VIRTIO_CONSOLE_PORT_REMOVE) {
    hostOpened(p, false);
    p.added = 0;
    p.readyTold = 0;
    p.openTold = 0;
  }
}

/** The first name that a port has had is its name for good; one that begins with a NUL is none. */
function setName(p: VirtioConsolePort, from: usize, bytes: u32): void {
  if (p.registered || bytes == 0 || read8(from) == 0) return;
  const length = min(bytes, SERIAL_LABEL_MAX);
  for (let i: u32 = 0; i < length; i++) store<u8>(p.label + i, <u8>read8(from + i));
  store<u8>(p.label + length, 0);
  p.registered = 1;
  serialRegister(p);
}

/** An end that is opened while it is open was closed in between: the device had no room to say so. */
function hostOpened(p: VirtioConsolePort, open: bool): void {
  const was = (p.connection & 1) != 0;
  if (open == was && !open) return;
  p.connection += open == was ? 2 : 1;
  serialReady(p);
}

/** Tells the device what it does not know yet, as far as there is room. */
export function controlTell(c: VirtioConsole): void {
  if (!c.working || c.fault != CONSOLE_FINE) return;
  const q = outOf(c);
  while (virtqueueTake(q) >= 0) c.outFree |= (<u32>1) << (<u32>q.takenCookie);
  consoleCheckQueue(c, q);
  if (!c.told && send(c, 0, VIRTIO_CONSOLE_DEVICE_READY, 1)) c.told = 1;
  for (let i: u32 = 0; c.told && i < c.portCount; i++) {
    const p = portAt(c, i);
    if (!p.added) continue;
    if (!p.readyTold && send(c, i, VIRTIO_CONSOLE_PORT_READY, 1)) p.readyTold = 1;
    if (p.readyTold && p.openTold != p.openWanted && send(c, i, VIRTIO_CONSOLE_PORT_OPEN, p.openWanted)) {
      p.openTold = p.openWanted;
    }
  }
  virtqueueKick(q);
}

/** False: there is no room. */
function send(c: VirtioConsole, id: u32, event: u32, value: u32): bool {
  if (!c.outFree) return false;
  const index = ctz(c.outFree);
  c.outFree &= ~((<u32>1) << index);
  const at = c.outbox + <usize>index * VirtioConsoleControl.SIZE;
  write32(at + VirtioConsoleControl.id, id);
  write16(at + VirtioConsoleControl.event, event);
  write16(at + VirtioConsoleControl.value, value);
  segmentSet(one, 0, dmaMachine(at), at, VirtioConsoleControl.SIZE);
  virtqueueAdd(outOf(c), one, 1, 1, index);
  return true;
}
