/**
 * Domains' UUIDs (RFC 9562, version 4: pseudo-random). A domain's UUID is its handle, the 16 bytes that Xen stores with
 * every domain: XENVER_guest_handle tells the guest the same. A handle of zeroes marks a domain that was never finished.
 *
 * How unique they are. Domain 0 has no source of true random numbers, and its engine's Math.random has been seeded when
 * the image was built: it gives the same numbers on all machines. What is mixed instead, before the first one: the wall
 * clock (whole seconds), the TSC and system time of this vCPU's time record and the measured TSC frequency (they differ
 * from boot to boot in their low bits), the machine's memory, the system time in ns, and the time that each of a row of
 * hypercalls takes. From these 128 bits a generator of that period makes all UUIDs of one domain 0. Two domains of one boot, or
 * of two boots of which a single one of these values differs, have one UUID no more likely than two numbers of 122 random
 * bits are equal. Only
 * machines that are the same to the nanosecond (an emulator that counts instructions, its clock set to a fixed date) make
 * the same UUIDs. They can be guessed: nothing may take one for a secret.
 */
import { clockWords, systemTime } from "../clock.ts";
import { HANDLE_SIZE } from "../hypercalls/domctl.ts";
import { physicalInfo } from "../hypercalls/sysctl.ts";

const WORDS = HANDLE_SIZE / 4;
/** Rounds of the permutation for each block: each bit of the state has then changed every other about half of the time. */
const ROUNDS = 8;
/** Hypercalls whose times are mixed in. */
const TIMED_CALLS = 16;
/** Version, in byte 6, and variant, in byte 8, as parts of their words: RFC 9562, 4.1 and 4.2. */
const VERSION_MASK = 0x00f00000;
const VERSION = 0x00400000;
const VARIANT_MASK = 0xc0;
const VARIANT = 0x80;

/** What everything is mixed into. */
const state = new Uint32Array(WORDS);
let seeded = false;

/** Two hexadecimal digits for each byte. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** Mixes in words, a block of four at a time: XOR, then a permutation of 128 bits, the quarter round of RFC 8439, 2.1. */
function mix(words: readonly number[]): void {
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  for (let i = 0; i < words.length; i += WORDS) {
    a ^= words[i]!;
    b ^= words[i + 1] ?? 0;
    c ^= words[i + 2] ?? 0;
    d ^= words[i + 3] ?? 0;
    for (let round = 0; round < ROUNDS; round++) {
      a = (a + b) | 0;
      d = rotate(d ^ a, 16);
      c = (c + d) | 0;
      b = rotate(b ^ c, 12);
      a = (a + b) | 0;
      d = rotate(d ^ a, 8);
      c = (c + d) | 0;
      b = rotate(b ^ c, 7);
    }
  }
  state.set([a, b, c, d]);
}

/**
 * Mixes in what differs between machines and boots: before a domain 0 makes its first UUID, not at its start, where time counts.
 * @throws HypercallError; so it is done before there is a domain that would have to be taken back
 */
export function seedUuids(): void {
  if (seeded) return;
  const { cpuKhz, totalPages, freePages } = physicalInfo();
  const times: number[] = [];
  for (let i = 0; i < TIMED_CALLS; i++) times.push(systemTime() | 0);
  mix([...clockWords(), cpuKhz, totalPages, freePages, Math.floor(systemTime() / 0x100000000), ...times]);
  seeded = true;
}

/**
 * The words of a new handle; after `seedUuids`. Marsaglia's xorshift generator of 128 bits of state, which has none twice within its
 * period of 2^128 - 1 ("Xorshift RNGs", 2003).
 */
export function newHandle(): number[] {
  if (!seeded) throw new Error("UUIDs have no seed yet");
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  for (let i = 0; i < WORDS; i++) {
    const t = a ^ (a << 11);
    a = b;
    b = c;
    c = d;
    d = d ^ (d >>> 19) ^ t ^ (t >>> 8);
  }
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
  return [a >>> 0, ((b & ~VERSION_MASK) | VERSION) >>> 0, ((c & ~VARIANT_MASK) | VARIANT) >>> 0, d >>> 0];
}

/** Whether a text is a UUID that a domain may have: zeroes alone mark a domain that was never finished. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) && /[1-9a-f]/i.test(text);
}

/** The words of the handle of a domain with this UUID: its bytes in the order in which they are written, as libxl has it. */
export function handleOfUuid(uuid: string): number[] {
  const digits = uuid.replace(/-/g, "");
  const handle: number[] = [];
  for (let at = 0; at < 2 * HANDLE_SIZE; at += 8) handle.push(swapped(parseInt(digits.slice(at, at + 8), 16)));
  return handle;
}

/** A word with its bytes in the other order. */
function swapped(word: number): number {
  return ((word >>> 24) | ((word >>> 8) & 0xff00) | ((word & 0xff00) << 8) | (word << 24)) >>> 0;
}

/** Whether a handle, given as its words, is that of a domain that was never finished. */
export function isUnfinished(handle: readonly number[]): boolean {
  return handle.every((word) => word === 0);
}

/** The UUID in a handle, given as its words; null for a domain that was never finished. */
export function uuidOfHandle(handle: readonly number[]): string | null {
  if (isUnfinished(handle)) return null;
  const [a, b, c, d] = handle as [number, number, number, number];
  return `${digits(a)}${digits(a >>> 16)}-${digits(b)}-${digits(b >>> 16)}-${digits(c)}-${digits(c >>> 16)}${digits(d)}${digits(d >>> 16)}`;
}

/** The digits of the low two bytes of a word, in their order in memory. */
function digits(word: number): string {
  return HEX[word & 0xff]! + HEX[(word >>> 8) & 0xff]!;
}

/**
 * The words of a handle as text, by which two can be compared: signed, for the engine takes several times as long to write
 * down a number beyond 31 bits.
 */
export function handleText(handle: readonly number[]): string {
  return `${handle[0]! | 0} ${handle[1]! | 0} ${handle[2]! | 0} ${handle[3]! | 0}`;
}

/** The words that `handleText` wrote. */
export function handleOfText(text: string): number[] {
  return text.split(" ").map((word) => Number(word) >>> 0);
}
