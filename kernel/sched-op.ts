/** The scheduler hypercall (xen/sched.h): a guest's own yield, block, poll and shutdown, and its watchdogs. */
import { EFAULT, EINVAL, ENOMEM, ENOSPC, ENOSYS, EPERM, ESRCH } from "../abi/errno";
import {
  SCHEDOP_block,
  SCHEDOP_pin_override,
  SCHEDOP_poll,
  SCHEDOP_remote_shutdown,
  SCHEDOP_shutdown,
  SCHEDOP_shutdown_code,
  SCHEDOP_watchdog,
  SCHEDOP_yield,
  SchedPoll,
  SchedRemoteShutdown,
  SchedShutdown,
  SchedWatchdog,
  SHUTDOWN_watchdog,
} from "../abi/sched";
import { VcpuInfo } from "../abi/xen";
import * as hw from "../arch-x86/hw";
import { say, sayDec, sayEnd } from "../arch-x86/log";
import { Domain, SHUTDOWN_CODE_INVALID } from "./domain";
import { domainById } from "./domain-list";
import { domainShutdown } from "./domain-shutdown";
import { evtchnPollReady } from "./event-channel";
import { copyFromGuest } from "./guest-copy";
import { heapAllocFor, heapFreeFor } from "./heap";
import { schedulerYield, vcpuBlock } from "./scheduler";
import { scratch } from "./scratch";
import { vcpuInfoPa } from "./shared-info";
import { nowNs } from "./time";
import { Timer, timerInit, timerSet, timerStop } from "./timer";
import { eventDeliverable } from "./upcall";
import { POLL_ANY, Vcpu } from "./vcpu";
import { pollTimerSet } from "./vcpu-timers";

/** Most ports SCHEDOP_poll takes, as Xen. */
const POLL_PORTS_MAX: u32 = 128;
/** Watchdogs a domain may have, as Xen. */
const WATCHDOGS: u32 = 2;
/** Layout of Domain.watchdogs: the timers, then a u32 with a bit for each one in use. */
const WATCHDOG_IN_USE: usize = 2 * 64;
const WATCHDOG_BYTES: usize = 2 * 64 + 8;
const WATCHDOG_STRIDE: usize = 64;

/** SCHEDOP_*: see xen/sched.h. */
export function schedOp(v: Vcpu, cmd: u64, arg: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  switch (<u32>cmd) {
    case SCHEDOP_yield:
      schedulerYield(v);
      return 0;
    case SCHEDOP_block:
      blockWithEvents(v);
      return 0;
    case SCHEDOP_shutdown:
    case SCHEDOP_shutdown_code:
      return shutdown(v, <u32>cmd, arg);
    case SCHEDOP_poll:
      return poll(v, arg);
    case SCHEDOP_remote_shutdown:
      return remoteShutdown(v, arg);
    case SCHEDOP_watchdog:
      return watchdog(v, arg);
    case SCHEDOP_pin_override:
      // Xen lets only the hardware domain pin itself; with one CPU there is nothing to pin to.
      return v.domain.privileged ? -EINVAL : -EPERM;
    default:
      return -ENOSYS;
  }
}

/** SCHEDOP_block, HLT, and the end of a software domain's turn: lets upcalls in, then waits unless one is there. */
export function blockWithEvents(v: Vcpu): void {
  hw.store8(vcpuInfoPa(v) + VcpuInfo.evtchn_upcall_mask, 0);
  if (!eventDeliverable(v)) vcpuBlock(v);
}

function shutdown(v: Vcpu, cmd: u32, arg: u64): i64 {
  const at = scratch(v);
  if (!copyFromGuest(v, at, arg, SchedShutdown.SIZE)) return -EFAULT;
  const reason = load<u32>(at + SchedShutdown.reason) & 0xff;
  if (cmd == SCHEDOP_shutdown) domainShutdown(v.domain, reason);
  else if (v.domain.shutdownCode == SHUTDOWN_CODE_INVALID) v.domain.shutdownCode = reason;
  return 0;
}

function remoteShutdown(v: Vcpu, arg: u64): i64 {
  const at = scratch(v);
  if (!copyFromGuest(v, at, arg, SchedRemoteShutdown.SIZE)) return -EFAULT;
  const d = domainById(load<u16>(at + SchedRemoteShutdown.domain_id));
  if (d == null) return -ESRCH;
  if (!v.domain.privileged) return -EPERM;
  domainShutdown(d, load<u32>(at + SchedRemoteShutdown.reason));
  return 0;
}

function poll(v: Vcpu, arg: u64): i64 {
  const at = scratch(v);
  const compat = v.hypercallCompat != 0;
  // 32-bit layout: u32 ports, u32 nr_ports, u64 timeout.
  if (!copyFromGuest(v, at, arg, compat ? 16 : SchedPoll.SIZE)) return -EFAULT;
  const ports: u64 = compat ? load<u32>(at) : load<u64>(at + SchedPoll.ports);
  const count = load<u32>(at + (compat ? 4 : SchedPoll.nr_ports));
  const timeout = load<u64>(at + (compat ? 8 : SchedPoll.timeout));
  if (count > POLL_PORTS_MAX) return -EINVAL;
  if (eventDeliverable(v)) return 0;
  if (count && !copyFromGuest(v, at, ports, count << 2)) return -EFAULT;
  const ready = evtchnPollReady(v, at, count);
  if (ready) return ready < 0 ? ready : 0;
  if (timeout && timeout <= nowNs()) return 0;
  v.polling = 1;
  v.pollPort = count == 1 ? load<u32>(at) : POLL_ANY;
  if (timeout) pollTimerSet(v, timeout);
  vcpuBlock(v);
  return 0;
}

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

function watchdog(v: Vcpu, arg: u64): i64 {
  const at = scratch(v);
  const d = v.domain;
  if (!copyFromGuest(v, at, arg, SchedWatchdog.SIZE)) return -EFAULT;
  const id = load<u32>(at + SchedWatchdog.id);
  const deadline = nowNs() + <u64>load<u32>(at + SchedWatchdog.timeout) * 1000000000;
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
  if (load<u32>(at + SchedWatchdog.timeout) == 0) {
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
