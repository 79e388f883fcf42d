/**
 * Headers of a frame: Ethernet, IPv4 or IPv6, TCP or UDP, found in one pass over the bytes that were copied from the sender. What
 * is not there or does not add up is simply not found: `layer3` or `layer4` stays NONE, and whoever needs it decides.
 *
 * Sources: IEEE 802.3, RFC 826, 791, 8200, 9293, 768.
 */

export const ETHERNET_BYTES: u32 = 14;
export const ETHERTYPE_IPV4: u32 = 0x0800;
export const ETHERTYPE_ARP: u32 = 0x0806;
export const ETHERTYPE_IPV6: u32 = 0x86dd;
export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;

/** ARP for IPv4 over Ethernet: bytes of the packet, and where its fields are. */
export const ARP_BYTES: u32 = 28;
export const ARP_OPERATION: u32 = 6;
export const ARP_SENDER_MAC: u32 = 8;
export const ARP_SENDER_IPV4: u32 = 14;
export const ARP_TARGET_MAC: u32 = 18;
export const ARP_TARGET_IPV4: u32 = 24;

const IPV4_BYTES: u32 = 20;
const IPV6_BYTES: u32 = 40;
const TCP_BYTES: u32 = 20;
const UDP_BYTES: u32 = 8;
/** More fragments, and the fragment's offset. */
const IPV4_FRAGMENT: u32 = 0x3fff;

export const NONE: u32 = 0;
export const IPV4: u32 = 4;
export const IPV6: u32 = 6;

@unmanaged
export class Headers {
  etherType: u32;
  /** IPV4, IPV6 or NONE. */
  layer3: u32;
  /** Bytes of the IP header; it begins behind the Ethernet header. */
  ipBytes: u32;
  /** Of an IPv4 packet that is not a fragment, and of an IPv6 packet without extension headers: PROTOCOL_*; else NONE. */
  protocol: u32;
  /** PROTOCOL_TCP or PROTOCOL_UDP when the whole of that header is there; else NONE. */
  layer4: u32;
  /** Where it begins, and its bytes. */
  layer4At: u32;
  layer4Bytes: u32;
  /** Bytes of the frame that belong to the packet: what is behind them is padding. */
  end: u32;
}

/** Two bytes in network order. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function load16be(at: usize): u32 {
  return bswap<u16>(load<u16>(at));
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function load32be(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}

/**
 * Fills in `h`.
 * @param at the frame's first bytes
 * @param available how many of them are there, at least ETHERNET_BYTES
 * @param length of the whole frame, at least `available`
 */
export function headersParse(h: Headers, at: usize, available: u32, length: u32): void {
  h.etherType = load16be(at + 12);
  h.layer3 = NONE;
  h.ipBytes = 0;
  h.protocol = NONE;
  h.layer4 = NONE;
  h.layer4At = 0;
  h.layer4Bytes = 0;
  h.end = length;
  const ip = at + ETHERNET_BYTES;
  const room = available - ETHERNET_BYTES;
  if (h.etherType == ETHERTYPE_IPV4) {
    if (room < IPV4_BYTES) return;
    const first: u32 = load<u8>(ip);
    const bytes = (first & 15) << 2;
    const total = load16be(ip + 2);
    if (first >> 4 != 4 || bytes < IPV4_BYTES || bytes > room || total < bytes) return;
    if (total > length - ETHERNET_BYTES) return;
    h.layer3 = IPV4;
    h.ipBytes = bytes;
    h.end = ETHERNET_BYTES + total;
    if (load16be(ip + 6) & IPV4_FRAGMENT) return;
    h.protocol = load<u8>(ip + 9);
  } else if (h.etherType == ETHERTYPE_IPV6) {
    if (room < IPV6_BYTES || load<u8>(ip) >> 4 != 6) return;
    const total = IPV6_BYTES + load16be(ip + 4);
    if (total > length - ETHERNET_BYTES) return;
    h.layer3 = IPV6;
    h.ipBytes = IPV6_BYTES;
    h.end = ETHERNET_BYTES + total;
    h.protocol = load<u8>(ip + 6);
  } else {
    return;
  }
  const at4 = ETHERNET_BYTES + h.ipBytes;
  const room4 = min(available, h.end) - at4;
  if (h.protocol == PROTOCOL_TCP) {
    if (room4 < TCP_BYTES) return;
    const bytes = ((<u32>load<u8>(at + at4 + 12)) >> 4) << 2;
    if (bytes < TCP_BYTES || bytes > room4) return;
    h.layer4Bytes = bytes;
  } else if (h.protocol == PROTOCOL_UDP) {
    if (room4 < UDP_BYTES) return;
    h.layer4Bytes = UDP_BYTES;
  } else {
    return;
  }
  h.layer4 = h.protocol;
  h.layer4At = at4;
}
