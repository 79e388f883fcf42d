/** The TLS module of the image as a process, and recordings for it: see guests/sandboxes/tls/native. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { KEY } from "./lab.ts";
import { SEED, type Recording } from "./recording.ts";

export interface Replay {
  /** FNV-1a of all that the module has answered. */
  hash: string;
  /** CPU time: of a handshake, of decrypting what the recording has after it, of encrypting; s. */
  handshake: number;
  decrypting: number;
  encrypting: number;
}

/** FNV-1a, 64 bits. */
export function fnv(parts: Uint8Array[]): string {
  // By halves, since BigInt is slow: the prime is 2^40 + 0x1b3.
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const part of parts) {
    for (const byte of part) {
      low = (low ^ byte) >>> 0;
      const product = low * 0x1b3;
      const next = product >>> 0;
      high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
      low = next;
    }
  }
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

/** Plays `recording` to the program, many handshakes and `megabytes` of encrypting too. */
export function replay(program: string, recording: Recording, handshakes: number, megabytes: number): Replay {
  const folder = mkdtempSync(path.join(tmpdir(), "tls-"));
  try {
    const file = path.join(folder, "recording");
    const sizes = Buffer.from(Uint32Array.of(recording.data, recording.bytes.length).buffer);
    writeFileSync(file, Buffer.concat([sizes, SEED, KEY.key, recording.bytes]));
    const line = execFileSync(program, [file, `${handshakes}`, `${megabytes}`], { encoding: "utf8" });
    const [hash, handshake, decrypting, encrypting] = line.trim().split(" ");
    return {
      hash,
      handshake: Number(handshake) / handshakes / 1e9,
      decrypting: Number(decrypting) / 1e9,
      encrypting: Number(encrypting) / 1e9,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
