/**
 * A timing wheel for what waits: vifs for tokens, queues for buffers. Each is a number with at most one time; arming is O(1), and
 * so is expiry. Resolution is a millisecond.
 */
import { heapAllocate } from "../../../drivers/host/heap";
import { MILLISECOND_NS } from "./clock";

const SLOTS: u32 = 256;
export const WHEEL_NONE: u32 = 0xffffffff;

/** Numbers in a chunk, and of chunks. */
const CHUNK_SHIFT: u32 = 8;
const CHUNKS: u32 = 128;

/** Of each number its time in ns, 0 when not armed, and the next number in its slot: chunks of 16 bytes for each. */
const chunks: usize = memory.data(4 * 128, 4);
/** First number of each slot; of those that are due. */
let heads: usize = 0;
let due: u32 = WHEEL_NONE;
/** Last millisecond looked at, and how many numbers are armed. */
let tick: u64 = 0;
let armed: u32 = 0;

/** Before anything else here; false without memory. */
export function wheelInit(nowNs: u64): bool {
  heads = heapAllocate(SLOTS << 2);
  tick = nowNs / MILLISECOND_NS;
  if (heads) memory.fill(heads, 0xff, SLOTS << 2);
  return heads != 0;
}

/** Makes sure that there is memory for a number, below 32,768, before it is armed. */
export function wheelReserve(number: u32): bool {
  if (number >> CHUNK_SHIFT >= CHUNKS) return false;
  const slot = chunks + (((<usize>number) >> CHUNK_SHIFT) << 2);
  if (!load<usize>(slot)) store<usize>(slot, heapAllocate((<usize>16) << CHUNK_SHIFT));
  return load<usize>(slot) != 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function timeSlot(number: u32): usize {
  return (
    load<usize>(chunks + (((<usize>number) >> CHUNK_SHIFT) << 2)) + (((<usize>number) & ((1 << CHUNK_SHIFT) - 1)) << 4)
  );
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function nextSlot(number: u32): usize {
  return timeSlot(number) + 8;
}

/** Arms a number for `timeNs`, unless it is armed already. */
export function wheelArm(number: u32, timeNs: u64): void {
  if (load<u64>(timeSlot(number))) return;
  store<u64>(timeSlot(number), max(timeNs, 1));
  armed++;
  file(number, max(timeNs / MILLISECOND_NS, tick + 1));
}

function file(number: u32, at: u64): void {
  const head = heads + (((<usize>at) & (SLOTS - 1)) << 2);
  store<u32>(nextSlot(number), load<u32>(head));
  store<u32>(head, number);
}

/** Moves what is due to the list of wheelNext. */
export function wheelAdvance(nowNs: u64): void {
  const end = nowNs / MILLISECOND_NS;
  if (end <= tick) return;
  if (end - tick > SLOTS) tick = end - SLOTS;
  while (tick < end && armed) {
    const head = heads + (((<usize>(tick + 1)) & (SLOTS - 1)) << 2);
    let number = load<u32>(head);
    store<u32>(head, WHEEL_NONE);
    tick++;
    while (number != WHEEL_NONE) {
      const next = load<u32>(nextSlot(number));
      const time = load<u64>(timeSlot(number)) / MILLISECOND_NS;
      if (time <= end) {
        store<u32>(nextSlot(number), due);
        due = number;
      } else {
        file(number, time); // a later round of the wheel
      }
      number = next;
    }
  }
  tick = end;
}

/** A number that is due, which is no longer armed; WHEEL_NONE when there is none. */
export function wheelNext(): u32 {
  const number = due;
  if (number == WHEEL_NONE) return WHEEL_NONE;
  due = load<u32>(nextSlot(number));
  store<u64>(timeSlot(number), 0);
  armed--;
  return number;
}

/** When something may be due, ns; u64.MAX_VALUE: nothing is armed. Exact within one round of the wheel, else early. */
export function wheelDeadline(): u64 {
  if (!armed) return u64.MAX_VALUE;
  for (let i: u64 = 1; i < SLOTS; i++) {
    if (load<u32>(heads + (((<usize>(tick + i)) & (SLOTS - 1)) << 2)) != WHEEL_NONE) return (tick + i) * MILLISECOND_NS;
  }
  return (tick + SLOTS) * MILLISECOND_NS;
}
