/** Domain 0's watchdog: an endless loop must end in a restart, so legitimate long work must refresh it. */
import { systemTime } from "./clock.ts";
import { petWatchdog } from "./hypercalls/sched.ts";

/** Domain 0 is restarted if the watchdog was not refreshed for this long. */
const WATCHDOG_SECONDS = 10;
/** Shortest interval between refreshes. */
const PET_NS = 1e9;

let petted = -PET_NS;

/** Refreshes the watchdog, if due. */
export function showLife(now = systemTime()): void {
  if (now - petted < PET_NS) return;
  petted = now;
  petWatchdog(WATCHDOG_SECONDS);
}
