/** The vCPU's timer: an event at a deadline, for which the domain wakes. */
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../abi/event-channel";
import { __HYPERVISOR_event_channel_op, __HYPERVISOR_set_timer_op, VIRQ_TIMER } from "../../abi/xen";
import { eventHandle } from "./events";
import { hypercall } from "./host";

const argument: usize = memory.data(16, 8);
/** The deadline that the timer is set to, ns; 0: none. */
let armed: u64 = 0;

/** Binds the timer's event; once, after the event queue. False: the hypervisor refused. */
export function wakeOpen(): bool {
  memory.fill(argument, 0, EvtchnBindVirq.SIZE);
  store<u32>(argument, VIRQ_TIMER, EvtchnBindVirq.virq);
  if (hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, argument, 0, 0, 0) != 0) return false;
  return eventHandle(load<u32>(argument, EvtchnBindVirq.port), fired, 0);
}

function fired(_record: usize): void {
  armed = 0;
}

/** Has the domain woken at system time `deadline`, ns; u64.MAX_VALUE: by events only. */
export function wakeAt(deadline: u64): void {
  if (deadline == u64.MAX_VALUE) deadline = 0;
  if (deadline == armed) return;
  armed = deadline;
  hypercall(__HYPERVISOR_set_timer_op, deadline, 0, 0, 0, 0);
}
