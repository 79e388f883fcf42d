/** The block back end's requests on the control channel (block-control.ts answers them). */
import {
  CONTROL_BULK_BYTES,
  IO_DISK_LIST,
  IO_VBD_ADD,
  IO_VBD_CONNECT,
  IO_VBD_DISCONNECT,
  IO_VBD_LIST,
  IO_VBD_REMOVE,
  IO_VOLUME_CHECK,
  IO_VOLUME_CREATE,
  IO_VOLUME_DELETE,
  IO_VOLUME_FORMAT,
  IO_VOLUME_LIST,
  IO_VOLUME_RESIZE,
  IO_VOLUME_SNAPSHOT,
} from "../../abi/io/control";
import { ENOMEM } from "../../abi/errno";
import { IO_MODULE_ADD, IO_MODULE_REMOVE } from "../../abi/io/control-block";
import { ControlAnswer, controlAnswerLater, controlHandle } from "../../drivers/host/control";
import { answerBulk, answerLength, BLOCK_LATER, blockAnswers, blockRequest, blockWithout } from "./block-control";

/** Starts the back end; false when there is no memory. */
export type BlockStartFn = () => bool;

let startFn: usize = 0;
let started: bool = false;

/** Has the requests handled. `start` starts the back end, which takes megabytes: when a request first needs it, or now by blockBegin. */
export function blockServe(start: BlockStartFn): void {
  startFn = changetype<usize>(start);
  blockAnswers(controlAnswerLater);
  controlHandle(IO_DISK_LIST, handle);
  controlHandle(IO_VOLUME_LIST, handle);
  controlHandle(IO_VOLUME_CREATE, handle);
  controlHandle(IO_VOLUME_DELETE, handle);
  controlHandle(IO_VOLUME_RESIZE, handle);
  controlHandle(IO_VOLUME_SNAPSHOT, handle);
  controlHandle(IO_VOLUME_FORMAT, handle);
  controlHandle(IO_VOLUME_CHECK, handle);
  controlHandle(IO_VBD_ADD, handle);
  controlHandle(IO_VBD_REMOVE, handle);
  controlHandle(IO_VBD_CONNECT, handle);
  controlHandle(IO_VBD_DISCONNECT, handle);
  controlHandle(IO_VBD_LIST, handle);
  controlHandle(IO_MODULE_ADD, handle);
  controlHandle(IO_MODULE_REMOVE, handle);
}

/** Starts the back end, if it has not been; false when there is no memory. */
export function blockBegin(): bool {
  if (!started) started = changetype<BlockStartFn>(startFn)();
  return started;
}

/** BLOCK_LATER is the channel's CONTROL_LATER. */
function handle(request: usize, length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  if (!started) {
    const without = blockWithout(answer.operation, request, answer.payload);
    if (without == 0) answer.length = answerLength;
    if (without != BLOCK_LATER) return without;
    if (!blockBegin()) return -ENOMEM;
  }
  const status = blockRequest(
    answer.operation,
    answer.id,
    request,
    length,
    answer.payload,
    answer.bulk,
    CONTROL_BULK_BYTES,
  );
  answer.length = answerLength;
  answer.bulkLength = answerBulk;
  return status;
}
