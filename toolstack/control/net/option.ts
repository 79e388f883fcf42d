/** `control=` on Typevisor's command line: which address domain 0 has, if any. */
import { formatIpv4, parseIpv4 } from "../../api/devices/addresses.ts";

/** Addresses have four bytes, in network order. */
export interface StaticAddress {
  address: Uint8Array;
  prefix: number;
  /** Null: only its own network is reached. */
  gateway: Uint8Array | null;
}

export type ControlOption = "off" | "dhcp" | StaticAddress;

const LONGEST_PREFIX = 30;

/** The four bytes of a network's mask. */
export function maskOf(prefix: number): Uint8Array {
  const bits = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  return Uint8Array.of(bits >>> 24, bits >>> 16, bits >>> 8, bits);
}

/** What the option says, off when it is not given; or what is wrong with it. */
export function parseControlOption(text: string | undefined): ControlOption | { wrong: string } {
  if (text === undefined || text === "off") return "off";
  if (text === "dhcp") return "dhcp";
  const match = /^([0-9.]+)\/([0-9]{1,2})(?:,([0-9.]+))?$/.exec(text);
  if (match === null)
    return { wrong: `control=${text}: it is one of ADDRESS/PREFIX, ADDRESS/PREFIX,GATEWAY, dhcp, off` };
  const [, first, length, second] = match;
  const address = parseIpv4(first!);
  if (typeof address === "string") return { wrong: `control=${text}: ${address}` };
  const prefix = Number(length);
  if (prefix < 1 || prefix > LONGEST_PREFIX) {
    return { wrong: `control=${text}: a network's prefix has 1 to ${LONGEST_PREFIX} bits` };
  }
  if (second === undefined) return { address, prefix, gateway: null };
  const gateway = parseIpv4(second);
  if (typeof gateway === "string") return { wrong: `control=${text}: ${gateway}` };
  const mask = maskOf(prefix);
  if (mask.some((byte, i) => (byte & address[i]!) !== (byte & gateway[i]!))) {
    return {
      wrong: `control=${text}: the gateway ${formatIpv4(gateway)} is not in the network of ${formatIpv4(address)}/${prefix}`,
    };
  }
  return { address, prefix, gateway };
}
