/** The I/O domain's entry point: everything is started in its first turn, and served in every one. */
import { IO_PING } from "../abi/io/control";
import { controlAnswer, controlHandle, controlOpen } from "../drivers/host/control";
import { eventQueueOpen } from "../drivers/host/event-queue";
import { eventsTake } from "../drivers/host/events";
import { systemTime } from "../drivers/host/host";
import { say, sayEnd } from "../drivers/host/log";
import { timersNext, timersRun } from "../drivers/host/timer";
import { wakeAt, wakeOpen } from "../drivers/host/wake";
import { netDeadline, netInit, netTurn } from "./net/net";
import { netServe } from "./net/service";

let open = false;
let network = false;

/** Answers with what it was asked. */
function ping(request: usize, length: u32, response: usize): i32 {
  memory.copy(response, request, length);
  controlAnswer(length);
  return 0;
}

function start(): void {
  open = true;
  assert(eventQueueOpen() && wakeOpen(), "the hypervisor refused event channels");
  controlHandle(IO_PING, ping);
  network = netInit();
  if (network) {
    netServe();
  } else {
    say("There is not enough memory for networks.");
    sayEnd();
  }
  assert(controlOpen(), "no stable memory");
}

/** One turn: serves everything that is pending. Its return means that there is nothing to do until an event or the next deadline. */
export function turn(): void {
  if (!open) start();
  let more = true;
  while (more) {
    eventsTake();
    timersRun(systemTime());
    more = network && netTurn();
  }
  wakeAt(min(timersNext(), network ? netDeadline() : u64.MAX_VALUE));
}
