/**
 * A DHCP server for the vifs of a bridge that have an IPv4 address configured: each gets exactly that one. It has no state: a
 * lease is the vif's configuration. Requests never reach the bridge.
 *
 * Sources: RFC 2131, 2132; the client identifier in answers: RFC 6842.
 */
import { BRIDGE_DHCP } from "../../abi/io/control-net";
import { MAC_BROADCAST, macLoad, macStore } from "./addresses";
import { Bridge, bridgeOf } from "./bridges";
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from "./filter";
import { Frame, FRAME_VALIDATED, frameAllocate, frameExtend } from "./frame/frames";
import {
  ETHERNET_BYTES,
  ETHERTYPE_IPV4,
  Headers,
  headersParse,
  load16be,
  load32be,
  PROTOCOL_UDP,
} from "./frame/headers";
import { checksum, checksumFill } from "./frame/offload";
import { Vif } from "./records";

// Fields of a message (RFC 2131, figure 1).
const OP: u32 = 0;
const HTYPE: u32 = 1;
const HLEN: u32 = 2;
const XID: u32 = 4;
const FLAGS: u32 = 10;
const CIADDR: u32 = 12;
const YIADDR: u32 = 16;
const GIADDR: u32 = 24;
const CHADDR: u32 = 28;
const COOKIE: u32 = 236;
const OPTIONS: u32 = 240;
const BOOTREQUEST: u32 = 1;
const BOOTREPLY: u32 = 2;
const MAGIC: u32 = 0x63825363;
const FLAG_BROADCAST: u32 = 0x8000;

// Options (RFC 2132).
const OPTION_PAD: u32 = 0;
const OPTION_MASK: u32 = 1;
const OPTION_ROUTER: u32 = 3;
const OPTION_DNS: u32 = 6;
const OPTION_REQUESTED: u32 = 50;
const OPTION_LEASE: u32 = 51;
const OPTION_TYPE: u32 = 53;
const OPTION_SERVER: u32 = 54;
const OPTION_T1: u32 = 58;
const OPTION_T2: u32 = 59;
const OPTION_CLIENT: u32 = 61;
const OPTION_END: u32 = 255;
const CLIENT_MAX: u32 = 64;

// Message types.
const DISCOVER: u32 = 1;
const OFFER: u32 = 2;
const REQUEST: u32 = 3;
const ACK: u32 = 5;
const NAK: u32 = 6;
const INFORM: u32 = 8;
/** DECLINE and RELEASE get no answer. */
const NO_ANSWER: u32 = 0;

const IP_BYTES: u32 = 20;
const UDP_BYTES: u32 = 8;
/** The shortest BOOTP message that old clients take. */
const MESSAGE_MIN: u32 = 300;
const MESSAGE_AT: u32 = ETHERNET_BYTES + IP_BYTES + UDP_BYTES;

// Options of the request being looked at.
let type: u32 = 0;
let requested: u32 = 0;
let server: u32 = 0;
let client: usize = 0;
let clientBytes: u32 = 0;
const parsed: Headers = changetype<Headers>(memory.data(offsetof<Headers>(), 8));

/** The address under which the server of a bridge answers; 0 when it has none. */
export function serverAddress(b: Bridge): u32 {
  return b.stable.server ? b.stable.server : b.stable.gateway;
}

/** Its MAC address: locally administered, of this bridge. */
export function serverMac(b: Bridge): u64 {
  return 0x01565402 | ((<u64>b.index) << 40); // 02:54:56:01:00:index: no card has one like it
}

/** Whether a frame is for the server: UDP to its port, on a bridge that has one, from a vif it serves. */
export function dhcpIsRequest(v: Vif, head: usize, h: Headers): bool {
  if (!v.stable.ipv4 || !(bridgeOf(v).stable.flags & BRIDGE_DHCP)) return false;
  return h.layer4 == PROTOCOL_UDP && load16be(head + h.layer4At + 2) == DHCP_SERVER_PORT;
}

/**
 * Answers a request.
 * @param f the whole frame, in its first chunk
 * @param h its headers
 * @returns the answer, one reference the caller's; null when there is none
 */
export function dhcpAnswer(v: Vif, head: usize, h: Headers): Frame | null {
  const message = head + h.layer4At + UDP_BYTES;
  const length = h.end - h.layer4At - UDP_BYTES;
  if (!readRequest(v, message, length)) return null;
  const b = bridgeOf(v);
  const own = v.stable.ipv4;
  const ciaddr = load<u32>(message + CIADDR);
  let answer = NO_ANSWER;
  if (type == DISCOVER) {
    answer = OFFER;
  } else if (type == REQUEST) {
    if (server && server != serverAddress(b)) return null; // another's offer was taken
    const wanted = requested ? requested : ciaddr;
    answer = wanted == own ? ACK : NAK;
  } else if (type == INFORM) {
    answer = ACK;
  }
  return answer == NO_ANSWER ? null : makeAnswer(v, message, answer, ciaddr);
}

