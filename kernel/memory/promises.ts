/**
 * Free frames that are promised (reserved): to domains being built (claims.ts), to domain 0 for memory it may touch
 * (software-memory.ts), to every domain for allocations on its behalf beyond its RAM (overhead.ts), and to the hypervisor
 * itself. Every allocation uses either the allocator's own promise or unpromised frames. So a domain that takes all it can
 * get leaves all others what they were promised, and domain 0 can always destroy it.
 */
import * as hw from "../../arch-x86/hw";
import { freeFrames } from "./frames";

/**
 * Frames reserved for the hypervisor: pages of its heap hold objects of many domains and so may use more frames than are
 * charged to the domains; and memory needed by a running audit (kernel/audit/audit-frames.ts).
 */
export const HYPERVISOR_RESERVE: u32 = 128;

const lockWord: usize = memory.data(4);
const promised: usize = memory.data(4); // u32, without HYPERVISOR_RESERVE

/** Free frames that are promised. */
export function promisedFrames(): u32 {
  return load<u32>(promised) + HYPERVISOR_RESERVE;
}

/** Free frames that are not promised. */
export function framesAvailable(): u32 {
  const free = freeFrames();
  const kept = promisedFrames();
  return free > kept ? free - kept : 0;
}

/** Promises `frames` more. False, with nothing promised, if they are not available. */
export function promise(frames: u32): bool {
  hw.lock(lockWord);
  const ok = frames <= framesAvailable();
  if (ok) store<u32>(promised, load<u32>(promised) + frames);
  hw.unlock(lockWord);
  return ok;
}

/** Ends a promise of `frames`: they have been allocated, or the promise was cancelled. */
export function promiseEnd(frames: u32): void {
  if (!frames) return;
  hw.lock(lockWord);
  assert(load<u32>(promised) >= frames, "more promises end than were given");
  store<u32>(promised, load<u32>(promised) - frames);
  hw.unlock(lockWord);
}

/** Frames allocated from a promise have been freed, or are about to be: they are promised again. */
export function promiseAgain(frames: u32): void {
  if (!frames) return;
  hw.lock(lockWord);
  store<u32>(promised, load<u32>(promised) + frames);
  hw.unlock(lockWord);
}
