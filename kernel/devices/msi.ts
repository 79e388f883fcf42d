/**
 * Messages (PCI 3.0, 6.8): an MSI capability with one message, or an entry of an MSI-X table. The address and data name this
 * CPU's local APIC and a vector of pirq.ts; edge triggered, fixed delivery.
 */
import { EBUSY, EINVAL, ENODEV, EPERM } from "../../abi/errno";
import { hostApicId } from "../../arch-x86/host/apic";
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_OFF,
  PCI_COMMAND_MEMORY,
  pciCapability,
  pciRead,
  pciWrite,
} from "../../arch-x86/host/pci";
import * as hw from "../../arch-x86/hw";
import { P2M_NONE } from "../../arch-x86/p2m-types";
import { Domain } from "../records/domain";
import { barMemory, functionMake, PciFunction } from "./functions";
import { registersProtect, registersType } from "./registers";

const CAPABILITY_MSI: u32 = 5;
const CAPABILITY_MSIX: u32 = 0x11;
/** Offset of the control word in either capability. */
const CONTROL: u32 = 2;

const MSI_ENABLE: u32 = 1;
const MSI_MULTIPLE_ENABLED: u32 = 7 << 4;
const MSI_64: u32 = 1 << 7;

const MSIX_SIZE: u32 = 0x7ff;
const MSIX_ALL_MASKED: u32 = 1 << 14;
const MSIX_ENABLE: u32 = 1 << 15;
const MSIX_TABLE: u32 = 4;
const ENTRY_BYTES: u64 = 16;
const ENTRY_MASKED: u32 = 1;

const MESSAGE_ADDRESS: u32 = 0xfee00000;

/** msiBegin's `entry` for a plain MSI. */
export const MSI_PLAIN: u32 = 0xffffffff;

function tableOf(f: PciFunction): u64 {
  const where = pciRead(f.address, f.capability + MSIX_TABLE, 4);
  const base = barMemory(f, where & 7);
  return base ? base + (where & ~7) : 0;
}

/**
 * Programs a message, masked.
 * @param entry of the MSI-X table; MSI_PLAIN: an MSI
 * @returns 0; -ENODEV no such function or capability, or its memory is not enabled; -EINVAL no such entry; -EBUSY the
 * function uses the other kind, or its only MSI; -EPERM its table is where no device's memory is
 */
export function msiBegin(d: Domain, address: u32, entry: u32, vector: u32): i32 {
  const f = functionMake(address);
  if (f == null) return -ENODEV;
  const capability = pciCapability(address, entry == MSI_PLAIN ? CAPABILITY_MSI : CAPABILITY_MSIX);
  if (!capability) return -ENODEV;
  if (f.messages && (entry == MSI_PLAIN || f.capability != capability)) return -EBUSY;
  f.capability = capability;
  const rc = entry == MSI_PLAIN ? beginPlain(f, vector) : beginEntry(d, f, entry, vector);
  if (rc) return rc;
  if (!f.messages++) pciWrite(address, PCI_COMMAND, 2, pciRead(address, PCI_COMMAND, 2) | PCI_COMMAND_INTX_OFF);
  return 0;
}

function beginPlain(f: PciFunction, vector: u32): i32 {
  const at = f.capability;
  const control = pciRead(f.address, at + CONTROL, 2) & ~(MSI_ENABLE | MSI_MULTIPLE_ENABLED);
  pciWrite(f.address, at + CONTROL, 2, control);
  pciWrite(f.address, at + 4, 4, MESSAGE_ADDRESS | (hostApicId() << 12));
  if (control & MSI_64) pciWrite(f.address, at + 8, 4, 0);
  pciWrite(f.address, at + (control & MSI_64 ? 12 : 8), 2, vector);
  return 0;
}

function beginEntry(d: Domain, f: PciFunction, entry: u32, vector: u32): i32 {
  const control = pciRead(f.address, f.capability + CONTROL, 2);
  const entries = (control & MSIX_SIZE) + 1;
  if (entry >= entries) return -EINVAL;
  if (!(pciRead(f.address, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY)) return -ENODEV;
  const table = tableOf(f);
  if (!f.messages) {
    const first = table >> 12;
    const last = (table + entries * ENTRY_BYTES - 1) >> 12;
    for (let mfn = first; mfn <= last; mfn++) if (!table || registersType(mfn) == P2M_NONE) return -EPERM;
    f.tableFirst = first;
    f.tableLast = last;
    const rc = registersProtect(d, first, last);
    if (rc) return rc;
    for (let i: u32 = 0; i < entries; i++) hw.mmioWrite32(table + i * ENTRY_BYTES + 12, ENTRY_MASKED);
    pciWrite(f.address, f.capability + CONTROL, 2, (control & ~MSIX_ALL_MASKED) | MSIX_ENABLE);
  }
  const at = table + entry * ENTRY_BYTES;
  hw.mmioWrite32(at, MESSAGE_ADDRESS | (hostApicId() << 12));
  hw.mmioWrite32(at + 4, 0);
  hw.mmioWrite32(at + 8, vector);
  return 0;
}

/** Masks the message of msiBegin, or lets it be sent. Without a mask of its own an MSI is turned off as a whole. */
export function msiMask(address: u32, entry: u32, masked: bool): void {
  const f = functionMake(address);
  if (f == null) return;
  if (entry == MSI_PLAIN) {
    const control = pciRead(address, f.capability + CONTROL, 2);
    pciWrite(address, f.capability + CONTROL, 2, masked ? control & ~MSI_ENABLE : control | MSI_ENABLE);
  } else {
    hw.mmioWrite32(tableOf(f) + entry * ENTRY_BYTES + 12, masked ? ENTRY_MASKED : 0);
  }
}

/** Undoes msiBegin; the message is masked. With the last one of a function its MSI-X table is the domain's again. */
export function msiEnd(address: u32, entry: u32): void {
  const f = functionMake(address);
  if (f == null || !f.messages || --f.messages) return;
  if (entry != MSI_PLAIN) {
    const control = pciRead(address, f.capability + CONTROL, 2);
    pciWrite(address, f.capability + CONTROL, 2, control & ~MSIX_ENABLE);
    f.tableFirst = 0;
    f.tableLast = 0;
  }
  pciWrite(address, PCI_COMMAND, 2, pciRead(address, PCI_COMMAND, 2) & ~PCI_COMMAND_INTX_OFF);
}
