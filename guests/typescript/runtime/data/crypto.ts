/** Random numbers, of the web's crypto and node:crypto: RDRAND's. Nothing else of cryptography. */
import { Buffer, toBuffer } from "./buffer.ts";
import { fillRandom } from "../guest/host.ts";
import { bytesOf } from "./text.ts";
import { addTick } from "../guest/ticks.ts";
import { DOMException } from "./web-events.ts";

const WEB_MOST = 65536;

function fill(bytes: Uint8Array): void {
  if (!fillRandom(bytes)) {
    throw new DOMException(
      "this processor has no random numbers (RDRAND), and a guest has no other source",
      "OperationError",
    );
  }
}

export function getRandomValues<T extends ArrayBufferView>(into: T): T {
  if (into.byteLength > WEB_MOST) throw new DOMException(`at most ${WEB_MOST} bytes at once`, "QuotaExceededError");
  fill(bytesOf(into));
  return into;
}

/** RFC 9562, version 4. */
export function randomUUID(): string {
  const bytes = new Uint8Array(16);
  fill(bytes);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = toBuffer(bytes).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export function randomBytes(size: number, done?: (error: Error | null, bytes?: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(size);
  fill(bytes);
  if (done) addTick(() => done(null, bytes));
  return bytes;
}

export function randomFillSync<T extends ArrayBufferView>(into: T): T {
  fill(bytesOf(into));
  return into;
}

/** A whole number from `least` (0 when only one number is given) up to, but not, `end`, each as likely as any other. */
export function randomInt(least: number, end?: number): number {
  const [low, high] = end === undefined ? [0, least] : [least, end];
  const range = high - low;
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || range < 1 || range > 2 ** 48) {
    throw new RangeError("randomInt: the range is empty, or wider than 2^48");
  }
  const limit = 2 ** 48 - (2 ** 48 % range);
  for (;;) {
    const bytes = randomBytes(6);
    const number = bytes.readUIntBE(0, 6);
    if (number < limit) return low + (number % range);
  }
}

export const webcrypto = { getRandomValues, randomUUID };
