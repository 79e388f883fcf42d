/** Which driver takes which device: the table, and the search at the domain's start. */
import {
  VIRTIO_ID_BLOCK,
  VIRTIO_ID_NET,
  VIRTIO_PCI_MODERN_ID,
  VIRTIO_PCI_TRANSITIONAL_BLK,
  VIRTIO_PCI_TRANSITIONAL_NET,
  VIRTIO_PCI_VENDOR,
} from "../abi/io/virtio";
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
