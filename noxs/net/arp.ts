/**
 * ARP for the vifs of a bridge, so that a request or an announcement is not copied to thousands of guests: a request for an address
 * that is configured for a vif goes to this vif alone, or is answered from here (BRIDGE_ARP_PROXY). One for another address, and
 * a vif's announcement of its own, go to vifs without a configured address and to the card, unless others may have noted the
 * address for a vif that is gone: then to all. Source: RFC 826; probes and announcements: RFC 5227.
 */
import { BRIDGE_ARP_PROXY, BRIDGE_DHCP } from "../../abi/io/control-net";
import { ipv4Owner, macLoad, macStore, PORT_UPLINK } from "./addresses";
import { stableRegion } from "../../drivers/host/stable";
import { Bridge, bridgeOf } from "./bridges";
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
import { Vif } from "./records";

/** Hardware type Ethernet, protocol IPv4, lengths 6 and 4: the first six bytes. */
const ARP_ETHERNET_IPV4: u64 = 0x0406_0008_0100;
const OPERATION_REQUEST: u32 = 1;
const OPERATION_REPLY: u32 = 2;
const REPLY_BYTES: u32 = 60; // the shortest Ethernet frame

/** What is to be done with an ARP frame sent to all. */
export const ARP_FLOOD: u32 = 0; // everybody sees it
export const ARP_FLOOD_OPEN: u32 = 1; // those without a configured address see it
export const ARP_ANSWERED: u32 = 2; // arpReply is the answer
export const ARP_IGNORED: u32 = 3;

export const ARP_TO_OWNER: u32 = 4; // for arpOwner only

/** The answer, one reference the caller's; null when memory was short. */
export let arpReply: Frame | null = null;
/** The vif that has the address configured. */
export let arpOwner: Vif | null = null;

/**
 * Marks of addresses, a bit each, by a hash of bridge and address: two that share one only cost a copy more. Never taken away, in
 * stable memory, since what guests have noted outlives a restart of the domain.
 */
const MARKS: u32 = 32768;
/** Addresses that a vif may have noted. */
let known: usize = 0;
/** Those of them that were a vif's which is gone: another one's with the address has another MAC address. */
let stale: usize = 0;

/** Before anything else here; false without memory. */
export function arpInit(): bool {
  known = stableRegion(0x4e415250, MARKS >> 2); // "NARP"
  stale = known + (MARKS >> 3);
  return known != 0;
}

function markAt(marks: usize, b: Bridge, address: u32): usize {
  return marks + ((<usize>hash(b, address)) >> 3);
}

function hash(b: Bridge, address: u32): u32 {
  return ((address ^ (b.index << 8)) * 0x9e3779b1) >> 17;
}

function mark(marks: usize, b: Bridge, address: u32): void {
  const at = markAt(marks, b, address);
  store<u8>(at, load<u8>(at) | ((<u32>1) << (hash(b, address) & 7)));
}

function isMarked(marks: usize, b: Bridge, address: u32): bool {
  return (load<u8>(markAt(marks, b, address)) & ((<u32>1) << (hash(b, address) & 7))) != 0;
}

/** A vif leaves its bridge. */
export function arpForget(v: Vif): void {
  const b = bridgeOf(v);
  if (v.stable.ipv4 && isMarked(known, b, v.stable.ipv4)) mark(stale, b, v.stable.ipv4);
}

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
  const isStale = isMarked(stale, b, sender);
  const owner = ipv4Owner(b, target);
  // An announcement.
  if (sender == target) return owner != null && owner.index == port && !isStale ? ARP_FLOOD_OPEN : ARP_FLOOD;
  // Who asks, and is a vif, notes the answer; who is asked notes who asks.
  if (port != PORT_UPLINK) mark(known, b, target);
  if (b.stable.flags & BRIDGE_ARP_PROXY) {
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
  }
  mark(known, b, sender);
  if (isStale) return ARP_FLOOD;
  if (owner == null || owner.index == port) return ARP_FLOOD_OPEN;
  arpOwner = owner;
  return ARP_TO_OWNER;
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
