/**
 * Math.random. The engine's own is seeded when the program is built, and would be the same in every guest; this one is seeded in the
 * guest: xoshiro128** (Blackman, Vigna), whose numbers are not for secrets.
 */
const state = new Uint32Array(4);

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

function next(): number {
  const result = Math.imul(rotate(Math.imul(state[1]!, 5), 7), 9) >>> 0;
  const shifted = state[1]! << 9;
  state[2]! ^= state[0]!;
  state[3]! ^= state[1]!;
  state[1]! ^= state[2]!;
  state[0]! ^= state[3]!;
  state[2]! ^= shifted;
  state[3] = rotate(state[3]!, 11);
  return result;
}

Math.random = () => ((next() >>> 5) * 0x400_0000 + (next() >>> 6)) / 2 ** 53;

/** From the processor's random numbers, or from the clock where it has none. */
export function seedRandom(fill: (bytes: Uint8Array) => boolean, clock: () => number): void {
  if (!fill(new Uint8Array(state.buffer)))
    state.set([clock() >>> 0, Date.now() >>> 0, (Date.now() / 2 ** 32) >>> 0, 1]);
  for (let i = 0; i < 20; i++) next();
}
