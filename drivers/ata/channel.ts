/** The records of an IDE channel and its disks, and what of their state the other files share. */
import { Ata, ATA_CONTROL_SRST, ATA_STATUS_BSY } from "../../abi/io/ata";
import { BlockDevice, BlockRequest } from "../block";
import { portIn, portOut, systemTime } from "../host/host";
import { Timer } from "../host/timer";
import { PciDevice } from "../pci/device";
import { Pollable } from "../poll";
import { Recovery } from "../recovery";

// AtaChannel.state
export const ATA_IDLE: u32 = 0;
export const ATA_DMA: u32 = 1; // a command with DMA is in progress
export const ATA_PIO: u32 = 2; // one whose data goes through the data register
export const ATA_NO_DATA: u32 = 3; // one without data
export const ATA_RESETTING: u32 = 4;
export const ATA_GONE: u32 = 5;

@unmanaged
export class AtaChannel extends Pollable {
  pci: usize; // PciDevice
  base: u32; // port of the command block
  control: u32;
  busMaster: u32; // port; 0: none
  pirq: u32; // interrupt, 0xffffffff: none, it is polled
  table: usize; // DMA memory: descriptors of the bus master
  disks: usize; // u32[2]: AtaDisk, 0 for none
  diskNext: u32; // whose turn it is
  state: u32; // ATA_*
  request: usize; // BlockRequest in progress; 0 none
  owner: usize; // AtaDisk: its disk
  stamp: u32; // `clock` when it was begun; when the reset was
  clock: u32; // seconds
  segment: u32; // PIO: where the next sector goes
  offset: u32;
  sectorsLeft: u32;
  recovery: usize; // Recovery
  watchdog: usize; // Timer, each second
  pollTimer: usize; // Timer, for a channel without an interrupt
}

@unmanaged
export class AtaDisk extends BlockDevice {
  channel: usize; // AtaChannel
  second: u32; // ATA_DEVICE_SECOND, or 0
  wide: u32; // 48-bit addresses
  dma: u32; // DMA is used
  flushCommand: u32; // 0: it has none
  first: usize; // BlockRequest: waiting, by `link`
  last: usize;
  waiting: u32;
}

/** Requests that a disk keeps waiting, besides the one in progress. */
export const ATA_WAITING_MAX: u32 = 32;

export function pciOf(c: AtaChannel): PciDevice {
  return changetype<PciDevice>(c.pci);
}

export function diskAt(c: AtaChannel, index: u32): usize {
  return load<u32>(c.disks + ((<usize>index) << 2));
}

export function ownerOf(c: AtaChannel): AtaDisk {
  return changetype<AtaDisk>(c.owner);
}

export function requestOf(c: AtaChannel): BlockRequest {
  return changetype<BlockRequest>(c.request);
}

export function channelOf(d: AtaDisk): AtaChannel {
  return changetype<AtaChannel>(d.channel);
}

export function watchdogOf(c: AtaChannel): Timer {
  return changetype<Timer>(c.watchdog);
}

export function recoveryOf(c: AtaChannel): Recovery {
  return changetype<Recovery>(c.recovery);
}

export function ataStatus(c: AtaChannel): u32 {
  return portIn(c.base + Ata.status, 1);
}

/**
 * Waits until the selected device is not busy, for `ns` at most. It must not be asked for more than milliseconds while the module
 * serves others.
 * @returns its status, with ATA_STATUS_BSY if it is busy still
 */
export function ataWait(c: AtaChannel, ns: u64): u32 {
  const end = systemTime() + ns;
  let status = ataStatus(c);
  while (status & ATA_STATUS_BSY && systemTime() < end) status = ataStatus(c);
  return status;
}

/** Begins a reset of both devices of a channel; it is through when they are not busy any more. */
export function ataResetBegin(c: AtaChannel): void {
  portOut(c.control, 1, ATA_CONTROL_SRST);
  // The bit is to be set for 5 microseconds.
  const end = systemTime() + 5000;
  while (systemTime() < end) {}
  portOut(c.control, 1, 0);
}
