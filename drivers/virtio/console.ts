/**
 * Virtio console devices with named ports (virtio 1.1, 5.3; QEMU's virtio-serial): finding one, starting it, its interrupts, and resetting
 * it when it breaks a rule. Its ports' streams and the messages about them have files of their own. A device without named ports
 * (VIRTIO_CONSOLE_F_MULTIPORT) is not used.
 */
import { EIO, ENODEV, ENOMEM } from "../../abi/errno";
import { VIRTIO_CONSOLE_F_MULTIPORT, VirtioConsoleConfig } from "../../abi/io/virtio-console";
import { dmaAllocate } from "../host/dma";
import { heapAllocate } from "../host/heap";
import { systemTime } from "../host/host";
import { Timer, timerInit, timerSet, timerStop } from "../host/timer";
import { PciDevice } from "../pci/device";
import { pciInterruptDone, pciInterruptHandle } from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import { SERIAL_LABEL_MAX, serialReady } from "../serial";
import {
  CONTROL_BYTES,
  CONTROL_MESSAGES,
  CONTROL_OUT,
  controlReset,
  controlTake,
  controlTell,
} from "./console-control";
import {
  CONSOLE_FINE,
  CONSOLE_NEEDS_RESET,
  CONSOLE_PORTS_MAX,
  consoleFault,
  consoleFaultWords,
  portAt,
  recoveryOf,
  rxOf,
  txOf,
  VirtioConsole,
  VirtioConsolePort,
  virtioOf,
  watchdogOf,
} from "./console-device";
import { PORT_BUFFERS, portAttach, portFill, portReceive, portSend } from "./console-port";
import {
  virtioAccept,
  virtioAttach,
  virtioBegin,
  virtioBit,
  virtioCause,
  virtioConfigCopy,
  virtioConfigVector,
  VirtioDevice,
  virtioFail,
  virtioHas,
  virtioReset,
  virtioSay,
  virtioStart,
  virtioWell,
} from "./device";
import { ringFeatures, virtqueueKick, virtqueueListen, virtqueueQuiet, virtqueueSetUp } from "./queue";
import { Virtqueue } from "./virtqueue";

const SECOND_NS: u64 = 1_000_000_000;
/** How often a device without interrupts is looked at. */
const POLL_NS: u64 = 1_000_000;
const PAGE: u32 = 4096;
/** Numbers of the control queues, and of the first port's behind them; those of port 0 are 0 and 1. */
const CONTROL_RX: u32 = 2;
const CONTROL_TX: u32 = 3;
/** Messages that are read in a turn. */
const MESSAGES: u32 = 16;
/** Pages of the control queues' messages: the first for those to the device. */
const CONTROL_PAGES: u32 = 1 + (CONTROL_MESSAGES * CONTROL_BYTES) / PAGE;

/** A copy of the device's configuration. */
const config: usize = memory.data(VirtioConsoleConfig.SIZE);

// --- Finding a device -----------------------------------------------------------------------------------------------------

/** The record of a device, nothing started; 0 when out of memory. */
function makeConsole(d: VirtioDevice): usize {
  const c = changetype<VirtioConsole>(heapAllocate(offsetof<VirtioConsole>()));
  if (!changetype<usize>(c)) return 0;
  c.virtio = changetype<usize>(d);
  c.ports = heapAllocate(<usize>CONSOLE_PORTS_MAX * offsetof<VirtioConsolePort>());
  c.controlRx = heapAllocate(offsetof<Virtqueue>());
  c.controlTx = heapAllocate(offsetof<Virtqueue>());
  c.recovery = heapAllocate(offsetof<Recovery>());
  c.watchdog = heapAllocate(offsetof<Timer>());
  c.pollTimer = heapAllocate(offsetof<Timer>());
  c.outbox = dmaAllocate(CONTROL_PAGES);
  c.inbox = c.outbox + PAGE;
  if (!c.ports || !c.controlRx || !c.controlTx || !c.recovery || !c.watchdog || !c.pollTimer || !c.outbox) return 0;
  pollInit(c, poll);
  timerInit(watchdogOf(c), watchdogTick, changetype<usize>(c));
  timerInit(changetype<Timer>(c.pollTimer), pollTick, changetype<usize>(c));
  return changetype<usize>(c);
}

