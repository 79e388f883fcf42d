/**
 * Keys of control connections, as both sides read them: a file, or boot module, of one line, "IDENTITY HEX": the key's name, which is not
 * secret, and 32 bytes. And the boot modules that are for domain 0 alone.
 */
import { bytesOfHex, hexOf } from "./hex.ts";

/** The key of who may connect, and a seed for random numbers, of one start. */
export const KEY_MODULE = "control.key";
export const SEED_MODULE = "seed";

export const KEY_BYTES = 32;
const NAME = "[A-Za-z0-9._-]{1,32}";
const LINE = new RegExp(`^(${NAME}) ([0-9a-f]{${2 * KEY_BYTES}})\n?$`);

export interface ControlKey {
  readonly identity: string;
  readonly key: Uint8Array;
}

export function isKeyName(text: string): boolean {
  return new RegExp(`^${NAME}$`).test(text);
}

export function formatKey({ identity, key }: ControlKey): string {
  return `${identity} ${hexOf(key)}\n`;
}

/** The key in a file's text; null: it is none. */
export function parseKey(text: string): ControlKey | null {
  const match = LINE.exec(text);
  return match === null ? null : { identity: match[1]!, key: bytesOfHex(match[2]!) };
}
