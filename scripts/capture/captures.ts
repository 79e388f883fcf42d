/** Captures in the console's output: base64 between two marked lines, as `bridge dump --pcap` prints it. */

export interface Capture {
  bridge: string;
  /** A pcap file. */
  data: Buffer;
}

const BLOCK = /^-----BEGIN PCAP (\S+)-----\n([A-Za-z0-9+/=\n]*)^-----END PCAP \1-----$/gm;

/** All of them that are complete. @throws Error when one was cut off, or something else was printed into it */
export function captures(output: string): Capture[] {
  const text = output.replaceAll("\r", "");
  const found = [...text.matchAll(BLOCK)].map(([, bridge, data]) => ({
    bridge: bridge!,
    data: Buffer.concat(data!.split("\n").map((line) => Buffer.from(line, "base64"))),
  }));
  const begun = [...text.matchAll(/^-----BEGIN PCAP /gm)].length;
  if (begun > found.length) {
    throw new Error(
      `${begun - found.length} of ${begun} captures are not whole: other output came between their lines`,
    );
  }
  return found;
}