/** Takes a device that was found: starts it. False, with the reason in the log, if it cannot be used. */
export function virtioConsoleProbe(pci: PciDevice): bool {
  const d = changetype<VirtioDevice>(virtioAttach(pci, "virtio-console", 1));
  if (!changetype<usize>(d)) return false;
  const c = changetype<VirtioConsole>(makeConsole(d));
  if (!changetype<usize>(c)) return false;
  const status = start(c);
  if (status == 0) return true;
  virtioReset(d);
  virtioFail(d);
  const named = (d.offered & virtioBit(VIRTIO_CONSOLE_F_MULTIPORT)) != 0;
  virtioSay(d, named ? "features or configuration refused; not used" : "it has no named ports; not used");
  return false;
}

// --- Starting -------------------------------------------------------------------------------------------------------------

/** Settles the features, and how many ports are used. 0, or -errno. */
function settle(c: VirtioConsole): i32 {
  const d = virtioOf(c);
  if (virtioBegin(d) != 0) return -ENODEV;
  if (!virtioConfigCopy(d, config, VirtioConsoleConfig.SIZE)) return -EIO;
  const refused = virtioAccept(d, d.offered & (ringFeatures() | virtioBit(VIRTIO_CONSOLE_F_MULTIPORT)));
  if (refused != 0) return refused;
  if (!virtioHas(d, VIRTIO_CONSOLE_F_MULTIPORT)) return -ENODEV;
  const ports = load<u32>(config, VirtioConsoleConfig.max_nr_ports);
  const count = min(ports, CONSOLE_PORTS_MAX);
  // After a reset it has as many as before.
  if (count == 0 || (c.portCount != 0 && count != c.portCount)) return -EIO;
  c.portCount = count;
  return 0;
}

/** Sets up both queues of a port. 0, or -errno. */
function setUpPort(c: VirtioConsole, index: u32): i32 {
  const d = virtioOf(c);
  const p = portAt(c, index);
  if (!p.console) {
    p.name = d.name;
    p.address = changetype<PciDevice>(d.pci).address;
    p.number = index;
    p.label = heapAllocate(SERIAL_LABEL_MAX + 1);
    p.rx = heapAllocate(offsetof<Virtqueue>());
    p.tx = heapAllocate(offsetof<Virtqueue>());
    p.attachFn = changetype<usize>(portAttach);
    p.receiveFn = changetype<usize>(portReceive);
    p.sendFn = changetype<usize>(portSend);
    p.openFn = changetype<usize>(open);
    if (!p.label || !p.rx || !p.tx) return -ENOMEM;
    p.console = changetype<usize>(c);
  }
  const first = index == 0 ? 0 : 2 * index + 2;
  const rx = virtqueueSetUp(d, rxOf(p), first, PORT_BUFFERS, 0, 0);
  if (rx != 0) return rx;
  const tx = virtqueueSetUp(d, txOf(p), first + 1, PORT_BUFFERS, 0, 0);
  if (tx != 0) return tx;
  virtqueueQuiet(txOf(p));
  // Smaller ones are no device's, and would have buffers lost.
  return rxOf(p).size == PORT_BUFFERS && txOf(p).size == PORT_BUFFERS ? 0 : -EIO;
}

