/**
 * A domain's watchdogs (SCHEDOP_watchdog, xen/sched.h): timers that shut the domain down with SHUTDOWN_watchdog unless they
 * are refreshed in time.
 */
import { Domain, DomainKind } from "../records/domain";
import { Timer, timerStop, timerInit, timerSet } from "../scheduling/timer";
import { say, sayDec, sayEnd } from "../../arch-x86/log";
import { domainShutdown } from "./domain-shutdown";
import { SHUTDOWN_watchdog } from "../../abi/sched";
import { EINVAL, ENOMEM, ENOSPC } from "../../abi/errno";
import { nowNs } from "../scheduling/time";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import { vcpuOf } from "../records/domain-access";
import { runstateWaitedNs } from "../scheduling/runstate";

/** Watchdogs a domain may have, as Xen. */
const WATCHDOGS: u32 = 2;

/** Layout of Domain.watchdogs: the timers, for each one the waiting time already allowed for, a u32 of bits in use. */
const WATCHDOG_STRIDE: usize = 64;
const WATCHDOG_WAITED: usize = 2 * 64;
const WATCHDOG_IN_USE: usize = WATCHDOG_WAITED + 2 * 8;
const WATCHDOG_BYTES: usize = WATCHDOG_IN_USE + 8;

function watchdogTimer(d: Domain, index: u32): Timer {
  return changetype<Timer>(d.watchdogs + <usize>index * WATCHDOG_STRIDE);
}

/**
 * Nanoseconds that a software-isolated domain's vCPU has been runnable while others had the CPU, which do not count against
 * its watchdog. 0 for all other domains, whose watchdogs count all time, as Xen's do.
 */
function waitedNs(d: Domain): u64 {
  const v = d.kind == DomainKind.Software ? vcpuOf(d, 0) : null;
  return v == null ? 0 : runstateWaitedNs(v, nowNs());
}

function watchdogArm(d: Domain, index: u32, deadline: u64): void {
  store<u64>(d.watchdogs + WATCHDOG_WAITED + ((<usize>index) << 3), waitedNs(d));
  timerSet(watchdogTimer(d, index), deadline);
}

function watchdogFirstExpired(at: usize): void {
  watchdogExpired(changetype<Domain>(at), 0);
}

function watchdogSecondExpired(at: usize): void {
  watchdogExpired(changetype<Domain>(at), 1);
}

/** The timer expired: it is extended by the time the domain waited for a CPU; if that is 0, the domain is shut down. */
function watchdogExpired(d: Domain, index: u32): void {
  if (d.shutdown) return;
  const waited = waitedNs(d) - load<u64>(d.watchdogs + WATCHDOG_WAITED + ((<usize>index) << 3));
  if (waited) {
    watchdogArm(d, index, nowNs() + waited);
    return;
  }
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
    timerInit(watchdogTimer(d, 0), watchdogFirstExpired, changetype<usize>(d));
    timerInit(watchdogTimer(d, 1), watchdogSecondExpired, changetype<usize>(d));
  }
  const inUse = load<u32>(d.watchdogs + WATCHDOG_IN_USE);
  if (id == 0) {
    for (let i: u32 = 0; i < WATCHDOGS; i++) {
      if (inUse & (1 << i)) continue;
      store<u32>(d.watchdogs + WATCHDOG_IN_USE, inUse | (1 << i));
      watchdogArm(d, i, deadline);
      return i + 1;
    }
    return -ENOSPC;
  }
  if (!(inUse & (1 << (id - 1)))) return -EINVAL;
  if (timeoutSeconds == 0) {
    timerStop(watchdogTimer(d, id - 1));
    store<u32>(d.watchdogs + WATCHDOG_IN_USE, inUse & ~(1 << (id - 1)));
  } else {
    watchdogArm(d, id - 1, deadline);
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
