/** TCP frames as a guest gives them to a card that does checksums: the field holds the pseudo-header's sum; and what must be true of those on the wire. */
import { payload } from "./network-client.ts";
import { sum16 } from "./e1000-model.ts";

export interface TcpFrame {
  data: Buffer;
  checksumStart: number;
  checksumOffset: number;
  headerBytes: number;
}

/** A TCP segment over IPv4 or IPv6, with `bytes` of payload. */
export function tcpFrame(version: 4 | 6, bytes: number, { vlan = false, options = 12 } = {}): TcpFrame {
  const ip = vlan ? 18 : 14;
  const tcp = ip + (version === 4 ? 20 : 40);
  const headerBytes = tcp + 20 + options;
  const data = Buffer.concat([Buffer.alloc(headerBytes), payload(bytes, version)]);
  data.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], 0);
  if (vlan) data.writeUInt32BE(0x81000005, 12);
  data.writeUInt16BE(version === 4 ? 0x0800 : 0x86dd, ip - 2);
  const length = data.length - tcp;
  if (version === 4) {
    data[ip] = 0x45;
    data.writeUInt16BE(data.length - ip, ip + 2);
    data.writeUInt16BE(0x1234, ip + 4);
    data[ip + 8] = 64;
    data[ip + 9] = 6;
    data.set([10, 0, 0, 1, 10, 0, 0, 2], ip + 12);
    data.writeUInt16BE(~sum16(data.subarray(ip, ip + 20)) & 0xffff, ip + 10);
  } else {
    data[ip] = 0x60;
    data.writeUInt16BE(length, ip + 4);
    data[ip + 6] = 6;
    data[ip + 7] = 64;
    data.set(payload(32, 9), ip + 8);
  }
  data.writeUInt32BE(1000, tcp + 4);
  data[tcp + 12] = ((20 + options) / 4) << 4;
  data[tcp + 13] = 0x18;
  data.writeUInt16BE(pseudo(data, version, ip, length), tcp + 16);
  return { data, checksumStart: tcp, checksumOffset: 16, headerBytes };
}

function pseudo(data: Buffer, version: 4 | 6, ip: number, length: number): number {
  const addresses = version === 4 ? data.subarray(ip + 12, ip + 20) : data.subarray(ip + 8, ip + 40);
  return sum16(Uint8Array.of(0, 6, length >> 8, length & 255), sum16(addresses));
}

/** What is wrong with the checksums and lengths of a TCP frame on the wire; empty for nothing. */
export function wireErrors(data: Buffer, version: 4 | 6, vlan = false): string[] {
  const ip = vlan ? 18 : 14;
  const tcp = ip + (version === 4 ? 20 : 40);
  const errors: string[] = [];
  if (version === 4) {
    if (data.readUInt16BE(ip + 2) !== data.length - ip) errors.push("IP's length");
    if (sum16(data.subarray(ip, ip + 20)) !== 0xffff) errors.push("IP's checksum");
  } else if (data.readUInt16BE(ip + 4) !== data.length - tcp) errors.push("IP's length");
  if (sum16(data.subarray(tcp), pseudo(data, version, ip, data.length - tcp)) !== 0xffff) errors.push("TCP's checksum");
  return errors;
}