/** Starts a device that was reset. 0, or -errno: it is to be reset again. */
function start(c: VirtioConsole): i32 {
  const d = virtioOf(c);
  c.fault = CONSOLE_FINE;
  const settled = settle(c);
  if (settled != 0) return settled;
  const controlRx = changetype<Virtqueue>(c.controlRx);
  const controlTx = changetype<Virtqueue>(c.controlTx);
  const rx = virtqueueSetUp(d, controlRx, CONTROL_RX, CONTROL_MESSAGES, 0, 0);
  if (rx != 0) return rx;
  const tx = virtqueueSetUp(d, controlTx, CONTROL_TX, CONTROL_OUT, 0, 0);
  if (tx != 0) return tx;
  for (let i: u32 = 0; i < c.portCount; i++) {
    const status = setUpPort(c, i);
    if (status != 0) return status;
  }
  controlReset(c);
  for (let i: u32 = 0; i < c.portCount; i++) portFill(portAt(c, i));
  virtioConfigVector(d, 0);
  pciInterruptHandle(changetype<PciDevice>(d.pci), 0, interrupt, changetype<usize>(c));
  virtioStart(d);
  if (!virtioWell(d)) return -EIO;
  c.working = 1;
  virtqueueKick(controlRx);
  for (let i: u32 = 0; i < c.portCount; i++) if (portAt(c, i).rxBuffers) virtqueueKick(rxOf(portAt(c, i)));
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  if (d.vectors == 0) timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  pollEnter(c);
  return 0;
}

/** The device is not used any more. */
function giveUp(c: VirtioConsole): void {
  const d = virtioOf(c);
  timerStop(watchdogOf(c));
  timerStop(changetype<Timer>(c.pollTimer));
  virtioReset(d);
  virtioFail(d);
  virtioSay(d, "given up");
}

/** SerialOpenFn */
function open(record: usize, wanted: bool): void {
  const p = changetype<VirtioConsolePort>(record);
  if (p.openWanted == (wanted ? 1 : 0)) return;
  p.openWanted = wanted ? 1 : 0;
  pollEnter(changetype<VirtioConsole>(p.console));
}

// --- Interrupts and the turn ----------------------------------------------------------------------------------------------

/** EventFn of everything. */
function interrupt(record: usize): void {
  const c = changetype<VirtioConsole>(record);
  const d = virtioOf(c);
  const cause = d.msix ? 1 : virtioCause(d);
  if (c.working && cause != 0) {
    virtqueueQuiet(changetype<Virtqueue>(c.controlRx));
    for (let i: u32 = 0; i < c.portCount; i++) if (portAt(c, i).rxBuffers) virtqueueQuiet(rxOf(portAt(c, i)));
    pollEnter(c);
  }
  pciInterruptDone(changetype<PciDevice>(d.pci), 0);
}

/** PollFn of the device: a reset that is due, else its messages, and what its ports may have. */
function poll(record: usize, budget: u32): bool {
  const c = changetype<VirtioConsole>(record);
  if (!c.working) return false;
  if (c.fault == CONSOLE_FINE && !virtioWell(virtioOf(c))) consoleFault(c, CONSOLE_NEEDS_RESET, 0);
  let more: bool = false;
  if (c.fault == CONSOLE_FINE) {
    more = controlTake(c, min(budget, MESSAGES));
    if (!more) more = virtqueueListen(changetype<Virtqueue>(c.controlRx), 0);
    for (let i: u32 = 0; i < c.portCount; i++) serialReady(portAt(c, i));
    controlTell(c);
  }
  if (c.fault == CONSOLE_FINE) return more;
  repair(c);
  return false;
}

/** Resets a device that broke a rule, and starts it again unless that has happened too often. */
function repair(c: VirtioConsole): void {
  const d = virtioOf(c);
  virtioSay(d, consoleFaultWords(c));
  c.working = 0;
  const reset = virtioReset(d);
  if (!reset || !recoveryAllowed(recoveryOf(c)) || start(c) != 0) giveUp(c);
  for (let i: u32 = 0; i < c.portCount; i++) {
    const p = portAt(c, i);
    if (!c.working && p.connection & 1) p.connection++;
    serialReady(p);
  }
}

/** TimerFn, each second: what no interrupt tells. */
function watchdogTick(record: usize): void {
  const c = changetype<VirtioConsole>(record);
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  pollEnter(c);
}

/** TimerFn, for a device without interrupts. */
function pollTick(record: usize): void {
  const c = changetype<VirtioConsole>(record);
  timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  pollEnter(c);
}
