/** Which driver takes which device: the table, and the search at the domain's start. */
import { AHCI_INTERFACE } from "../abi/io/ahci";
import { E1000_82540EM, E1000_82544GC, E1000_82545EM, E1000_82574L, E1000_PCI_VENDOR } from "../abi/io/e1000";
import {
  VIRTIO_ID_BLOCK,
  VIRTIO_ID_NET,
  VIRTIO_PCI_MODERN_ID,
  VIRTIO_PCI_TRANSITIONAL_BLK,
  VIRTIO_PCI_TRANSITIONAL_NET,
  VIRTIO_PCI_VENDOR,
} from "../abi/io/virtio";
import { PCI_CLASS_STORAGE_IDE, PCI_CLASS_STORAGE_SATA } from "../abi/io/pci";
import { ahciProbe } from "./ahci/ahci";
import { ataProbe } from "./ata/ata";
import { e1000Probe } from "./e1000/e1000";
import { PciDevice } from "./pci/device";
import { pciEnumerate, pciFirst } from "./pci/enumerate";
import { virtioBlkProbe } from "./virtio/blk";
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
  return false;
}

/** Finds all devices and starts their drivers, once: networkFirst and blockFirst are the results. */
export function driversStart(): void {
  pciEnumerate();
  for (let at = pciFirst(); at; at = changetype<PciDevice>(at).next) {
    const d = changetype<PciDevice>(at);
    if (probe(d)) d.claimed = 1;
  }
}
