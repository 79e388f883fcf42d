/**
 * Finding PCI functions: bus 0 and what is behind bridges, with the bus numbers that the firmware assigned. Functions of storage
 * and network controllers may no longer access memory once they are found: what the firmware, or this domain before it was
 * restarted, told them to do is over.
 */
import {
  PCI_CLASS_BRIDGE_PCI,
  PCI_CLASS_REVISION,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_MULTIFUNCTION,
  PCI_HEADER_TYPE_NORMAL,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_SECONDARY_BUS,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from "../../abi/io/pci";
import { heapAllocate } from "../host/heap";
import { pciRead8, pciRead16, pciRead32 } from "./config";
import { PciDevice, pciMasterDisable } from "./device";

/** Functions that are looked at; more than any machine we know of has. */
const DEVICES_MAX: u32 = 256;
const BASE_CLASS_STORAGE: u32 = 1;
const BASE_CLASS_NETWORK: u32 = 2;

let first: usize = 0;
let last: usize = 0;
let count: u32 = 0;
/** A bit for each bus that was scanned or is about to be. */
const seen: usize = memory.data(32);

/** The first function in the order found, a PciDevice; 0 for none. The others follow by `next`. */
export function pciFirst(): usize {
  return first;
}

/** Marks a bus; false when it was marked already. */
function mark(bus: u32): bool {
  const byte = seen + (bus >> 3);
  const bit: u8 = 1 << ((<u8>bus) & 7);
  if (load<u8>(byte) & bit) return false;
  store<u8>(byte, load<u8>(byte) | bit);
  return true;
}

/** Makes the record of a function that exists. */
function found(address: u32): void {
  const record = count < DEVICES_MAX ? heapAllocate(offsetof<PciDevice>()) : 0;
  if (!record) return;
  const d = changetype<PciDevice>(record);
  d.address = address;
  d.vendor = <u16>pciRead16(address, PCI_VENDOR_ID);
  d.device = <u16>pciRead16(address, PCI_DEVICE_ID);
  d.classCode = pciRead32(address, PCI_CLASS_REVISION) >> 8;
  if ((pciRead8(address, PCI_HEADER_TYPE) & ~PCI_HEADER_TYPE_MULTIFUNCTION) == PCI_HEADER_TYPE_NORMAL) {
    d.subsystemVendor = <u16>pciRead16(address, PCI_SUBSYSTEM_VENDOR_ID);
    d.subsystem = <u16>pciRead16(address, PCI_SUBSYSTEM_ID);
  }
  const pin = pciRead8(address, PCI_INTERRUPT_PIN);
  d.interruptPin = pin <= 4 ? <u8>pin : 0;
  d.interruptLine = <u8>pciRead8(address, PCI_INTERRUPT_LINE);
  const base = d.classCode >> 16;
  if (base == BASE_CLASS_STORAGE || base == BASE_CLASS_NETWORK) pciMasterDisable(d);
  if (last) changetype<PciDevice>(last).next = record;
  else first = record;
  last = record;
  count++;
}

/** Looks at one function; returns whether it exists. A bridge's other side is marked in `seen` and queued. */
function look(address: u32): bool {
  const id = pciRead16(address, PCI_VENDOR_ID);
  if (id == 0xffff || id == 0) return false;
  found(address);
  const type = pciRead8(address, PCI_HEADER_TYPE) & ~PCI_HEADER_TYPE_MULTIFUNCTION;
  if (type != PCI_HEADER_TYPE_BRIDGE || pciRead32(address, PCI_CLASS_REVISION) >> 16 != PCI_CLASS_BRIDGE_PCI)
    return true;
  // A bus number that is not larger than the bridge's own was not assigned, or leads back.
  const bus = pciRead8(address, PCI_SECONDARY_BUS);
  if (bus > address >> 8 && mark(bus)) pendingPush(bus);
  return true;
}

/** Buses behind bridges that are still to be scanned; each is entered at most once. */
const pending: usize = memory.data(256);
let pendingUsed: u32 = 0;

function pendingPush(bus: u32): void {
  store<u8>(pending + pendingUsed++, <u8>bus);
}

function scanBus(bus: u32): void {
  for (let slot: u32 = 0; slot < 32; slot++) {
    const address = (bus << 8) | (slot << 3);
    if (!look(address)) continue;
    if (!(pciRead8(address, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MULTIFUNCTION)) continue;
    for (let fn: u32 = 1; fn < 8; fn++) look(address | fn);
  }
}

/** Finds all functions, once; returns their number. */
export function pciEnumerate(): u32 {
  if (first) return count;
  mark(0);
  pendingPush(0);
  for (let i: u32 = 0; i < pendingUsed; i++) scanBus(load<u8>(pending + i));
  return count;
}
