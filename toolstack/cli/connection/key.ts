/** Files of keys (toolstack/api/key.ts): who has one may do everything. */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { type ControlKey, formatKey, KEY_BYTES, parseKey } from "../../api/key.ts";

/** Permissions that others than the owner would have. */
const OTHERS = 0o077;

/** A key that nobody has yet. */
export function makeKey(identity: string): ControlKey {
  return { identity, key: Uint8Array.from(randomBytes(KEY_BYTES)) };
}

/** Writes a key where there is no file yet, readable by its owner only. Throws the system's error. */
export function writeKey(file: string, key: ControlKey): void {
  const descriptor = openSync(file, "wx", 0o600);
  try {
    writeSync(descriptor, formatKey(key));
  } finally {
    closeSync(descriptor);
  }
}

/** @throws Error in words: there is none, others can read it, it is no key */
export function readKey(file: string): ControlKey {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (error) {
    throw new Error(`the key ${file} cannot be read: ${(error as Error).message}`);
  }
  try {
    if ((fstatSync(descriptor).mode & OTHERS) !== 0) {
      throw new Error(`the key ${file} can be read by others than its owner: chmod 600 ${file}, and better a new one`);
    }
    const key = parseKey(readFileSync(descriptor, "latin1"));
    if (key === null) throw new Error(`${file} is no key: one line of a name and 64 hexadecimal digits is expected`);
    return key;
  } finally {
    closeSync(descriptor);
  }
}
