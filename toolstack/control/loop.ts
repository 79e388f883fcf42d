/**
 * Domain 0's event loop. The engine calls `turn` whenever the hypervisor enters domain 0 with something pending, then
 * runs the promise jobs, then yields the CPU until the next event or timer. Work done in promise jobs needs no
 * second turn: console output flushes itself in a separate job, and a new first timer is armed when it is created.
 *
 * A turn lasts a few milliseconds at most: events and timers only queue work, tasks do it in pieces (tasks.ts).
 */
import { systemTime } from "./clock.ts";
import { drainEvents } from "./events.ts";
import { reportFailure } from "./failures.ts";
import { flushTurn } from "./console/output.ts";
import { beginTurn, runTasks } from "./tasks.ts";
import { after, armTimer, runTimers } from "./timers.ts";
import { showLife } from "./watchdog.ts";

/** An idle domain 0 wakes this often to pet its watchdog. */
const IDLE_MS = 4000;

/** Keeps an idle domain 0 waking up; the first thing after the host is open. */
export function stayAwake(): void {
  after(IDLE_MS, stayAwake);
}

/** One turn. Nothing that goes wrong in it ends domain 0. */
export function turn(): void {
  try {
    const now = systemTime();
    showLife(now);
    beginTurn(now);
    drainEvents();
    runTimers(now);
    runTasks();
    flushTurn();
    armTimer();
  } catch (error) {
    reportFailure("the event loop", error);
  }
}
