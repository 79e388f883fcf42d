/** MAC and IPv4 addresses as users write them. */

/** Xen's block of the IEEE's addresses, from which a vif without one gets its own: 00:16:3e:xx:xx:xx, the top bit of the rest clear. */
const XEN_OUI = [0x00, 0x16, 0x3e] as const;
const MAC_BYTES = 6;
/** A colon and two hexadecimal digits for each byte. */
const HEX = Array.from({ length: 256 }, (_, byte) => `:${byte.toString(16).padStart(2, "0")}`);
/** The first byte's bits of a group address. */
const GROUP = 1;

/** The six bytes of "00:16:3e:01:02:03"; a string that says what is wrong with it. */
export function parseMac(text: string): Uint8Array | string {
  if (!/^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i.test(text)) {
    return `"${text}" is no MAC address: six bytes in hexadecimal, such as 00:16:3e:12:34:56`;
  }
  const bytes = Uint8Array.from(text.split(/[:-]/), (byte) => parseInt(byte, 16));
  if (bytes[0]! & GROUP) return `${text} is the address of a group: the first byte of a card's own is even`;
  if (bytes.every((byte) => byte === 0)) return `${text} is no card's address`;
  return bytes;
}

export function formatMac(bytes: Uint8Array): string {
  let text = HEX[bytes[0]!]!.slice(1);
  for (let i = 1; i < MAC_BYTES; i++) text += HEX[bytes[i]!]!;
  return text;
}

/** An address of Xen's block made of a number, of which 23 bits count. */
export function xenMac(number: number): Uint8Array {
  const mac = new Uint8Array(MAC_BYTES);
  mac[1] = XEN_OUI[1];
  mac[2] = XEN_OUI[2];
  mac[3] = (number >>> 16) & 0x7f;
  mac[4] = number >>> 8;
  mac[5] = number;
  return mac;
}

/** The four bytes of a dotted IPv4 address, in network order; a string that says what is wrong with it. */
export function parseIpv4(text: string): Uint8Array | string {
  const parts = text.split(".");
  const valid = parts.length === 4 && parts.every((part) => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256);
  if (!valid) return `"${text}" is no IPv4 address, such as 10.0.0.2`;
  const bytes = Uint8Array.from(parts, Number);
  if (bytes[0] === 0 || bytes[0] === 127 || bytes[0]! >= 224) return `${text} is no address of a host on a network`;
  return bytes;
}

export function formatIpv4(bytes: Uint8Array): string {
  return bytes.join(".");
}
