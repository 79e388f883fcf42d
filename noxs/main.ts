/** The I/O domain's entry point. */
import { IO_PING } from "../abi/io/control";
import { controlAnswer, controlHandle, controlOpen } from "../drivers/host/control";
import { eventQueueOpen } from "../drivers/host/event-queue";
import { eventsTake } from "../drivers/host/events";
import "../drivers/host/log"; // for failed assertions

let open = false;

/** Answers with what it was asked. */
function ping(request: usize, length: u32, response: usize): i32 {
  memory.copy(response, request, length);
  controlAnswer(length);
  return 0;
}

function start(): void {
  assert(eventQueueOpen(), "the hypervisor refused FIFO event channels");
  controlHandle(IO_PING, ping);
  assert(controlOpen(), "no stable memory");
  open = true;
}

/** One turn: serves everything that is pending. Its return means that there is nothing to do until an event comes. */
export function turn(): void {
  if (!open) start();
  eventsTake();
}
