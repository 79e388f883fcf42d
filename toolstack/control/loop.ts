/**
 * Domain 0's event loop. The engine calls `turn` whenever the hypervisor enters domain 0 with something pending, then
 * runs the promise jobs, then hands the CPU back until the next event or timer. What happens in promise jobs needs no
 * second turn: console output flushes itself in a job of its own, and a new first timer is armed when it is made.
 */
import { drainEvents } from "./events.ts";
import { reportFailure } from "./failures.ts";
import { flushConsole } from "./console/output.ts";
import { petWatchdog } from "./hypercalls/sched.ts";
import { after, armTimer, runTimers } from "./timers.ts";

/** Domain 0 is restarted when it has not come to a new turn for this long. */
const WATCHDOG_SECONDS = 10;
/** Longest sleep: an idle domain 0 wakes to pet its watchdog. */
const IDLE_MS = 4000;

function stayAwake(): void {
  after(IDLE_MS, stayAwake);
}

/** Sets up what the loop itself needs; the first thing after the host and the console are open. */
export function openLoop(): void {
  stayAwake();
}

/** One turn. Nothing that goes wrong in it ends domain 0. */
export function turn(): void {
  try {
    petWatchdog(WATCHDOG_SECONDS);
    drainEvents();
    runTimers();
    flushConsole();
    armTimer();
  } catch (error) {
    reportFailure("the event loop", error);
  }
}
