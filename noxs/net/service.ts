/** The network back end's requests on the control channel: domain 0 asks, net-control.ts and net-list.ts answer. */
import { BridgeDumpResponse, BridgeEntry, ListResponse, VifAddResponse, VifEntry } from "../../abi/io/control-net";
import {
  CONTROL_BULK_BYTES,
  IO_BRIDGE_CAPTURE,
  IO_BRIDGE_CREATE,
  IO_BRIDGE_DELETE,
  IO_BRIDGE_DUMP,
  IO_BRIDGE_LIST,
  IO_BRIDGE_UPLINK,
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_LIST,
  IO_VIF_REMOVE,
  IO_VIF_SET_RATE,
} from "../../abi/io/control";
import { ControlAnswer, controlHandle } from "../../drivers/host/control";
import {
  bridgeCapture,
  bridgeCreate,
  bridgeDelete,
  bridgeDump,
  bridgeUplink,
  vifAdd,
  vifConnectRequest,
  vifDisconnectRequest,
  vifRemove,
  vifSetRate,
} from "./net-control";
import { bridgeList, vifList } from "./net-list";

/** Has the requests handled; once, when the back end has started. */
export function netServe(): void {
  controlHandle(IO_BRIDGE_CREATE, (request, _length, _answer) => bridgeCreate(request));
  controlHandle(IO_BRIDGE_DELETE, (request, _length, _answer) => bridgeDelete(request));
  controlHandle(IO_BRIDGE_UPLINK, (request, _length, _answer) => bridgeUplink(request));
  controlHandle(IO_BRIDGE_CAPTURE, (request, _length, _answer) => bridgeCapture(request));
  controlHandle(IO_BRIDGE_DUMP, dump);
  controlHandle(IO_BRIDGE_LIST, listBridges);
  controlHandle(IO_VIF_ADD, add);
  controlHandle(IO_VIF_REMOVE, (request, _length, _answer) => vifRemove(request));
  controlHandle(IO_VIF_CONNECT, (request, length, _answer) => vifConnectRequest(request, length));
  controlHandle(IO_VIF_DISCONNECT, (request, _length, _answer) => vifDisconnectRequest(request));
  controlHandle(IO_VIF_SET_RATE, (request, _length, _answer) => vifSetRate(request));
  controlHandle(IO_VIF_LIST, listVifs);
}

function add(request: usize, _length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  answer.length = VifAddResponse.SIZE;
  return vifAdd(request, answer.payload);
}

function dump(request: usize, _length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  const status = bridgeDump(request, answer.payload, answer.bulk, CONTROL_BULK_BYTES);
  answer.length = BridgeDumpResponse.SIZE;
  answer.bulkLength = status == 0 ? load<u32>(answer.payload, BridgeDumpResponse.bytes) : 0;
  return status;
}

function listBridges(request: usize, _length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  const status = bridgeList(request, answer.payload, answer.bulk, CONTROL_BULK_BYTES);
  answer.length = ListResponse.SIZE;
  answer.bulkLength = load<u32>(answer.payload, ListResponse.count) * BridgeEntry.SIZE;
  return status;
}

function listVifs(request: usize, _length: u32, at: usize): i32 {
  const answer = changetype<ControlAnswer>(at);
  const status = vifList(request, answer.payload, answer.bulk, CONTROL_BULK_BYTES);
  answer.length = ListResponse.SIZE;
  answer.bulkLength = load<u32>(answer.payload, ListResponse.count) * VifEntry.SIZE;
  return status;
}
