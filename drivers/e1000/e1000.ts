/**
 * Intel's gigabit cards: 82540EM (what Bochs has, QEMU's `e1000`), 82544GC, 82545EM and 82574L (QEMU's `e1000e`). Finding one, starting
 * it, its interrupts, and resetting it when it breaks a rule. One queue, MTU 1500.
 *
 * The 82574L is used as the others are, with legacy descriptors and one MSI; its MSI-X has vectors by cause, which one queue has no
 * use for.
 */
import { EIO } from "../../abi/errno";
import {
  E1000,
  E1000_82574L,
  E1000_CTRL_ASDE,
  E1000_CTRL_EXT_DRV_LOAD,
  E1000_CTRL_FD,
  E1000_CTRL_RST,
  E1000_CTRL_SLU,
  E1000_EERD_ADDRESS_SHIFT,
  E1000_EERD_ADDRESS_SHIFT_82574,
  E1000_EERD_DONE,
  E1000_EERD_DONE_82574,
  E1000_EERD_START,
  E1000_ICR_LSC,
  E1000_ICR_RXDMT0,
  E1000_ICR_RXO,
  E1000_ICR_RXT0,
  E1000_RAH_AV,
  E1000_RCTL_BAM,
  E1000_RCTL_EN,
  E1000_RCTL_MPE,
  E1000_RCTL_SECRC,
  E1000_RCTL_UPE,
  E1000_REGISTER_BYTES,
  E1000_RXCSUM_IPOFL,
  E1000_RXCSUM_TUOFL,
  E1000_STATUS_LU,
  E1000_TCTL_COLD,
  E1000_TCTL_CT,
  E1000_TCTL_EN,
  E1000_TCTL_PSP,
  E1000RxDesc,
} from "../../abi/io/e1000";
import { dmaAllocate } from "../host/dma";
import { heapAllocate } from "../host/heap";
import { barrier, systemTime } from "../host/host";
import { say, sayEnd } from "../host/log";
import { Timer, timerInit, timerSet, timerStop } from "../host/timer";
import {
  Frame,
  NETWORK_GONE,
  NETWORK_OPEN,
  NETWORK_RX_CHECKSUM,
  NETWORK_TX_CHECKSUM,
  NETWORK_TX_TSO4,
  NETWORK_TX_TSO6,
  networkChanged,
  networkMadeUpMac,
  networkRegister,
} from "../network";
import { pciBarMap, pciBarsRead } from "../pci/bars";
import { pciDecodeEnable, PciDevice, pciMasterDisable, pciMasterEnable, pciPresent, pciSay } from "../pci/device";
import {
  PCI_ALLOW_MSI,
  PCI_ALLOW_PIN,
  pciInterruptDone,
  pciInterruptHandle,
  pciInterruptsBind,
} from "../pci/interrupts";
import { pollEnter, pollInit } from "../poll";
import { Recovery, recoveryAllowed } from "../recovery";
import { Segment } from "../segment";
import {
  E1000_ABSENT,
  E1000_BUFFER_BYTES,
  E1000_FINE,
  E1000_RING,
  E1000_SILENT,
  E1000Card,
  e1000Fault,
  e1000FaultWords,
  E1000Slot,
  E1000Work,
  frameOf,
  pciOf,
  recoveryOf,
  register,
  setRegister,
  watchdogOf,
  workOf,
} from "./device";
import { receiveFrames, receivePending, receiveReset, receiveStart } from "./receive";
import {
  e1000Kick,
  e1000Reclaim,
  e1000Transmit,
  transmitDrain,
  transmitOldest,
  transmitPoll,
  transmitReset,
} from "./transmit";

