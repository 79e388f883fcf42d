/** Entry of the block back end's unit tests (test/unit/io/block): the back end over the volumes' test entry. Not part of io.wasm. */
import { eventDeliver, eventsStart } from "../../drivers/host/events";
import { keptPortsEnd, keptPortsStart } from "../../drivers/host/kept-ports";
import { answerBulk, answerLength, blockAnswers, blockRequest } from "./block-control";
import { blockInit } from "./block";
import { entriesFree } from "./entries";
import { grantHypercalls } from "./grants";

/** A request of domain 0 is answered. */
@external("unit", "answer") declare function unitAnswer(
  id: u32,
  status: i32,
  payload: usize,
  length: u32,
  bulkLength: u32,
): void;

export { answerBulk, answerLength, blockRequest, entriesFree, eventDeliver, grantHypercalls };

function answer(id: u32, status: i32, payload: usize, length: u32, bulkLength: u32): void {
  unitAnswer(id, status, payload, length, bulkLength);
}

/** After volumesInit. */
export function blockStart(): bool {
  blockAnswers(answer);
  if (!eventsStart()) return false;
  keptPortsStart();
  const ready = blockInit();
  keptPortsEnd();
  return ready;
}
