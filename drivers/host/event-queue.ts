/**
 * The domain's event channels, FIFO ABI (xen/event_channel.h, struct evtchn_fifo_control_block): every port has an event word, in
 * pages given to the hypervisor 1,024 words at a time; ports that are pending and not masked form a queue per priority. The
 * hypervisor appends, the domain removes, with one atomic operation per word.
 *
 * No port is ever masked here: one that nothing handles is taken from its queue and forgotten.
 */
import {
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_PENDING,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EvtchnExpandArray,
  EvtchnFifoControlBlock,
  EvtchnInitControl,
} from "../../abi/event-channel";
import { IO_EVENT_CONTROL, IO_EVENT_WORDS, IO_EVENT_WORDS_END, IO_SHARED_INFO } from "../../abi/io/layout";
import { __HYPERVISOR_event_channel_op, SharedInfo, VcpuInfo } from "../../abi/xen";
import { compareExchange32, fetchAnd32, hypercall, read32, write32, write8 } from "./host";

export type PortFn = (port: u32) => void;

const PAGE_SHIFT: u32 = 12;
/** Event words in a page, and in all pages that there is room for. */
const PAGE_WORDS: u32 = 1024;
const WORDS: u32 = (IO_EVENT_WORDS_END - IO_EVENT_WORDS) >> 2;

const READY: usize = <usize>IO_EVENT_CONTROL + EvtchnFifoControlBlock.ready;
const HEADS: usize = <usize>IO_EVENT_CONTROL + EvtchnFifoControlBlock.head;
const UPCALL_PENDING: usize = <usize>IO_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending;

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const LINK: u32 = (1 << EVTCHN_FIFO_LINK_BITS) - 1;

const argument: usize = memory.data(24, 8);
/** Pages of event words that the hypervisor has. */
let pages: u32 = 0;

/** Switches to the FIFO ABI; once, before any port is bound. False: the hypervisor refused. */
export function eventQueueOpen(): bool {
  write32(<usize>IO_EVENT_CONTROL, 0); // memory is there from the first touch on
  memory.fill(argument, 0, EvtchnInitControl.SIZE);
  store<u64>(argument, IO_EVENT_CONTROL >> PAGE_SHIFT, EvtchnInitControl.control_gfn);
  return (
    hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_init_control, argument, 0, 0, 0) == 0 && eventQueueReaches(0)
  );
}

/** Makes sure that `port` has an event word; what was sent to it before is then pending. False: there is no room. */
export function eventQueueReaches(port: u32): bool {
  if (port >= WORDS) return false;
  while (port >= pages * PAGE_WORDS) {
    const page = IO_EVENT_WORDS + (pages << PAGE_SHIFT);
    write32(<usize>page, 0);
    store<u64>(argument, page >> PAGE_SHIFT, EvtchnExpandArray.array_gfn);
    if (hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_expand_array, argument, 0, 0, 0) != 0) return false;
    pages++;
  }
  return true;
}

/**
 * Empties the queues, the highest priority first, calling `each` with every port that is pending. What comes meanwhile is taken
 * too, or keeps the domain from sleeping.
 */
export function eventQueueTake(each: PortFn): void {
  write8(UPCALL_PENDING, 0);
  for (let ready = read32(READY); ready != 0; ready = read32(READY)) {
    const queue = <u32>ctz(ready);
    fetchAnd32(READY, ~((<u32>1) << queue));
    for (let port = read32(HEADS + ((<usize>queue) << 2)); port != 0;) port = take(port, each);
  }
}

/** Removes a port from its queue; returns the one behind it, 0 for none. */
function take(port: u32, each: PortFn): u32 {
  if (port >= WORDS) return 0;
  const at = <usize>IO_EVENT_WORDS + ((<usize>port) << 2);
  for (;;) {
    const word = read32(at);
    if (compareExchange32(at, word, word & ~(PENDING | LINKED | LINK)) != word) continue;
    if (word & PENDING) each(port);
    return word & LINK;
  }
}
