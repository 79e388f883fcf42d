/** Entry of the serial ports' unit tests (test/unit/io/serial): the ports over their drivers. Not part of io.wasm. */
import { driversStart } from "../../drivers/drivers";
import { eventDeliver } from "../../drivers/host/events";
import { heapAllocate } from "../../drivers/host/heap";
import { systemTime } from "../../drivers/host/host";
import { timersNext, timersRun } from "../../drivers/host/timer";
import { pollRun, pollWaiting } from "../../drivers/poll";
import { serialMoveAll, serialServe } from "./serial";

export { eventDeliver, heapAllocate, timersNext };

export function begin(): void {
  serialServe();
  driversStart();
}

/** Domain 0 notifies. */
export function notify(): void {
  serialMoveAll();
}

/** One turn of the module, of bounded pieces; whether there is more to do. */
export function turn(budget: u32): bool {
  timersRun(systemTime());
  pollRun(budget);
  return pollWaiting();
}