const SECOND_NS: u64 = 1_000_000_000;
/** How often a card without interrupts is looked at. */
const POLL_NS: u64 = 1_000_000;
/** How long a reset may take; the manual says microseconds, but for reading the EEPROM. */
const RESET_NS: u64 = 100_000_000;
/** How long reading a word of the EEPROM may take. */
const EEPROM_NS: u64 = 10_000_000;
const SILENT_SECONDS: u32 = 10;
const MTU: u32 = 1500;
/** Between two interrupts, in 256 ns: 20,000 a second. */
const INTERVAL: u32 = 195;
/** Inter-packet gap of copper cards (13.4.34). */
const TIPG_COPPER: u32 = 10 | (8 << 10) | (6 << 20);
const CAUSES: u32 = E1000_ICR_LSC | E1000_ICR_RXDMT0 | E1000_ICR_RXO | E1000_ICR_RXT0;
const MULTICAST_WORDS: u32 = 128;
const ALL_ONES: u32 = 0xffffffff;
const PAGE: u32 = 4096;

function sayCard(c: E1000Card, words: string): void {
  say(changetype<string>(c.name));
  say(" ");
  pciSay(pciOf(c));
  say(": ");
  say(words);
  sayEnd();
}

// --- Finding a card -----------------------------------------------------------------------------------------------------

/** Allocates everything that a card needs; false when out of memory. */
function prepareCard(c: E1000Card): bool {
  c.work = heapAllocate(offsetof<E1000Work>());
  c.recovery = heapAllocate(offsetof<Recovery>());
  c.watchdog = heapAllocate(offsetof<Timer>());
  c.pollTimer = heapAllocate(offsetof<Timer>());
  c.frame = heapAllocate(offsetof<Frame>());
  c.rxBuffers = heapAllocate(E1000_RING * 4);
  c.txSlots = heapAllocate(<usize>E1000_RING * offsetof<E1000Slot>());
  const segments = heapAllocate(offsetof<Segment>());
  if (!c.work || !c.recovery || !c.watchdog || !c.pollTimer || !c.frame || !c.rxBuffers || !c.txSlots || !segments) {
    return false;
  }
  frameOf(c).segments = segments;
  c.rxRing = dmaAllocate((E1000_RING * E1000RxDesc.SIZE) / PAGE);
  c.txRing = dmaAllocate((E1000_RING * E1000RxDesc.SIZE) / PAGE);
  if (!c.rxRing || !c.txRing) return false;
  for (let i: u32 = 0; i < E1000_RING; i += PAGE / E1000_BUFFER_BYTES) {
    const page = dmaAllocate(1);
    if (!page) return false;
    for (let j: u32 = 0; j < PAGE / E1000_BUFFER_BYTES; j++) {
      store<u32>(c.rxBuffers + ((<usize>(i + j)) << 2), <u32>page + j * E1000_BUFFER_BYTES);
    }
  }
  workOf(c).card = changetype<usize>(c);
  pollInit(workOf(c), workPoll);
  timerInit(watchdogOf(c), watchdogTick, changetype<usize>(c));
  timerInit(changetype<Timer>(c.pollTimer), pollTick, changetype<usize>(c));
  return true;
}

/** Whether an address is one card's. */
function isUnicast(mac: u64): bool {
  return mac != 0 && (mac & 1) == 0;
}

/** A word of the EEPROM; all ones when there is none. */
function eepromWord(c: E1000Card, word: u32): u32 {
  const newer = <u32>pciOf(c).device == E1000_82574L;
  const done = newer ? E1000_EERD_DONE_82574 : E1000_EERD_DONE;
  const shift = newer ? E1000_EERD_ADDRESS_SHIFT_82574 : E1000_EERD_ADDRESS_SHIFT;
  setRegister(c, E1000.EERD, E1000_EERD_START | (word << shift));
  const end = systemTime() + EEPROM_NS;
  let value = register(c, E1000.EERD);
  while (!(value & done) && systemTime() < end) value = register(c, E1000.EERD);
  return value & done ? value >> 16 : 0xffff;
}

