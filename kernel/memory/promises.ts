/**
 * Free frames that are promised: to domains whose memory is being built (claims.ts), to domain 0 for what it may touch
 * (software-memory.ts), to every domain for what is held on its behalf beyond its RAM (overhead.ts), and to the hypervisor
 * itself. Whoever takes a frame takes it from a promise of its own or from those that are promised to nobody. So a domain
 * that takes all it can get leaves everybody else what they were promised, and domain 0 always able to put an end to it.
 */
import * as hw from "../../arch-x86/hw";
import { freeFrames } from "./frames";

/**
 * Frames kept for the hypervisor: pages of its heap are filled by objects of many domains and so take more frames than the
 * domains are charged for; and what an audit needs while it runs (kernel/audit/audit-frames.ts).
 */
export const HYPERVISOR_RESERVE: u32 = 128;

const lockWord: usize = memory.data(4);
const promised: usize = memory.data(4); // u32, without HYPERVISOR_RESERVE

/** Free frames that are promised to someone. */
export function promisedFrames(): u32 {
  return load<u32>(promised) + HYPERVISOR_RESERVE;
}

/** Free frames that are promised to nobody. */
export function framesAvailable(): u32 {
  const free = freeFrames();
  const kept = promisedFrames();
  return free > kept ? free - kept : 0;
}

/** Promises `frames` more. False, with nothing promised, where so many are not available. */
export function promise(frames: u32): bool {
  hw.lock(lockWord);
  const ok = frames <= framesAvailable();
  if (ok) store<u32>(promised, load<u32>(promised) + frames);
  hw.unlock(lockWord);
  return ok;
}

/** A promise of `frames` is taken up: they are no longer free. Or given up. */
export function promiseEnd(frames: u32): void {
  if (!frames) return;
  hw.lock(lockWord);
  assert(load<u32>(promised) >= frames, "more promises end than were given");
  store<u32>(promised, load<u32>(promised) - frames);
  hw.unlock(lockWord);
}

/** Frames taken up by a promise have come back, or are about to: they are promised as before. */
export function promiseAgain(frames: u32): void {
  if (!frames) return;
  hw.lock(lockWord);
  store<u32>(promised, load<u32>(promised) + frames);
  hw.unlock(lockWord);
}
