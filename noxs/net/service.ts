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
import { CONTROL_BULK, controlAnswer, controlHandle } from "../../drivers/host/control";
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
  controlHandle(IO_BRIDGE_CREATE, (request, _length, _response) => bridgeCreate(request));
  controlHandle(IO_BRIDGE_DELETE, (request, _length, _response) => bridgeDelete(request));
  controlHandle(IO_BRIDGE_UPLINK, (request, _length, _response) => bridgeUplink(request));
  controlHandle(IO_BRIDGE_CAPTURE, (request, _length, _response) => bridgeCapture(request));
  controlHandle(IO_BRIDGE_DUMP, dump);
  controlHandle(IO_BRIDGE_LIST, listBridges);
  controlHandle(IO_VIF_ADD, add);
  controlHandle(IO_VIF_REMOVE, (request, _length, _response) => vifRemove(request));
  controlHandle(IO_VIF_CONNECT, (request, length, _response) => vifConnectRequest(request, length));
  controlHandle(IO_VIF_DISCONNECT, (request, _length, _response) => vifDisconnectRequest(request));
  controlHandle(IO_VIF_SET_RATE, (request, _length, _response) => vifSetRate(request));
  controlHandle(IO_VIF_LIST, listVifs);
}

function add(request: usize, _length: u32, response: usize): i32 {
  const status = vifAdd(request, response);
  if (status == 0) controlAnswer(VifAddResponse.SIZE);
  return status;
}

function dump(request: usize, _length: u32, response: usize): i32 {
  const status = bridgeDump(request, response, CONTROL_BULK, CONTROL_BULK_BYTES);
  if (status == 0) controlAnswer(BridgeDumpResponse.SIZE, load<u32>(response, BridgeDumpResponse.bytes));
  return status;
}

function listBridges(request: usize, _length: u32, response: usize): i32 {
  const status = bridgeList(request, response, CONTROL_BULK, CONTROL_BULK_BYTES);
  if (status == 0) controlAnswer(ListResponse.SIZE, load<u32>(response, ListResponse.count) * BridgeEntry.SIZE);
  return status;
}

function listVifs(request: usize, _length: u32, response: usize): i32 {
  const status = vifList(request, response, CONTROL_BULK, CONTROL_BULK_BYTES);
  if (status == 0) controlAnswer(ListResponse.SIZE, load<u32>(response, ListResponse.count) * VifEntry.SIZE);
  return status;
}
