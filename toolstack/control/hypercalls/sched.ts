/** sched_op and set_timer_op, as far as domain 0 uses them. */
import { EINVAL, ENOSPC } from "../../../abi/errno.ts";
import {
  SCHEDOP_remote_shutdown,
  SCHEDOP_shutdown,
  SCHEDOP_watchdog,
  SchedRemoteShutdown,
  SchedShutdown,
  SchedWatchdog,
} from "../../../abi/sched.ts";
import { __HYPERVISOR_sched_op, __HYPERVISOR_set_timer_op } from "../../../abi/xen.ts";
import { checked, hypercall, hypercall64 } from "../hypercall.ts";
import { reserveScratch } from "../scratch.ts";

const ID = SchedWatchdog.id / 4;
const TIMEOUT = SchedWatchdog.timeout / 4;
const REASON = SchedShutdown.reason / 4;

const shutdownBuffer = reserveScratch(SchedShutdown.SIZE);
const remoteBuffer = reserveScratch(SchedRemoteShutdown.SIZE);
const watchdogBuffer = reserveScratch(SchedWatchdog.SIZE);
let watchdogId = 0;

/**
 * (Re)starts domain 0's watchdog: the hypervisor restarts domain 0 unless this is called again within `seconds`.
 * The first call takes one of the domain's two watchdogs, or the first of them if both are taken.
 */
export function petWatchdog(seconds: number): void {
  const { words, address } = watchdogBuffer;
  words[ID] = watchdogId;
  words[TIMEOUT] = seconds;
  let result = hypercall(__HYPERVISOR_sched_op, SCHEDOP_watchdog, address);
  if (watchdogId === 0) {
    if (result === -ENOSPC || result === -EINVAL) {
      words[ID] = 1;
      result = hypercall(__HYPERVISOR_sched_op, SCHEDOP_watchdog, address);
      watchdogId = 1;
    } else {
      watchdogId = result;
    }
  }
  checked("SCHEDOP_watchdog", result);
}

/** Asks for VIRQ_TIMER at system time `ns`; 0 asks for none. */
export function setTimer(ns: number): void {
  checked("set_timer_op", hypercall64(__HYPERVISOR_set_timer_op, ns));
}

/** Shuts domain 0 down, and the machine with it: SHUTDOWN_poweroff or SHUTDOWN_reboot. */
export function shutdownMachine(reason: number): void {
  shutdownBuffer.words[REASON] = reason;
  checked("SCHEDOP_shutdown", hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, shutdownBuffer.address));
}

/** Shuts another domain down, SHUTDOWN_*, whatever it does. The I/O domain is restarted by that. */
export function shutdownDomain(id: number, reason: number): void {
  remoteBuffer.words[0] = id; // a u16, padded
  remoteBuffer.words[SchedRemoteShutdown.reason / 4] = reason;
  checked("SCHEDOP_remote_shutdown", hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, remoteBuffer.address));
}
