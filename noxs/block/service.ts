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
import { IO_MODULE_ADD, IO_MODULE_REMOVE } from "../../abi/io/control-block";
import { ControlAnswer, controlAnswerLater, controlHandle } from "../../drivers/host/control";
import { answerBulk, answerLength, blockAnswers, blockRequest } from "./block-control";

/** Has the requests handled; once, when the back end has started. */
export function blockServe(): void {
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

/** BLOCK_LATER is the channel's CONTROL_LATER. */
function handle(request: usize, length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
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