/** The card's address: as it was loaded from the EEPROM, else from there (Bochs loads nothing), else made up. */
function readMac(c: E1000Card): u64 {
  const low = register(c, E1000.RAL0);
  const high = register(c, E1000.RAH0);
  let mac = ((<u64>low) | ((<u64>high) << 32)) & 0xffffffffffff;
  if (high & E1000_RAH_AV && isUnicast(mac)) return mac;
  mac = (<u64>eepromWord(c, 0)) | ((<u64>eepromWord(c, 1)) << 16) | ((<u64>eepromWord(c, 2)) << 32);
  return isUnicast(mac) ? mac : networkMadeUpMac(c.address);
}

/** Takes a card that was found: registers it, closed. False, with the reason in the log, if it cannot be used. */
export function e1000Probe(pci: PciDevice): bool {
  const c = changetype<E1000Card>(heapAllocate(offsetof<E1000Card>()));
  if (!changetype<usize>(c) || !pciBarsRead(pci)) return false;
  const is82574 = <u32>pci.device == E1000_82574L;
  c.name = changetype<usize>(is82574 ? "e1000e" : "e1000");
  c.pci = changetype<usize>(pci);
  c.address = pci.address;
  pciDecodeEnable(pci);
  c.registers = pciBarMap(pci, 0, 0, E1000_REGISTER_BYTES);
  if (!c.registers) {
    sayCard(c, "no registers; not used");
    return false;
  }
  if (!reset(c)) {
    sayCard(c, "does not reset; not used");
    return false;
  }
  if (!prepareCard(c)) {
    sayCard(c, "out of memory; not used");
    return false;
  }
  c.mac = readMac(c);
  c.mtu = MTU;
  c.queues = 1;
  c.features = NETWORK_TX_CHECKSUM | NETWORK_TX_TSO4 | NETWORK_RX_CHECKSUM | (is82574 ? NETWORK_TX_TSO6 : 0);
  c.openFn = changetype<usize>(e1000Open);
  c.transmitFn = changetype<usize>(e1000Transmit);
  c.kickFn = changetype<usize>(e1000Kick);
  c.reclaimFn = changetype<usize>(e1000Reclaim);
  c.polled = pciInterruptsBind(pci, 1, PCI_ALLOW_MSI | PCI_ALLOW_PIN) == 0 ? 1 : 0;
  pciInterruptHandle(pci, 0, interrupt, changetype<usize>(c));
  networkRegister(c);
  return true;
}

// --- Starting -----------------------------------------------------------------------------------------------------------

/** Resets the card and waits until it says so. It may no longer access memory afterwards, whatever it says. */
function reset(c: E1000Card): bool {
  setRegister(c, E1000.IMC, ALL_ONES);
  setRegister(c, E1000.RCTL, 0);
  setRegister(c, E1000.TCTL, 0);
  setRegister(c, E1000.CTRL, register(c, E1000.CTRL) | E1000_CTRL_RST);
  const end = systemTime() + RESET_NS;
  let done = (register(c, E1000.CTRL) & E1000_CTRL_RST) == 0;
  while (!done && systemTime() < end) done = (register(c, E1000.CTRL) & E1000_CTRL_RST) == 0;
  pciMasterDisable(pciOf(c));
  setRegister(c, E1000.IMC, ALL_ONES);
  register(c, E1000.ICR);
  return done;
}

