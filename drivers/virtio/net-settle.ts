/**
 * What a virtio network card is asked to do: its features, each accepted only with what it depends on, and its configuration,
 * copied once and not believed where it makes no sense.
 */
import { EIO, ENODEV } from "../../abi/errno";
import {
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_S_LINK_UP,
  VirtioNetConfig,
} from "../../abi/io/virtio-net";
import {
  NETWORK_RX_CHECKSUM,
  NETWORK_RX_TSO4,
  NETWORK_RX_TSO6,
  NETWORK_TX_CHECKSUM,
  NETWORK_TX_TSO4,
  NETWORK_TX_TSO6,
  networkMadeUpMac,
} from "../network";
import { PciDevice } from "../pci/device";
import {
  virtioAccept,
  virtioBegin,
  virtioBit,
  virtioConfigCopy,
  VirtioDevice,
  virtioHas,
  virtioQueueCount,
} from "./device";
import { VIRTIO_NET_BUFFER_BYTES, VIRTIO_NET_PAIRS_MAX, VirtioNet, virtioOf } from "./net-device";
import { ringFeatures } from "./queue";

const MTU_DEFAULT: u32 = 1500;
const MTU_MIN: u32 = 68; // RFC 791
/** Largest MTU of a card that does not merge buffers: header, Ethernet header with VLAN tag and payload are one buffer. */
const MTU_UNMERGED_MAX: u32 = VIRTIO_NET_BUFFER_BYTES - 12 - 18;
const MTU_MAX: u32 = 65535;

/** A copy of the card's configuration. */
const config: usize = memory.data(VirtioNetConfig.SIZE);

/** The features to be accepted of those offered: each with what the specification says it depends on (5.1.3.1). */
function chooseFeatures(d: VirtioDevice): u64 {
  let wanted = ringFeatures();
  wanted |= virtioBit(VIRTIO_NET_F_MAC) | virtioBit(VIRTIO_NET_F_STATUS) | virtioBit(VIRTIO_NET_F_MTU);
  wanted |= virtioBit(VIRTIO_NET_F_MRG_RXBUF) | virtioBit(VIRTIO_NET_F_CSUM) | virtioBit(VIRTIO_NET_F_GUEST_CSUM);
  if (d.offered & virtioBit(VIRTIO_NET_F_CSUM)) {
    wanted |= virtioBit(VIRTIO_NET_F_HOST_TSO4) | virtioBit(VIRTIO_NET_F_HOST_TSO6);
  }
  // Large frames are taken in merged buffers only.
  if (d.offered & virtioBit(VIRTIO_NET_F_GUEST_CSUM) && d.offered & virtioBit(VIRTIO_NET_F_MRG_RXBUF)) {
    wanted |= virtioBit(VIRTIO_NET_F_GUEST_TSO4) | virtioBit(VIRTIO_NET_F_GUEST_TSO6);
  }
  if (d.offered & virtioBit(VIRTIO_NET_F_CTRL_VQ)) {
    wanted |= virtioBit(VIRTIO_NET_F_CTRL_VQ) | virtioBit(VIRTIO_NET_F_CTRL_RX) | virtioBit(VIRTIO_NET_F_MQ);
  }
  return d.offered & wanted;
}

/** Takes back features whose configuration makes no sense, with what depends on them. */
function sensibleFeatures(d: VirtioDevice, features: u64): u64 {
  const mtu = load<u16>(config, VirtioNetConfig.mtu);
  if (features & virtioBit(VIRTIO_NET_F_MTU) && mtu < MTU_MIN) features &= ~virtioBit(VIRTIO_NET_F_MTU);
  if (features & virtioBit(VIRTIO_NET_F_MQ)) {
    const pairs = <u32>load<u16>(config, VirtioNetConfig.max_virtqueue_pairs);
    if (pairs < 1 || pairs > VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX || virtioQueueCount(d) < 2 * pairs + 1) {
      features &= ~virtioBit(VIRTIO_NET_F_MQ);
    }
  }
  return features;
}

/** The card's address; one made up from where it is, if it has none or one that is no card's. */
function chooseMac(d: VirtioDevice): u64 {
  const mac = load<u64>(config, VirtioNetConfig.mac) & 0xffffffffffff;
  if (virtioHas(d, VIRTIO_NET_F_MAC) && mac != 0 && (mac & 1) == 0) return mac;
  return networkMadeUpMac(changetype<PciDevice>(d.pci).address);
}

function chooseMtu(n: VirtioNet, d: VirtioDevice): u32 {
  let mtu = virtioHas(d, VIRTIO_NET_F_MTU) ? <u32>load<u16>(config, VirtioNetConfig.mtu) : MTU_DEFAULT;
  return min(mtu, n.merge ? MTU_MAX : MTU_UNMERGED_MAX);
}

function interfaceFeatures(d: VirtioDevice): u32 {
  let features: u32 = 0;
  if (virtioHas(d, VIRTIO_NET_F_CSUM)) features |= NETWORK_TX_CHECKSUM;
  if (virtioHas(d, VIRTIO_NET_F_HOST_TSO4)) features |= NETWORK_TX_TSO4;
  if (virtioHas(d, VIRTIO_NET_F_HOST_TSO6)) features |= NETWORK_TX_TSO6;
  if (virtioHas(d, VIRTIO_NET_F_GUEST_CSUM)) features |= NETWORK_RX_CHECKSUM;
  if (virtioHas(d, VIRTIO_NET_F_GUEST_TSO4)) features |= NETWORK_RX_TSO4;
  if (virtioHas(d, VIRTIO_NET_F_GUEST_TSO6)) features |= NETWORK_RX_TSO6;
  return features;
}

/** Settles what the card, which was reset, does: its features, and what follows from them. 0, or -errno. */
export function netSettle(n: VirtioNet): i32 {
  const d = virtioOf(n);
  if (virtioBegin(d) != 0) return -ENODEV;
  if (!virtioConfigCopy(d, config, VirtioNetConfig.SIZE)) return -EIO;
  const refused = virtioAccept(d, sensibleFeatures(d, chooseFeatures(d)));
  if (refused != 0) return refused;
  n.merge = virtioHas(d, VIRTIO_NET_F_MRG_RXBUF) ? 1 : 0;
  n.guestChecksum = virtioHas(d, VIRTIO_NET_F_GUEST_CSUM) ? 1 : 0;
  n.features = interfaceFeatures(d);
  n.mac = chooseMac(d);
  n.mtu = chooseMtu(n, d);
  n.devicePairs = virtioHas(d, VIRTIO_NET_F_MQ) ? load<u16>(config, VirtioNetConfig.max_virtqueue_pairs) : 1;
  n.pairCount = min(n.devicePairs, VIRTIO_NET_PAIRS_MAX);
  n.queues = 1;
  n.linkUp = linkIn(d);
  return 0;
}

/** Whether the link is up, by `config`. */
function linkIn(d: VirtioDevice): u32 {
  if (!virtioHas(d, VIRTIO_NET_F_STATUS)) return 1;
  return load<u16>(config, VirtioNetConfig.status) & (<u16>VIRTIO_NET_S_LINK_UP) ? 1 : 0;
}

/** Looks whether the link is up; returns whether that is news. */
export function netLinkChanged(n: VirtioNet): bool {
  const d = virtioOf(n);
  if (!virtioConfigCopy(d, config, VirtioNetConfig.SIZE)) return false;
  const up = linkIn(d);
  if (up == n.linkUp) return false;
  n.linkUp = up;
  return true;
}
