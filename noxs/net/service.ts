/** The network's requests on the control channel (net-dispatch.ts answers them). */
import {
  CONTROL_BULK_BYTES,
  IO_BRIDGE_CAPTURE,
  IO_BRIDGE_CREATE,
  IO_BRIDGE_DELETE,
  IO_BRIDGE_DUMP,
  IO_BRIDGE_LIST,
  IO_BRIDGE_UPLINK,
  IO_NIC_LIST,
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_LIST,
  IO_VIF_REMOVE,
  IO_VIF_SET_RATE,
} from "../../abi/io/control";
import { ControlAnswer, controlHandle } from "../../drivers/host/control";
import { netBulkBytes, netControl, netResponseBytes } from "./net-dispatch";

/** Has the requests handled; once, when the back end has started. */
export function netServe(): void {
  controlHandle(IO_BRIDGE_CREATE, handle);
  controlHandle(IO_BRIDGE_DELETE, handle);
  controlHandle(IO_BRIDGE_LIST, handle);
  controlHandle(IO_BRIDGE_UPLINK, handle);
  controlHandle(IO_BRIDGE_CAPTURE, handle);
  controlHandle(IO_BRIDGE_DUMP, handle);
  controlHandle(IO_VIF_ADD, handle);
  controlHandle(IO_VIF_REMOVE, handle);
  controlHandle(IO_VIF_CONNECT, handle);
  controlHandle(IO_VIF_DISCONNECT, handle);
  controlHandle(IO_VIF_LIST, handle);
  controlHandle(IO_VIF_SET_RATE, handle);
  controlHandle(IO_NIC_LIST, handle);
}

function handle(request: usize, length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  const status = netControl(answer.operation, request, length, answer.payload, answer.bulk, CONTROL_BULK_BYTES);
  answer.length = netResponseBytes;
  answer.bulkLength = netBulkBytes;
  return status;
}
