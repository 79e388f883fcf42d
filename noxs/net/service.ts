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
  controlHandle(IO_BRIDGE_CREATE, (r, n, a) => handle(IO_BRIDGE_CREATE, r, n, a));
  controlHandle(IO_BRIDGE_DELETE, (r, n, a) => handle(IO_BRIDGE_DELETE, r, n, a));
  controlHandle(IO_BRIDGE_LIST, (r, n, a) => handle(IO_BRIDGE_LIST, r, n, a));
  controlHandle(IO_BRIDGE_UPLINK, (r, n, a) => handle(IO_BRIDGE_UPLINK, r, n, a));
  controlHandle(IO_BRIDGE_CAPTURE, (r, n, a) => handle(IO_BRIDGE_CAPTURE, r, n, a));
  controlHandle(IO_BRIDGE_DUMP, (r, n, a) => handle(IO_BRIDGE_DUMP, r, n, a));
  controlHandle(IO_VIF_ADD, (r, n, a) => handle(IO_VIF_ADD, r, n, a));
  controlHandle(IO_VIF_REMOVE, (r, n, a) => handle(IO_VIF_REMOVE, r, n, a));
  controlHandle(IO_VIF_CONNECT, (r, n, a) => handle(IO_VIF_CONNECT, r, n, a));
  controlHandle(IO_VIF_DISCONNECT, (r, n, a) => handle(IO_VIF_DISCONNECT, r, n, a));
  controlHandle(IO_VIF_LIST, (r, n, a) => handle(IO_VIF_LIST, r, n, a));
  controlHandle(IO_VIF_SET_RATE, (r, n, a) => handle(IO_VIF_SET_RATE, r, n, a));
  controlHandle(IO_NIC_LIST, (r, n, a) => handle(IO_NIC_LIST, r, n, a));
}

function handle(operation: u32, request: usize, length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  const status = netControl(operation, request, length, answer.payload, answer.bulk, CONTROL_BULK_BYTES);
  answer.length = netResponseBytes;
  answer.bulkLength = netBulkBytes;
  return status;
}
