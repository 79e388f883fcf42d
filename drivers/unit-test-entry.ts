/**
 * Entry of the drivers' unit tests (test/unit/io/drivers): the drivers as the module has them, and a client of each interface that
 * tells Node of every call. Not part of io.wasm.
 */
import { BlockDevice, blockFirst, blockKick, blockOpen, BlockRequest, blockSubmit } from "./block";
import { driversStart } from "./drivers";
import { dmaAllocate, dmaMachine } from "./host/dma";
import { eventDeliver } from "./host/events";
import { heapAllocate } from "./host/heap";
import { systemTime } from "./host/host";
import { timersNext, timersRun } from "./host/timer";
import {
  Frame,
  NetworkDevice,
  networkFirst,
  networkKick,
  networkOpen,
  networkReclaim,
  networkTransmit,
} from "./network";
import { pciBarsRead } from "./pci/bars";
import { pciEcamUse, pciRead32, pciWrite8, pciWrite16 } from "./pci/config";
import { PciBar, pciBar, pciCapability, PciDevice } from "./pci/device";
import { pciEnumerate, pciFirst } from "./pci/enumerate";
import { pollRun, pollWaiting } from "./poll";
import { Segment } from "./segment";

@external("unit", "received") declare function testReceived(device: usize, queue: u32, frame: usize): void;
@external("unit", "receiveEnd") declare function testReceiveEnd(device: usize, queue: u32): void;
@external("unit", "transmitDone") declare function testSent(
  device: usize,
  queue: u32,
  cookie: usize,
  status: i32,
): void;
@external("unit", "transmitReady") declare function testTransmitReady(device: usize, queue: u32): void;
@external("unit", "networkChanged") declare function testNetworkChanged(device: usize): void;
@external("unit", "blockDone") declare function testBlockDone(request: usize, status: i32): void;
@external("unit", "blockReady") declare function testBlockReady(device: usize): void;
@external("unit", "blockChanged") declare function testBlockChanged(device: usize): void;

function received(device: usize, queue: u32, frame: usize): void {
  testReceived(device, queue, frame);
}
function receiveEnd(device: usize, queue: u32): void {
  testReceiveEnd(device, queue);
}
function transmitDone(device: usize, queue: u32, cookie: usize, status: i32): void {
  testSent(device, queue, cookie, status);
}
function transmitReady(device: usize, queue: u32): void {
  testTransmitReady(device, queue);
}
function changed(device: usize): void {
  testNetworkChanged(device);
}
function done(request: usize, status: i32): void {
  testBlockDone(request, status);
}
function ready(device: usize): void {
  testBlockReady(device);
}
function diskChanged(device: usize): void {
  testBlockChanged(device);
}

/** One turn of the module, of bounded pieces; whether there is more to do. */
export function turn(budget: u32): bool {
  timersRun(systemTime());
  pollRun(budget);
  return pollWaiting();
}

export function open(device: NetworkDevice): i32 {
  return networkOpen(device, 0, received, receiveEnd, transmitDone, transmitReady, changed);
}

export function openDisk(device: BlockDevice): void {
  blockOpen(device, 0, ready, diskChanged);
}

/** A request's `done`. */
export function doneFunction(): usize {
  return changetype<usize>(done);
}

/** The first address behind the module's own data. */
export function heapBase(): usize {
  return __heap_base;
}

export {
  blockFirst,
  blockKick,
  blockSubmit,
  dmaAllocate,
  dmaMachine,
  driversStart,
  eventDeliver,
  heapAllocate,
  networkFirst,
  networkKick,
  networkReclaim,
  networkTransmit,
  pciBar,
  pciBarsRead,
  pciCapability,
  pciEcamUse,
  pciEnumerate,
  pciFirst,
  pciRead32,
  pciWrite8,
  pciWrite16,
  timersNext,
};

