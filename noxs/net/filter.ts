/**
 * What a vif may send: frames from its own MAC address; when it has an IPv4 address configured, IPv4 and ARP from that address only,
 * besides IPv6, and no DHCP as a server. A vif with VIF_ANY_MAC or VIF_ANY_ADDRESS is not held to the one or the other.
 *
 * IPv6 source addresses are not checked: none are configured.
 */
import {
  DROP_DHCP_SERVER,
  DROP_MALFORMED,
  DROP_PROTOCOL,
  DROP_SOURCE_ADDRESS,
  DROP_SOURCE_MAC,
  VIF_ANY_ADDRESS,
  VIF_ANY_MAC,
} from "../../abi/io/control-net";
import { macIsGroup, macLoad } from "./addresses";
import {
  ARP_BYTES,
  ARP_SENDER_IPV4,
  ARP_SENDER_MAC,
  ETHERNET_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  Headers,
  IPV4,
  load16be,
  PROTOCOL_UDP,
} from "./frame/headers";
import { Vif } from "./records";

export const DHCP_SERVER_PORT: u32 = 67;
export const DHCP_CLIENT_PORT: u32 = 68;
/** The frame may pass. */
export const FILTER_PASS: i32 = -1;

/**
 * Why a frame of a vif is dropped, DROP_*; or FILTER_PASS.
 * @param head its first bytes, `available` of them
 */
export function filterReason(v: Vif, head: usize, available: u32, h: Headers): i32 {
  const s = v.stable;
  const source = macLoad(head + 6);
  if (!(s.flags & VIF_ANY_MAC) && source != s.mac) return DROP_SOURCE_MAC;
  if (macIsGroup(source)) return DROP_SOURCE_MAC;
  if (!s.ipv4 || s.flags & VIF_ANY_ADDRESS) return FILTER_PASS;
  const packet = head + ETHERNET_BYTES;
  switch (h.etherType) {
    case ETHERTYPE_IPV4:
      if (h.layer3 != IPV4) return DROP_MALFORMED;
      return ipv4Reason(s.ipv4, packet, head, h);
    case ETHERTYPE_ARP: {
      if (available < ETHERNET_BYTES + ARP_BYTES) return DROP_MALFORMED;
      if (macLoad(packet + ARP_SENDER_MAC) != source) return DROP_SOURCE_MAC;
      const sender = load<u32>(packet + ARP_SENDER_IPV4);
      return sender && sender != s.ipv4 ? DROP_SOURCE_ADDRESS : FILTER_PASS;
    }
    case ETHERTYPE_IPV6:
      return FILTER_PASS;
    default:
      return DROP_PROTOCOL;
  }
}

function ipv4Reason(own: u32, packet: usize, head: usize, h: Headers): i32 {
  const sender = load<u32>(packet + 12);
  const isUdp = h.layer4 == PROTOCOL_UDP;
  const from = isUdp ? load16be(head + h.layer4At) : 0;
  const to = isUdp ? load16be(head + h.layer4At + 2) : 0;
  // A client that has no address yet asks for one.
  if (!sender) return from == DHCP_CLIENT_PORT && to == DHCP_SERVER_PORT ? FILTER_PASS : DROP_SOURCE_ADDRESS;
  if (sender != own) return DROP_SOURCE_ADDRESS;
  return from == DHCP_SERVER_PORT ? DROP_DHCP_SERVER : FILTER_PASS;
}
