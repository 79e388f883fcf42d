/**
 * Interrupts of a device as event channels, through Xen's pirq ABI: MSI-X where the device has it, else MSI, else the pin. The
 * hypervisor writes the device's MSI-X table and MSI capability; nothing here does.
 *
 * A pin's GSI is what the firmware left in PCI_INTERRUPT_LINE: the pin's route to the I/O APIC is in ACPI's AML only. Firmware for
 * PCs sets the line to the input of both interrupt controllers (SeaBIOS, Bochs' BIOS, OVMF).
 */
import { BIND_PIRQ__WILL_SHARE } from "../../abi/event-channel";
import {
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_QSIZE,
  PCI_MSIX_TABLE,
  PCI_MSIX_TABLE_BIR,
  PCI_MSIX_TABLE_OFFSET,
} from "../../abi/io/pci";
import { MAP_PIRQ_TYPE_GSI, MAP_PIRQ_TYPE_MSI_SEG } from "../../abi/physdev";
import { EventFn, eventHandle } from "../host/events";
import { heapAllocate } from "../host/heap";
import { bindPirq, eventClose, mapPirq, pirqEoi, unmapPirq } from "../host/hypercalls";
import { pciRead16, pciRead32, pciWrite16 } from "./config";
import { PCI_BAR_MEMORY, PCI_BARS, PCI_VECTORS_MAX, pciBar, pciCapability, PciDevice } from "./device";

export const PCI_INTERRUPT_NONE: u8 = 0;
export const PCI_INTERRUPT_MSIX: u8 = 1;
export const PCI_INTERRUPT_MSI: u8 = 2;
export const PCI_INTERRUPT_PIN_ROUTED: u8 = 3;

// Kinds that a driver allows, as bits.
export const PCI_ALLOW_MSIX: u32 = 1;
export const PCI_ALLOW_MSI: u32 = 2;
export const PCI_ALLOW_PIN: u32 = 4;
export const PCI_ALLOW_ALL: u32 = 7;

/** Maps one interrupt and binds it to a port, as vector `d.vectors` of the device. */
function bind(d: PciDevice, type: u32, gsi: i32, entry: u32, table: u64, flags: u32): bool {
  const pirq = mapPirq(type, gsi, d.address, entry, table);
  if (pirq < 0) return false;
  const port = bindPirq(<u32>pirq, flags);
  if (port < 0) {
    unmapPirq(<u32>pirq);
    return false;
  }
  const slot = (<usize>d.vectors) << 2;
  store<u32>(d.pirqs + slot, <u32>pirq);
  store<u32>(d.ports + slot, <u32>port);
  d.vectors++;
  return true;
}

/** Base address of the BAR with the MSI-X table; 0 when the capability makes no sense. */
function msixTable(d: PciDevice, capability: u32, entries: u32): u64 {
  const table = pciRead32(d.address, capability + PCI_MSIX_TABLE);
  const index = table & PCI_MSIX_TABLE_BIR;
  if (index >= PCI_BARS) return 0;
  const bar = pciBar(d, index);
  if (bar.kind != PCI_BAR_MEMORY) return 0;
  return <u64>(table & PCI_MSIX_TABLE_OFFSET) + entries * PCI_MSIX_ENTRY_SIZE <= bar.size ? bar.base : 0;
}

function useMsix(d: PciDevice, wanted: u32): bool {
  const capability = pciCapability(d, PCI_CAP_ID_MSIX, 0);
  if (!capability) return false;
  const entries = (pciRead16(d.address, capability + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1;
  const table = msixTable(d, capability, entries);
  if (!table) return false;
  while (d.vectors < min(wanted, entries)) {
    if (!bind(d, MAP_PIRQ_TYPE_MSI_SEG, -1, d.vectors, table, 0)) break;
  }
  d.interruptKind = PCI_INTERRUPT_MSIX;
  return d.vectors != 0;
}

function useMsi(d: PciDevice): bool {
  if (!pciCapability(d, PCI_CAP_ID_MSI, 0)) return false;
  d.interruptKind = PCI_INTERRUPT_MSI;
  return bind(d, MAP_PIRQ_TYPE_MSI_SEG, -1, 0, 0, 0);
}

function usePin(d: PciDevice): bool {
  if (d.interruptPin == 0 || d.interruptLine == 0 || d.interruptLine == 0xff) return false;
  d.interruptKind = PCI_INTERRUPT_PIN_ROUTED;
  pciWrite16(d.address, PCI_COMMAND, pciRead16(d.address, PCI_COMMAND) & ~PCI_COMMAND_INTX_DISABLE);
  return bind(d, MAP_PIRQ_TYPE_GSI, d.interruptLine, 0, 0, BIND_PIRQ__WILL_SHARE);
}

/**
 * Gives a device its interrupts, once; its BARs have been read and it decodes memory. They have no handlers yet.
 * @param wanted how many, at most PCI_VECTORS_MAX; only MSI-X gives more than one
 * @param allowed PCI_ALLOW_*
 * @returns how many it got, `d.vectors`; 0 when it must be polled. The kind is in `d.interruptKind`
 */
export function pciInterruptsBind(d: PciDevice, wanted: u32, allowed: u32): u32 {
  if (!d.ports) {
    d.ports = heapAllocate(PCI_VECTORS_MAX * 8);
    d.pirqs = d.ports + PCI_VECTORS_MAX * 4;
  }
  if (!d.ports || d.vectors != 0) return d.vectors;
  if (allowed & PCI_ALLOW_MSIX && useMsix(d, min(wanted, PCI_VECTORS_MAX))) return d.vectors;
  if (allowed & PCI_ALLOW_MSI && useMsi(d)) return d.vectors;
  if (allowed & PCI_ALLOW_PIN && usePin(d)) return d.vectors;
  d.interruptKind = PCI_INTERRUPT_NONE;
  return 0;
}

/**
 * Has `fn` called with `record` for each interrupt `vector`; the handler ends with `pciInterruptDone`. A vector that is not there, or
 * for whose port there is no memory, does not interrupt: the watchdogs of the drivers see to their devices each second.
 */
export function pciInterruptHandle(d: PciDevice, vector: u32, fn: EventFn, record: usize): void {
  if (vector < d.vectors) eventHandle(load<u32>(d.ports + ((<usize>vector) << 2)), fn, record);
}

/** The handler is through, and the device no longer asserts its pin: it may interrupt again. */
export function pciInterruptDone(d: PciDevice, vector: u32): void {
  if (d.interruptKind == PCI_INTERRUPT_PIN_ROUTED && vector < d.vectors) {
    pirqEoi(load<u32>(d.pirqs + ((<usize>vector) << 2)));
  }
}

/** No pirq: the interrupt could not be had. */
export const GSI_NONE: u32 = 0xffffffff;

/**
 * Has `fn` called with `record` for each interrupt of a GSI that belongs to no PCI function's pin (ISA). The handler ends with
 * pirqEoi.
 * @returns its pirq, or GSI_NONE
 */
export function gsiBind(gsi: u32, fn: EventFn, record: usize): u32 {
  const pirq = mapPirq(MAP_PIRQ_TYPE_GSI, gsi, 0, 0, 0);
  if (pirq < 0) return GSI_NONE;
  const port = bindPirq(<u32>pirq, BIND_PIRQ__WILL_SHARE);
  if (port >= 0 && eventHandle(<u32>port, fn, record)) return <u32>pirq;
  if (port >= 0) eventClose(<u32>port);
  unmapPirq(<u32>pirq);
  return GSI_NONE;
}