/** Checks a message and finds the options that matter; false when it is none that is answered. */
function readRequest(v: Vif, message: usize, length: u32): bool {
  type = 0;
  requested = 0;
  server = 0;
  clientBytes = 0;
  if (length < OPTIONS || load<u8>(message + OP) != BOOTREQUEST) return false;
  if (load<u8>(message + HTYPE) != 1 || load<u8>(message + HLEN) != 6) return false;
  if (macLoad(message + CHADDR) != v.stable.mac || load<u32>(message + GIADDR)) return false;
  if (load32be(message + COOKIE) != MAGIC) return false;
  for (let at: u32 = OPTIONS; at < length;) {
    const option: u32 = load<u8>(message + at++);
    if (option == OPTION_END) break;
    if (option == OPTION_PAD) continue;
    if (at == length) return false;
    const bytes: u32 = load<u8>(message + at++);
    if (bytes > length - at) return false;
    const value = message + at;
    if (option == OPTION_TYPE && bytes == 1) type = load<u8>(value);
    else if (option == OPTION_REQUESTED && bytes == 4) requested = load<u32>(value);
    else if (option == OPTION_SERVER && bytes == 4) server = load<u32>(value);
    else if (option == OPTION_CLIENT && bytes <= CLIENT_MAX) {
      client = value;
      clientBytes = bytes;
    }
    at += bytes;
  }
  return type != 0;
}

let out: usize = 0;

function put(option: u32, bytes: u32): usize {
  store<u8>(out, <u8>option);
  store<u8>(out + 1, <u8>bytes);
  const value = out + 2;
  out = value + bytes;
  return value;
}

/** An option with one number in network order. */
function put32(option: u32, value: u32): void {
  store<u32>(put(option, 4), bswap<u32>(value));
}

function makeAnswer(v: Vif, request: usize, answer: u32, ciaddr: u32): Frame | null {
  const f = frameAllocate(0);
  if (f == null) return null;
  const head = frameExtend(f, 0);
  const b = bridgeOf(v);
  const own = v.stable.ipv4;
  const lease = b.stable.lease;
  const message = head + MESSAGE_AT;
  memory.fill(head, 0, MESSAGE_AT + OPTIONS);
  store<u8>(message + OP, <u8>BOOTREPLY);
  store<u8>(message + HTYPE, 1);
  store<u8>(message + HLEN, 6);
  store<u32>(message + XID, load<u32>(request + XID));
  store<u16>(message + FLAGS, load<u16>(request + FLAGS));
  memory.copy(message + CHADDR, request + CHADDR, 16);
  store<u32>(message + COOKIE, bswap<u32>(MAGIC));
  if (type != INFORM && answer != NAK) store<u32>(message + YIADDR, own);
  if (answer == ACK) store<u32>(message + CIADDR, ciaddr);
  out = message + OPTIONS;
  store<u8>(put(OPTION_TYPE, 1), <u8>answer);
  store<u32>(put(OPTION_SERVER, 4), serverAddress(b));
  if (answer != NAK) {
    if (type != INFORM) {
      put32(OPTION_LEASE, lease);
      put32(OPTION_T1, lease >> 1);
      put32(OPTION_T2, <u32>((<u64>lease * 7) >> 3));
    }
    put32(OPTION_MASK, b.stable.prefix ? 0xffffffff << (32 - b.stable.prefix) : 0);
    if (b.stable.gateway) store<u32>(put(OPTION_ROUTER, 4), b.stable.gateway);
    if (b.stable.dns0) {
      const value = put(OPTION_DNS, b.stable.dns1 ? 8 : 4);
      store<u32>(value, b.stable.dns0);
      if (b.stable.dns1) store<u32>(value + 4, b.stable.dns1);
    }
  }
  if (clientBytes) memory.copy(put(OPTION_CLIENT, clientBytes), client, clientBytes);
  store<u8>(out++, <u8>OPTION_END);
  while (out < message + MESSAGE_MIN) store<u8>(out++, 0);

  // To a client that has its address: there; to others as they have asked (RFC 2131, 4.1).
  const all = answer == NAK || (!ciaddr && (load16be(request + FLAGS) & FLAG_BROADCAST) != 0);
  const to: u32 = all ? 0xffffffff : ciaddr ? ciaddr : own;
  finish(f, head, <u32>(out - message), b, to, all ? MAC_BROADCAST : v.stable.mac);
  return f;
}

/** Puts Ethernet, IP and UDP headers in front of a message of `bytes` bytes. */
function finish(f: Frame, head: usize, bytes: u32, b: Bridge, to: u32, mac: u64): void {
  macStore(head, mac);
  macStore(head + 6, serverMac(b));
  store<u16>(head + 12, bswap<u16>(<u16>ETHERTYPE_IPV4));
  const ip = head + ETHERNET_BYTES;
  store<u8>(ip, 0x45);
  store<u16>(ip + 2, bswap<u16>(<u16>(IP_BYTES + UDP_BYTES + bytes)));
  store<u8>(ip + 8, 64); // time to live
  store<u8>(ip + 9, <u8>PROTOCOL_UDP);
  store<u32>(ip + 12, serverAddress(b));
  store<u32>(ip + 16, to);
  store<u16>(ip + 10, bswap<u16>(<u16>checksum(ip, IP_BYTES)));
  const udp = ip + IP_BYTES;
  store<u16>(udp, bswap<u16>(<u16>DHCP_SERVER_PORT));
  store<u16>(udp + 2, bswap<u16>(<u16>DHCP_CLIENT_PORT));
  store<u16>(udp + 4, bswap<u16>(<u16>(UDP_BYTES + bytes)));
  f.length = MESSAGE_AT + bytes;
  frameExtend(f, f.length);
  headersParse(parsed, head, f.length, f.length);
  checksumFill(f, parsed);
  f.flags = FRAME_VALIDATED;
}
