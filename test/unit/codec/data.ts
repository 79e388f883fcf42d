/** Data to compress, and compressors: Debian's own tools. */
import { execFileSync } from "node:child_process";
import { Random } from "../../sim/random.ts";
import type { Format } from "./codec.ts";

/** Runs a compressor over `data`. */
export function compress(command: string, args: string[], data: Uint8Array): Buffer {
  return execFileSync(command, args, { input: data, maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "ignore"] });
}

/** One compressor's command line; `name` tells what is special about it. */
export interface Compressor {
  name: string;
  format: Format;
  command: string;
  args: string[];
}

const xz = (name: string, ...args: string[]): Compressor => ({
  name: `xz ${name}`,
  format: "xz",
  command: "xz",
  args: ["-T1", ...args, "-c"],
});
const zstd = (...args: string[]): Compressor => ({
  name: `zstd ${args.join(" ")}`,
  format: "zstd",
  command: "zstd",
  args: ["-q", ...args, "-c"],
});

/** As Linux's build calls them, and otherwise. */
export const COMPRESSORS: Compressor[] = [
  { name: "gzip -9", format: "gzip", command: "gzip", args: ["-n9"] },
  { name: "gzip -1", format: "gzip", command: "gzip", args: ["-n1"] },
  { name: "lz4 -l", format: "lz4", command: "lz4", args: ["-l", "-c", "-q"] },
  { name: "lz4 -l -9", format: "lz4", command: "lz4", args: ["-l", "-9", "-c", "-q"] },
  xz("as Linux packs", "--check=crc32", "--x86", "--lzma2=dict=32MiB"),
  xz("without a check", "--check=none"),
  xz("with CRC64", "--check=crc64", "-0"),
  xz("in blocks", "--check=crc32", "--x86", "--lzma2=preset=1", "--block-size=65536"),
  xz("with other contexts", "--check=crc32", "--lzma2=preset=6,lc=0,lp=4,pb=0"),
  xz("with more position bits", "--check=crc32", "--lzma2=preset=6,lc=4,lp=0,pb=4"),
  zstd("-19"),
  zstd("-1"),
  zstd("--ultra", "-22"),
  zstd("-3", "--no-check"),
];

/** Like code and text: pieces of words that repeat, runs, jumps with relative targets. The same for the same seed. */
export function sampleData(seed: number, size: number): Buffer {
  const random = new Random(seed);
  const words = Array.from({ length: 200 }, () =>
    Buffer.from(Array.from({ length: 1 + random.below(12) }, () => random.below(64) + 32)),
  );
  const parts: Buffer[] = [];
  for (let total = 0; total < size;) {
    const kind = random.below(20);
    let part = words[random.below(words.length)]!;
    if (kind === 0) part = Buffer.alloc(random.below(3000), random.below(256));
    if (kind === 1) part = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
    if (kind > 14) {
      // CALL or JMP to one of a few functions; now and then an operand that looks like another opcode.
      part = Buffer.alloc(5, 0xe8);
      if (kind > 15) part.writeInt32LE(random.below(16) * 4096 - total, 1);
      if (kind === 19) part[0] = 0xe9;
    }
    parts.push(part);
    total += part.length;
  }
  return Buffer.concat(parts).subarray(0, size);
}
