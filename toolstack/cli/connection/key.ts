/**
 * Keys of control connections: who has one may do everything. A file of one line, "IDENTITY HEX": the key's name, which is not secret,
 * and 32 random bytes.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, writeSync } from "node:fs";

export interface Key {
  identity: string;
  secret: Buffer;
}

const KEY_BYTES = 32;
const LINE = /^([A-Za-z0-9._-]{1,32}) ([0-9a-f]{64})\n?$/;
/** Permissions that others than the owner would have. */
const OTHERS = 0o077;

export function isKeyName(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,32}$/.test(text);
}

/** A key that nobody has yet. */
export function makeKey(identity: string): Key {
  return { identity, secret: randomBytes(KEY_BYTES) };
}

export function formatKey({ identity, secret }: Key): string {
  return `${identity} ${secret.toString("hex")}\n`;
}

/** Writes a key where there is no file yet, readable by its owner only. Throws the system's error. */
export function writeKey(file: string, key: Key): void {
  const descriptor = openSync(file, "wx", 0o600);
  try {
    writeSync(descriptor, formatKey(key));
  } finally {
    closeSync(descriptor);
  }
}

/** @throws Error in words: there is none, others can read it, it is no key */
export function readKey(file: string): Key {
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
    const match = LINE.exec(readFileSync(descriptor, "latin1"));
    if (match === null) throw new Error(`${file} is no key: one line of a name and 64 hexadecimal digits is expected`);
    return { identity: match[1]!, secret: Buffer.from(match[2]!, "hex") };
  } finally {
    closeSync(descriptor);
  }
}
