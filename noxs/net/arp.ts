/**
 * ARP for the vifs of a bridge: who asks for an address that is configured for one gets the answer from here, so that a request
 * is not copied to thousands of guests. Source: RFC 826; probes and announcements: RFC 5227.
 */
import { BRIDGE_ARP_PROXY, BRIDGE_DHCP } from "../../abi/io/control-net";
import { ipv4Owner, macLoad, macStore } from "./addresses";
import { Bridge } from "./bridges";
import { Frame, frameAllocate, frameExtend } from "./frame/frames";
import {
  ARP_BYTES,
  ARP_OPERATION,
  ARP_SENDER_IPV4,
  ARP_SENDER_MAC,
  ARP_TARGET_IPV4,
  ARP_TARGET_MAC,
  ETHERNET_BYTES,
  ETHERTYPE_ARP,
  load16be,
} from "./frame/headers";
import { serverAddress, serverMac } from "./dhcp";

/** Hardware type Ethernet, protocol IPv4, lengths 6 and 4: the first six bytes. */
const ARP_ETHERNET_IPV4: u64 = 0x0406_0008_0100;
const OPERATION_REQUEST: u32 = 1;
const OPERATION_REPLY: u32 = 2;
const REPLY_BYTES: u32 = 60; // the shortest Ethernet frame

/** What is to be done with an ARP frame sent to all. */
export const ARP_FLOOD: u32 = 0; // everybody sees it
export const ARP_FLOOD_OPEN: u32 = 1; // it asks for an address that no vif has configured
export const ARP_ANSWERED: u32 = 2; // arpReply is the answer
export const ARP_IGNORED: u32 = 3;

/** The answer, one reference the caller's; null when memory was short. */
export let arpReply: Frame | null = null;

/**
 * Looks at an ARP frame.
 * @param head its first bytes, `available` of them
 * @param port at which it came in
 */
export function arpHandle(b: Bridge, head: usize, available: u32, port: u32): u32 {
  const packet = head + ETHERNET_BYTES;
  if (available < ETHERNET_BYTES + ARP_BYTES || macOfSix(packet) != ARP_ETHERNET_IPV4) return ARP_FLOOD;
  if (load16be(packet + ARP_OPERATION) != OPERATION_REQUEST) return ARP_FLOOD;
  const sender = load<u32>(packet + ARP_SENDER_IPV4);
  const target = load<u32>(packet + ARP_TARGET_IPV4);
  if (sender == target) return ARP_FLOOD; // an announcement
  if (!(b.stable.flags & BRIDGE_ARP_PROXY)) return ARP_FLOOD;
  const owner = ipv4Owner(b, target);
  if (owner != null) {
    // A probe for its own address must stay unanswered, and nobody else has it.
    if (owner.index == port) return ARP_IGNORED;
    arpReply = makeReply(packet, owner.stable.mac, target);
    return ARP_ANSWERED;
  }
  // The DHCP server's address, unless it is the gateway's, which answers for itself.
  if (b.stable.flags & BRIDGE_DHCP && target == serverAddress(b) && target != b.stable.gateway) {
    arpReply = makeReply(packet, serverMac(b), target);
    return ARP_ANSWERED;
  }
  return ARP_FLOOD_OPEN;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function macOfSix(at: usize): u64 {
  return macLoad(at);
}

function makeReply(request: usize, mac: u64, address: u32): Frame | null {
  const f = frameAllocate(REPLY_BYTES);
  if (f == null) return null;
  const head = frameExtend(f, REPLY_BYTES);
  memory.fill(head, 0, REPLY_BYTES);
  const asker = macLoad(request + ARP_SENDER_MAC);
  macStore(head, asker);
  macStore(head + 6, mac);
  store<u16>(head + 12, bswap<u16>(<u16>ETHERTYPE_ARP));
  const packet = head + ETHERNET_BYTES;
  macStore(packet, ARP_ETHERNET_IPV4);
  store<u16>(packet + ARP_OPERATION, bswap<u16>(<u16>OPERATION_REPLY));
  macStore(packet + ARP_SENDER_MAC, mac);
  store<u32>(packet + ARP_SENDER_IPV4, address);
  macStore(packet + ARP_TARGET_MAC, asker);
  store<u32>(packet + ARP_TARGET_IPV4, load<u32>(request + ARP_SENDER_IPV4));
  return f;
}
