/** Which driver takes which device: the table, and the search at the domain's start. */
import { AHCI_INTERFACE } from "../abi/io/ahci";
import { E1000_82540EM, E1000_82544GC, E1000_82545EM, E1000_82574L, E1000_PCI_VENDOR } from "../abi/io/e1000";
import { NVME_INTERFACE } from "../abi/io/nvme";
import {
  VIRTIO_ID_BLOCK,
  VIRTIO_ID_CONSOLE,
  VIRTIO_ID_NET,
  VIRTIO_PCI_MODERN_ID,
  VIRTIO_PCI_TRANSITIONAL_BLK,
  VIRTIO_PCI_TRANSITIONAL_CONSOLE,
  VIRTIO_PCI_TRANSITIONAL_NET,
  VIRTIO_PCI_VENDOR,
} from "../abi/io/virtio";
import { PCI_CLASS_STORAGE_IDE, PCI_CLASS_STORAGE_NVM, PCI_CLASS_STORAGE_SATA } from "../abi/io/pci";
import { ahciProbe } from "./ahci/ahci";
import { ataProbe } from "./ata/ata";
import { e1000Probe } from "./e1000/e1000";
import { BlockDevice, blockFirst } from "./block";
import { say, sayDec, sayEnd, sayHex } from "./host/log";
import { NetworkDevice, networkFirst } from "./network";
import { nvmeProbe } from "./nvme/nvme";
import { PciDevice, pciSayAddress } from "./pci/device";
import { pciEnumerate, pciFirst } from "./pci/enumerate";
import { virtioBlkProbe } from "./virtio/blk";
import { virtioConsoleProbe } from "./virtio/console";
import { virtioNetProbe } from "./virtio/net";

/** Has its driver take the device, if there is one; whether it did. */
function probe(d: PciDevice): bool {
  if (d.vendor == <u16>VIRTIO_PCI_VENDOR) {
    switch (<u32>d.device) {
      case VIRTIO_PCI_MODERN_ID + VIRTIO_ID_NET:
      case VIRTIO_PCI_TRANSITIONAL_NET:
        return virtioNetProbe(d);
      case VIRTIO_PCI_MODERN_ID + VIRTIO_ID_BLOCK:
      case VIRTIO_PCI_TRANSITIONAL_BLK:
        return virtioBlkProbe(d);
      case VIRTIO_PCI_MODERN_ID + VIRTIO_ID_CONSOLE:
      case VIRTIO_PCI_TRANSITIONAL_CONSOLE:
        return virtioConsoleProbe(d);
    }
  }
  if (d.vendor == <u16>E1000_PCI_VENDOR) {
    switch (<u32>d.device) {
      case E1000_82540EM:
      case E1000_82544GC:
      case E1000_82545EM:
      case E1000_82574L:
        return e1000Probe(d);
    }
  }
  if (d.classCode >> 8 == PCI_CLASS_STORAGE_IDE) return ataProbe(d);
  if (d.classCode == ((PCI_CLASS_STORAGE_SATA << 8) | AHCI_INTERFACE)) return ahciProbe(d);
  if (d.classCode == ((PCI_CLASS_STORAGE_NVM << 8) | NVME_INTERFACE)) return nvmeProbe(d);
  return false;
}

/** Appends a MAC address to the log line. */
function sayMac(mac: u64): void {
  for (let i: u32 = 0; i < 6; i++) {
    const byte = (<u32>(mac >> (i * 8))) & 0xff;
    if (i != 0) say(":");
    sayHex(byte >> 4);
    sayHex(byte & 15);
  }
}

/** Appends what drives a device, and where it is. */
function sayDevice(name: usize, address: u32): void {
  say(changetype<string>(name));
  say(" ");
  pciSayAddress(address);
}

/** Logs what was found: a line for each device. */
function report(): void {
  for (let at = networkFirst(); at; at = changetype<NetworkDevice>(at).next) {
    const d = changetype<NetworkDevice>(at);
    sayDevice(d.name, d.address);
    say(": network card ");
    sayMac(d.mac);
    say(", MTU ");
    sayDec(d.mtu);
    sayEnd();
  }
  for (let at = blockFirst(); at; at = changetype<BlockDevice>(at).next) {
    const d = changetype<BlockDevice>(at);
    sayDevice(d.name, d.address);
    say(" unit ");
    sayDec(d.unit);
    say(d.readOnly ? ": read-only disk of " : ": disk of ");
    sayDec(d.sectors);
    say(" sectors");
    sayEnd();
  }
}

/**
 * Finds all devices and starts their drivers, once: networkFirst and blockFirst are the results; serial ports are told of as they appear
 * (serialWatch, before). Events are in use already.
 */
export function driversStart(): void {
  pciEnumerate();
  for (let at = pciFirst(); at; at = changetype<PciDevice>(at).next) {
    const d = changetype<PciDevice>(at);
    if (probe(d)) d.claimed = 1;
  }
  report();
}
