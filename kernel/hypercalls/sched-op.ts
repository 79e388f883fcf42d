/** The scheduler hypercall (xen/sched.h): a guest's own yield, block, poll and shutdown, and its watchdogs. */
import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from "../../abi/errno";
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
} from "../../abi/sched";
import { SHUTDOWN_CODE_INVALID } from "../records/domain";
import { domainById } from "../records/domain-list";
import { domainShutdown, domainShutdownRemote } from "../domains/domain-shutdown";
import { evtchnPollReady } from "../events/event-channel";
import { copyFromGuest } from "../memory/guest-copy";
import { schedulerYield, vcpuBlock } from "../scheduling/scheduler";
import { scratch } from "../memory/scratch";
import { nowNs } from "../scheduling/time";
import { eventDeliverable, blockWithEvents } from "../events/upcall";
import { POLL_ANY, Vcpu } from "../records/vcpu";
import { pollTimerSet } from "../domains/vcpu-timers";
import { watchdogSet } from "../domains/watchdogs";

/** Most ports SCHEDOP_poll takes, as Xen. */
const POLL_PORTS_MAX: u32 = 128;

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
  domainShutdownRemote(d, load<u32>(at + SchedRemoteShutdown.reason));
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

function watchdog(v: Vcpu, arg: u64): i64 {
  const at = scratch(v);
  if (!copyFromGuest(v, at, arg, SchedWatchdog.SIZE)) return -EFAULT;
  return watchdogSet(v.domain, load<u32>(at + SchedWatchdog.id), load<u32>(at + SchedWatchdog.timeout));
}