// Where the fields of records are: class$field$bits, read by test/unit/io/drivers/records.ts.
export const Segment$machine$64: usize = offsetof<Segment>("machine");
export const Segment$linear$32: usize = offsetof<Segment>("linear");
export const Segment$bytes$32: usize = offsetof<Segment>("bytes");
export const Segment$SIZE: usize = offsetof<Segment>();
export const Frame$segments$32: usize = offsetof<Frame>("segments");
export const Frame$count$32: usize = offsetof<Frame>("count");
export const Frame$length$32: usize = offsetof<Frame>("length");
export const Frame$flags$32: usize = offsetof<Frame>("flags");
export const Frame$checksumStart$16: usize = offsetof<Frame>("checksumStart");
export const Frame$checksumOffset$16: usize = offsetof<Frame>("checksumOffset");
export const Frame$gso$32: usize = offsetof<Frame>("gso");
export const Frame$gsoSize$16: usize = offsetof<Frame>("gsoSize");
export const Frame$headerBytes$16: usize = offsetof<Frame>("headerBytes");
export const Frame$SIZE: usize = offsetof<Frame>();
export const NetworkDevice$next$32: usize = offsetof<NetworkDevice>("next");
export const NetworkDevice$name$32: usize = offsetof<NetworkDevice>("name");
export const NetworkDevice$address$32: usize = offsetof<NetworkDevice>("address");
export const NetworkDevice$features$32: usize = offsetof<NetworkDevice>("features");
export const NetworkDevice$mac$64: usize = offsetof<NetworkDevice>("mac");
export const NetworkDevice$mtu$32: usize = offsetof<NetworkDevice>("mtu");
export const NetworkDevice$queues$32: usize = offsetof<NetworkDevice>("queues");
export const NetworkDevice$linkUp$32: usize = offsetof<NetworkDevice>("linkUp");
export const NetworkDevice$state$32: usize = offsetof<NetworkDevice>("state");
export const NetworkDevice$received$64: usize = offsetof<NetworkDevice>("received");
export const NetworkDevice$receiveErrors$64: usize = offsetof<NetworkDevice>("receiveErrors");
export const NetworkDevice$sent$64: usize = offsetof<NetworkDevice>("sent");
export const NetworkDevice$sendErrors$64: usize = offsetof<NetworkDevice>("sendErrors");
export const NetworkDevice$resets$32: usize = offsetof<NetworkDevice>("resets");
export const BlockDevice$next$32: usize = offsetof<BlockDevice>("next");
export const BlockDevice$name$32: usize = offsetof<BlockDevice>("name");
export const BlockDevice$address$32: usize = offsetof<BlockDevice>("address");
export const BlockDevice$unit$32: usize = offsetof<BlockDevice>("unit");
export const BlockDevice$features$32: usize = offsetof<BlockDevice>("features");
export const BlockDevice$state$32: usize = offsetof<BlockDevice>("state");
export const BlockDevice$readOnly$32: usize = offsetof<BlockDevice>("readOnly");
export const BlockDevice$sectors$64: usize = offsetof<BlockDevice>("sectors");
export const BlockDevice$sectorSize$32: usize = offsetof<BlockDevice>("sectorSize");
export const BlockDevice$physicalSectorSize$32: usize = offsetof<BlockDevice>("physicalSectorSize");
export const BlockDevice$segmentsMax$32: usize = offsetof<BlockDevice>("segmentsMax");
export const BlockDevice$segmentBytesMax$32: usize = offsetof<BlockDevice>("segmentBytesMax");
export const BlockDevice$sectorsMax$32: usize = offsetof<BlockDevice>("sectorsMax");
export const BlockDevice$discardSectorsMax$32: usize = offsetof<BlockDevice>("discardSectorsMax");
export const BlockDevice$zeroesSectorsMax$32: usize = offsetof<BlockDevice>("zeroesSectorsMax");
export const BlockDevice$depth$32: usize = offsetof<BlockDevice>("depth");
export const BlockDevice$errors$64: usize = offsetof<BlockDevice>("errors");
export const BlockDevice$resets$32: usize = offsetof<BlockDevice>("resets");
export const BlockDevice$inFlight$32: usize = offsetof<BlockDevice>("inFlight");
export const BlockRequest$sector$64: usize = offsetof<BlockRequest>("sector");
export const BlockRequest$sectors$32: usize = offsetof<BlockRequest>("sectors");
export const BlockRequest$operation$32: usize = offsetof<BlockRequest>("operation");
export const BlockRequest$flags$32: usize = offsetof<BlockRequest>("flags");
export const BlockRequest$segments$32: usize = offsetof<BlockRequest>("segments");
export const BlockRequest$count$32: usize = offsetof<BlockRequest>("count");
export const BlockRequest$done$32: usize = offsetof<BlockRequest>("done");
export const BlockRequest$SIZE: usize = offsetof<BlockRequest>();
export const PciDevice$next$32: usize = offsetof<PciDevice>("next");
export const PciDevice$address$32: usize = offsetof<PciDevice>("address");
export const PciDevice$vendor$16: usize = offsetof<PciDevice>("vendor");
export const PciDevice$classCode$32: usize = offsetof<PciDevice>("classCode");
export const PciBar$base$64: usize = offsetof<PciBar>("base");
export const PciBar$size$64: usize = offsetof<PciBar>("size");
export const PciBar$kind$32: usize = offsetof<PciBar>("kind");
