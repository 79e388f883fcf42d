/** Frames for tests, and an independent reading of them: addresses, checksums, DHCP. */

export const BROADCAST = "ff:ff:ff:ff:ff:ff";

function bytesOf(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

function address(text: string): Buffer {
  return Buffer.from(text.split(".").map(Number));
}

export function ethernet(to: string, from: string, type: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(14);
  head.set(bytesOf(to), 0);
  head.set(bytesOf(from), 6);
  head.writeUInt16BE(type, 12);
  return Buffer.concat([head, payload]);
}

/** The Internet checksum (RFC 1071), complemented. */
export function internetChecksum(...parts: Uint8Array[]): number {
  const all = Buffer.concat(parts.map((part) => Buffer.from(part)));
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) sum += (all[i]! << 8) + (i + 1 < all.length ? all[i + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

export interface IpOptions {
  id?: number;
  options?: Buffer;
  fragment?: number;
}

export function ipv4(from: string, to: string, protocol: number, payload: Uint8Array, more: IpOptions = {}): Buffer {
  const options = more.options ?? Buffer.alloc(0);
  const head = Buffer.alloc(20 + options.length);
  head[0] = 0x40 | (head.length / 4);
  head.writeUInt16BE(head.length + payload.length, 2);
  head.writeUInt16BE(more.id ?? 0x1234, 4);
  head.writeUInt16BE(more.fragment ?? 0x4000, 6);
  head[8] = 64;
  head[9] = protocol;
  head.set(address(from), 12);
  head.set(address(to), 16);
  head.set(options, 20);
  head.writeUInt16BE(internetChecksum(head), 10);
  return Buffer.concat([head, payload]);
}

export function ipv6(from: Buffer, to: Buffer, protocol: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(40);
  head[0] = 0x60;
  head.writeUInt16BE(payload.length, 4);
  head[6] = protocol;
  head[7] = 64;
  head.set(from, 8);
  head.set(to, 24);
  return Buffer.concat([head, payload]);
}

function pseudo(from: Uint8Array, to: Uint8Array, protocol: number, length: number): Buffer {
  const rest = Buffer.alloc(8);
  rest.writeUInt32BE(length, 0);
  rest.writeUInt32BE(protocol, 4);
  return Buffer.concat([from, to, rest]);
}

export interface L4Options {
  /** The checksum field holds the pseudo-header's sum only, as from a stack with checksum offload. */
  blank?: boolean;
  sequence?: number;
  flags?: number;
  options?: Buffer;
}

function finish(
  segment: Buffer,
  at: number,
  from: Uint8Array,
  to: Uint8Array,
  protocol: number,
  blank: boolean,
): Buffer {
  const head = pseudo(from, to, protocol, segment.length);
  const sum = blank ? ~internetChecksum(head) & 0xffff : internetChecksum(head, segment);
  segment.writeUInt16BE(protocol === 17 && sum === 0 && !blank ? 0xffff : sum, at);
  return segment;
}

/** A UDP datagram; addresses for its checksum as raw bytes. */
export function udp(
  from: Uint8Array,
  to: Uint8Array,
  ports: [number, number],
  payload: Uint8Array,
  options: L4Options = {},
): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(ports[0], 0);
  head.writeUInt16BE(ports[1], 2);
  head.writeUInt16BE(8 + payload.length, 4);
  return finish(Buffer.concat([head, payload]), 6, from, to, 17, options.blank ?? false);
}

export function tcp(
  from: Uint8Array,
  to: Uint8Array,
  ports: [number, number],
  payload: Uint8Array,
  options: L4Options = {},
): Buffer {
  const more = options.options ?? Buffer.alloc(0);
  const head = Buffer.alloc(20 + more.length);
  head.writeUInt16BE(ports[0], 0);
  head.writeUInt16BE(ports[1], 2);
  head.writeUInt32BE((options.sequence ?? 1000) >>> 0, 4);
  head.writeUInt32BE(77, 8);
  head[12] = (head.length / 4) << 4;
  head[13] = options.flags ?? 0x10;
  head.writeUInt16BE(0xffff, 14);
  head.set(more, 20);
  return finish(Buffer.concat([head, payload]), 16, from, to, 6, options.blank ?? false);
}

/** One end of a flow. */
export interface Host {
  mac: string;
  ip: string;
}

export function udpFrame(
  from: Host,
  to: Host,
  payload: Uint8Array,
  options: L4Options & { ports?: [number, number] } = {},
): Buffer {
  const segment = udp(address(from.ip), address(to.ip), options.ports ?? [1111, 2222], payload, options);
  return ethernet(to.mac, from.mac, 0x0800, ipv4(from.ip, to.ip, 17, segment));
}

export function tcpFrame(
  from: Host,
  to: Host,
  payload: Uint8Array,
  options: L4Options & IpOptions & { ports?: [number, number] } = {},
): Buffer {
  const { options: tcpOptions, ...rest } = options;
  const segment = tcp(address(from.ip), address(to.ip), options.ports ?? [1111, 80], payload, {
    ...rest,
    options: tcpOptions,
  });
  return ethernet(to.mac, from.mac, 0x0800, ipv4(from.ip, to.ip, 6, segment, { id: options.id }));
}

export function tcp6Frame(
  from: { mac: string; ip: Buffer },
  to: { mac: string; ip: Buffer },
  payload: Uint8Array,
  options: L4Options = {},
): Buffer {
  const segment = tcp(from.ip, to.ip, [1111, 80], payload, options);
  return ethernet(to.mac, from.mac, 0x86dd, ipv6(from.ip, to.ip, 6, segment));
}

/** Whether the TCP or UDP checksum of a frame is right, read without the code under test. */
export function checksumIsRight(frame: Buffer): boolean {
  const type = frame.readUInt16BE(12);
  const packet = frame.subarray(14);
  if (type === 0x86dd) {
    const segment = packet.subarray(40, 40 + packet.readUInt16BE(4));
    return (
      internetChecksum(pseudo(packet.subarray(8, 24), packet.subarray(24, 40), packet[6]!, segment.length), segment) ===
      0
    );
  }
  const headBytes = (packet[0]! & 15) * 4;
  if (internetChecksum(packet.subarray(0, headBytes)) !== 0) return false;
  const segment = packet.subarray(headBytes, packet.readUInt16BE(2));
  return (
    internetChecksum(pseudo(packet.subarray(12, 16), packet.subarray(16, 20), packet[9]!, segment.length), segment) ===
    0
  );
}

export function arp(operation: number, sender: Host, target: { mac?: string; ip: string }, to = BROADCAST): Buffer {
  const packet = Buffer.alloc(28);
  packet.set([0, 1, 8, 0, 6, 4, 0, operation]);
  packet.set(bytesOf(sender.mac), 8);
  packet.set(address(sender.ip), 14);
  packet.set(bytesOf(target.mac ?? "00:00:00:00:00:00"), 18);
  packet.set(address(target.ip), 24);
  return ethernet(to, sender.mac, 0x0806, packet);
}

/** Bytes that differ from frame to frame and place to place. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed * 2654435761;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function macText(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

export function ipText(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 4)].join(".");
}
