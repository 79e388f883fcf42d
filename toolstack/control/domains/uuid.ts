/**
 * Domains' UUIDs (RFC 9562, version 4: pseudo-random). A domain's UUID is its handle, the 16 bytes that Xen stores with
 * every domain: XENVER_guest_handle tells the guest the same. A handle of zeroes marks a domain that was never finished.
 *
 * How unique they are. Domain 0 has no source of true random numbers, and its engine's Math.random has been seeded when
 * the image was built: it gives the same numbers on all machines. What is mixed instead, before the first one: the wall
 * clock (whole seconds), the TSC and system time of this vCPU's time record and the measured TSC frequency (they differ
 * from boot to boot in their low bits), the machine's memory, and the time that each of a row of hypercalls takes; for
 * each UUID: the system time in ns, the domain's id and a counter. Two domains of one boot, or of two boots of which a
 * single one of these values differs, have one UUID no more likely than two numbers of 122 random bits are equal. Only
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
/** Where version and variant are: RFC 9562, 4.1 and 4.2. */
const VERSION_BYTE = 6;
const VARIANT_BYTE = 8;

/** What everything is mixed into. */
const state = new Uint32Array(WORDS);
/** UUIDs made since domain 0's start. */
let made = 0;
let seeded = false;

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

/** The two halves of a number below 2^53. */
function halves(value: number): [number, number] {
  return [value | 0, Math.floor(value / 0x100000000)];
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
  mix([...clockWords(), cpuKhz, totalPages, freePages, ...times]);
  seeded = true;
}

/** A new UUID for the domain with this id, as text; after `seedUuids`. */
export function newUuid(domain: number): string {
  mix([...halves(systemTime()), domain, ++made]);
  const bytes = new Uint8Array(state.slice().buffer);
  bytes[VERSION_BYTE] = (bytes[VERSION_BYTE]! & 0x0f) | 0x40;
  bytes[VARIANT_BYTE] = (bytes[VARIANT_BYTE]! & 0x3f) | 0x80;
  return uuidOfBytes(bytes);
}

/** The handle of a domain with this UUID: its bytes in the order in which they are written, as libxl has it. */
export function handleOfUuid(uuid: string): Uint8Array {
  const digits = uuid.replace(/-/g, "");
  return Uint8Array.from({ length: HANDLE_SIZE }, (_, i) => parseInt(digits.slice(i * 2, i * 2 + 2), 16));
}

/** The UUID in a handle, given as its words; null for a domain that was never finished. */
export function uuidOfHandle(handle: readonly number[]): string | null {
  if (handle.every((word) => word === 0)) return null;
  return uuidOfBytes(new Uint8Array(Uint32Array.from(handle).buffer));
}

function uuidOfBytes(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
