/**
 * Buses behind bridges, with the numbers that firmware assigned (PCI-to-PCI Bridge 1.2, 3.2.5), and by which requester ids an IOMMU
 * may see a function's accesses: its own; those of bridges above it that pass them on as theirs (PCI Express to PCI Bridge 1.0, 2.3).
 */
import { PCI_CLASS, PCI_HEADER_TYPE, pciCapability, pciExists, pciRead } from "./pci";

const BUSES: u32 = 256;
const CLASS_BRIDGE: u32 = 6;
const SUBCLASS: u32 = 0xa;
const SUBCLASS_PCI: u32 = 4;
const HEADER_BRIDGE: u32 = 1;
const HEADER_MULTIFUNCTION: u32 = 0x80;
const SECONDARY_BUS: u32 = 0x19;
const CAPABILITY_EXPRESS: u32 = 0x10;
const EXPRESS_TYPE: u32 = 2;
/** Types of PCI Express functions (PCI Express 3.0, 7.8.2): a bridge to PCI, and one from PCI. */
const TYPE_TO_PCI: u32 = 7;
const TYPE_FROM_PCI: u32 = 8;

/** Of each bus the bridge that leads to it, as BRIDGE | address; 0: none is known. */
const bridges: usize = memory.data(256 * 4, 4);
const BRIDGE: u32 = 1 << 16;

/** Finds the bridges, from bus 0 on; returns the highest number of a bus. Once, at start. */
export function pciBridgesFind(): u32 {
  let last: u32 = 0;
  // A bus that is found has a higher number than the bridge's own: one pass sees all.
  for (let bus: u32 = 0; bus < BUSES; bus++) {
    if (bus && !bridgeOf(bus)) continue;
    last = bus;
    for (let slot: u32 = 0; slot < 32; slot++) lookAt((bus << 8) | (slot << 3));
  }
  return last;
}

function lookAt(address: u32): void {
  if (!pciExists(address)) return;
  note(address);
  if (!(pciRead(address, PCI_HEADER_TYPE, 1) & HEADER_MULTIFUNCTION)) return;
  for (let fn: u32 = 1; fn < 8; fn++) if (pciExists(address | fn)) note(address | fn);
}

function note(address: u32): void {
  const isBridge =
    (pciRead(address, PCI_HEADER_TYPE, 1) & ~HEADER_MULTIFUNCTION) == HEADER_BRIDGE &&
    pciRead(address, PCI_CLASS, 1) == CLASS_BRIDGE &&
    pciRead(address, SUBCLASS, 1) == SUBCLASS_PCI;
  if (!isBridge) return;
  const bus = pciRead(address, SECONDARY_BUS, 1);
  if (bus > address >> 8 && !bridgeOf(bus)) store<u32>(bridges + ((<usize>bus) << 2), BRIDGE | address);
}

function bridgeOf(bus: u32): u32 {
  return load<u32>(bridges + ((<usize>bus) << 2));
}

/** There is no further requester. */
export const PCI_NO_REQUESTER: u32 = 0xffffffff;

/** The requester id number `index` of a function's: 0 its own; PCI_NO_REQUESTER: it has no more. */
export function pciRequester(address: u32, index: u32): u32 {
  if (index == 0) return address;
  let left = index;
  let bus = address >> 8;
  while (bus) {
    const bridge = bridgeOf(bus) & 0xffff;
    if (!bridgeOf(bus)) return PCI_NO_REQUESTER;
    const express = pciCapability(bridge, CAPABILITY_EXPRESS);
    const type = express ? (pciRead(bridge, express + EXPRESS_TYPE, 2) >> 4) & 0xf : TYPE_FROM_PCI;
    if (type == TYPE_TO_PCI) {
      // The specification lets it use its secondary bus, device 0; many use their own id.
      if (--left == 0) return bus << 8;
      if (--left == 0) return bridge;
    } else if (type == TYPE_FROM_PCI) {
      if (--left == 0) return bridge;
    }
    bus = bridge >> 8;
  }
  return PCI_NO_REQUESTER;
}
