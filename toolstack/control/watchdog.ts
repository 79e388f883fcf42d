/** Domain 0's watchdog: an endless loop must end in a restart, so whoever works for long on purpose shows life. */
import { systemTime } from "./clock.ts";
import { petWatchdog } from "./hypercalls/sched.ts";

/** Domain 0 is restarted when it has not shown life for this long. */
const WATCHDOG_SECONDS = 10;
/** It is petted at most this often. */
const PET_NS = 1e9;

let petted = -PET_NS;

/** Pets the watchdog, if that is due. */
export function showLife(now = systemTime()): void {
  if (now - petted < PET_NS) return;
  petted = now;
  petWatchdog(WATCHDOG_SECONDS);
}