/** Starts a card that was reset. */
function start(c: E1000Card): i32 {
  c.fault = E1000_FINE;
  setRegister(c, E1000.CTRL, register(c, E1000.CTRL) | E1000_CTRL_SLU | E1000_CTRL_ASDE | E1000_CTRL_FD);
  setRegister(c, E1000.CTRL_EXT, register(c, E1000.CTRL_EXT) | E1000_CTRL_EXT_DRV_LOAD);
  for (let i: u32 = 0; i < MULTICAST_WORDS; i++) setRegister(c, E1000.MTA + i * 4, 0);
  setRegister(c, E1000.ITR, INTERVAL);
  setRegister(c, E1000.RDTR, 0);
  setRegister(c, E1000.TIDV, 0);
  setRegister(c, E1000.TIPG, TIPG_COPPER);
  setRegister(c, E1000.RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
  receiveReset(c);
  transmitReset(c);
  // The rings are written before the card may look at them.
  barrier();
  pciMasterEnable(pciOf(c));
  setRegister(c, E1000.TCTL, E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_CT | E1000_TCTL_COLD);
  setRegister(c, E1000.RCTL, E1000_RCTL_EN | E1000_RCTL_UPE | E1000_RCTL_MPE | E1000_RCTL_BAM | E1000_RCTL_SECRC);
  receiveStart(c);
  const status = register(c, E1000.STATUS);
  if (status == ALL_ONES) return -EIO;
  c.linkUp = status & E1000_STATUS_LU ? 1 : 0;
  c.state = NETWORK_OPEN;
  setRegister(c, E1000.IMS, CAUSES);
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  if (c.polled) timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  return 0;
}

/** OpenFn. */
function e1000Open(device: usize): i32 {
  const c = changetype<E1000Card>(device);
  if (start(c) == 0) return 0;
  giveUp(c);
  return -EIO;
}

/** The card is not used any more. */
function giveUp(c: E1000Card): void {
  c.state = NETWORK_GONE;
  c.linkUp = 0;
  timerStop(watchdogOf(c));
  timerStop(changetype<Timer>(c.pollTimer));
  reset(c);
  sayCard(c, "given up");
}

// --- Interrupts and the turn --------------------------------------------------------------------------------------------

/** EventFn. Reading the causes ends the interrupt; none are enabled again before the turn has looked. */
function interrupt(record: usize): void {
  const c = changetype<E1000Card>(record);
  const causes = register(c, E1000.ICR);
  if (c.state == NETWORK_OPEN && causes != 0) {
    setRegister(c, E1000.IMC, CAUSES);
    if (causes == ALL_ONES) e1000Fault(c, E1000_ABSENT);
    pollEnter(workOf(c));
  }
  pciInterruptDone(pciOf(c), 0);
}

/** PollFn. */
function workPoll(record: usize, budget: u32): bool {
  const c = changetype<E1000Card>(changetype<E1000Work>(record).card);
  if (c.state != NETWORK_OPEN) return false;
  if (c.fault == E1000_FINE) {
    const taken = receiveFrames(c, budget);
    if (c.fault == E1000_FINE) {
      transmitPoll(c);
      if (taken >= budget) return true;
      lookAtLink(c);
      setRegister(c, E1000.IMS, CAUSES);
      return receivePending(c);
    }
  }
  repair(c);
  return false;
}

function lookAtLink(c: E1000Card): void {
  const up: u32 = register(c, E1000.STATUS) & E1000_STATUS_LU ? 1 : 0;
  if (up == c.linkUp) return;
  c.linkUp = up;
  networkChanged(c);
}

/** Resets a card that broke a rule, and starts it again unless that has happened too often. */
function repair(c: E1000Card): void {
  sayCard(c, e1000FaultWords(c));
  c.resets++;
  const done = reset(c);
  transmitDrain(c, -EIO);
  if (!done || !recoveryAllowed(recoveryOf(c)) || start(c) != 0) giveUp(c);
  networkChanged(c);
  pollEnter(workOf(c));
}

/** TimerFn, each second: whether the card is there, frames that were sent, and frames that stay unsent. */
function watchdogTick(record: usize): void {
  const c = changetype<E1000Card>(record);
  timerSet(watchdogOf(c), systemTime() + SECOND_NS);
  if (c.fault != E1000_FINE) return;
  c.clock++;
  e1000Reclaim(record, 0);
  if (!pciPresent(pciOf(c))) e1000Fault(c, E1000_ABSENT);
  else if (c.linkUp && transmitOldest(c) >= SILENT_SECONDS) e1000Fault(c, E1000_SILENT);
  pollEnter(workOf(c));
}

/** TimerFn, for a card without interrupts. */
function pollTick(record: usize): void {
  const c = changetype<E1000Card>(record);
  timerSet(changetype<Timer>(c.pollTimer), systemTime() + POLL_NS);
  pollEnter(workOf(c));
}
