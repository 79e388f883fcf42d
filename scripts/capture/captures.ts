/** Captures in the console's output: base64 between two marked lines, as `bridge dump --pcap` prints it. */

export interface Capture {
  bridge: string;
  /** A pcap file. */
  data: Buffer;
}

const BLOCK = /^-----BEGIN PCAP (\S+)-----\n([^]*?)^-----END PCAP \1-----$/gm;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
/** Characters of each line but the last. */
const LINE = 76;

/** The bytes of a block; lines that others have printed meanwhile, such as "^C", are left out. */
function decode(bridge: string, text: string): Buffer {
  const lines = text.split("\n").filter((line) => BASE64.test(line));
  if (lines.slice(0, -1).some((line) => line.length !== LINE)) {
    throw new Error(`the capture of ${bridge} is damaged: other output is among its lines`);
  }
  return Buffer.from(lines.join(""), "base64");
}

/** All of them. @throws Error when one was cut off, or is damaged */
export function captures(output: string): Capture[] {
  const text = output.replaceAll("\r", "");
  const found = [...text.matchAll(BLOCK)].map(([, bridge, block]) => ({
    bridge: bridge!,
    data: decode(bridge!, block!),
  }));
  const begun = [...text.matchAll(/^-----BEGIN PCAP /gm)].length;
  if (begun > found.length) throw new Error(`${begun - found.length} of ${begun} captures have no end`);
  return found;
}
