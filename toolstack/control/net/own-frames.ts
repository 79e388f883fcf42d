/** Frames of domain 0's own connections, among those that pass its bridge. */

const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;
const IPV4 = 14;
const ETHERTYPE_IPV4 = 0x0800;
const PROTOCOL_TCP = 6;
/** Of an IPv4 header. */
const PROTOCOL = 9;

const u16 = (frame: Uint8Array, at: number) => (frame[at]! << 8) | frame[at + 1]!;

const isAt = (frame: Uint8Array, at: number, mac: Uint8Array) => mac.every((byte, i) => frame[at + i] === byte);

/**
 * Whether a frame is of a TCP connection to `port` of who has the address `mac`. One that is too short to tell is, if it is IPv4.
 * @param frame its first bytes
 */
export function isOfPort(frame: Uint8Array, mac: Uint8Array, port: number): boolean {
  const sent = isAt(frame, SOURCE, mac);
  if ((!sent && !isAt(frame, DESTINATION, mac)) || u16(frame, TYPE) !== ETHERTYPE_IPV4) return false;
  if (frame.length <= IPV4 + PROTOCOL) return true;
  if (frame[IPV4 + PROTOCOL] !== PROTOCOL_TCP) return false;
  const tcp = IPV4 + (frame[IPV4]! & 15) * 4;
  return frame.length < tcp + 4 || u16(frame, sent ? tcp : tcp + 2) === port;
}
