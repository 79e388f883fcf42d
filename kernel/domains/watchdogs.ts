/**
 * A domain's watchdogs (SCHEDOP_watchdog, xen/sched.h): timers that shut the domain down with SHUTDOWN_watchdog unless they
 * are set anew in time.
 */
import { Domain } from "../records/domain";
import { Timer, timerStop, timerInit, timerSet } from "../scheduling/timer";
import { say, sayDec, sayEnd } from "../../arch-x86/log";
import { domainShutdown } from "./domain-shutdown";
import { SHUTDOWN_watchdog } from "../../abi/sched";
import { EINVAL, ENOMEM, ENOSPC } from "../../abi/errno";
import { nowNs } from "../scheduling/time";
import { heapAllocFor, heapFreeFor } from "../memory/heap";

/** Watchdogs a domain may have, as Xen. */
const WATCHDOGS: u32 = 2;

/** Layout of Domain.watchdogs: the timers, then a u32 with a bit for each one in use. */
const WATCHDOG_IN_USE: usize = 2 * 64;

const WATCHDOG_BYTES: usize = 2 * 64 + 8;

const WATCHDOG_STRIDE: usize = 64;

// --- Watchdogs -------------------------------------------------------------------------------------------------------------

function watchdogTimer(d: Domain, index: u32): Timer {
  return changetype<Timer>(d.watchdogs + <usize>index * WATCHDOG_STRIDE);
}

function watchdogExpired(at: usize): void {
  const d = changetype<Domain>(at);
  if (d.shutdown) return;
  say("The watchdog of d");
  sayDec(d.id);
  say(" has expired.");
  sayEnd();
  domainShutdown(d, SHUTDOWN_watchdog);
}

/**
 * SCHEDOP_watchdog.
 * @param id 0: takes a free one; else the one that an earlier call returned
 * @param timeoutSeconds until it expires; 0 stops and frees the one named
 * @returns the number of the one taken, 0 when the one named was set or freed; -EINVAL no such one, -ENOMEM, -ENOSPC
 */
export function watchdogSet(d: Domain, id: u32, timeoutSeconds: u32): i64 {
  const deadline = nowNs() + <u64>timeoutSeconds * 1000000000;
  if (id > WATCHDOGS) return -EINVAL;
  if (!d.watchdogs) {
    if (id) return -EINVAL;
    d.watchdogs = heapAllocFor(d, WATCHDOG_BYTES);
    if (!d.watchdogs) return -ENOMEM;
    for (let i: u32 = 0; i < WATCHDOGS; i++) timerInit(watchdogTimer(d, i), watchdogExpired, changetype<usize>(d));
  }
  const inUse = load<u32>(d.watchdogs + WATCHDOG_IN_USE);
  if (id == 0) {
    for (let i: u32 = 0; i < WATCHDOGS; i++) {
      if (inUse & (1 << i)) continue;
      store<u32>(d.watchdogs + WATCHDOG_IN_USE, inUse | (1 << i));
      timerSet(watchdogTimer(d, i), deadline);
      return i + 1;
    }
    return -ENOSPC;
  }
  if (!(inUse & (1 << (id - 1)))) return -EINVAL;
  if (timeoutSeconds == 0) {
    timerStop(watchdogTimer(d, id - 1));
    store<u32>(d.watchdogs + WATCHDOG_IN_USE, inUse & ~(1 << (id - 1)));
  } else {
    timerSet(watchdogTimer(d, id - 1), deadline);
  }
  return 0;
}

/** Stops and frees a domain's watchdogs. */
export function watchdogsFree(d: Domain): void {
  if (!d.watchdogs) return;
  for (let i: u32 = 0; i < WATCHDOGS; i++) timerStop(watchdogTimer(d, i));
  heapFreeFor(d, d.watchdogs, WATCHDOG_BYTES);
  d.watchdogs = 0;
}
