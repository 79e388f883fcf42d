/** How often a device that breaks its interface's rules is given another chance. */
import { systemTime } from "./host/host";

const WINDOW_NS: u64 = 60_000_000_000;
/** Resets within the window; one more, and the device is given up. */
const RESETS_MAX: u32 = 5;

/** Base state, embedded by pointer: one for each device. */
@unmanaged
export class Recovery {
  windowStart: u64; // system time of the first reset of this window
  resets: u32; // in this window
}

/** Counts a reset that is about to happen; false when the device is to be given up instead. */
export function recoveryAllowed(r: Recovery): bool {
  const now = systemTime();
  if (r.resets == 0 || now - r.windowStart > WINDOW_NS) {
    r.windowStart = now;
    r.resets = 0;
  }
  r.resets++;
  return r.resets <= RESETS_MAX;
}
