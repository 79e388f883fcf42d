/** Which of domain 0's requests the network answers, and how. */
import { EINVAL, ENOSYS } from "../../abi/errno";
import {
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
import {
  BridgeCapture,
  BridgeCaptureResponse,
  BridgeCreate,
  BridgeDump,
  BridgeDumpResponse,
  BridgeEntry,
  BridgeName,
  BridgeUplink,
  ListRequest,
  ListResponse,
  NicEntry,
  VifAdd,
  VifAddResponse,
  VifConnect,
  VifEntry,
  VifKey,
  VifSetRate,
} from "../../abi/io/control-net";
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
import { bridgeList, nicList, vifList } from "./net-list";

/** Bytes of the response's payload, and of the bulk area, that netControl has written. */
export let netResponseBytes: u32 = 0;
export let netBulkBytes: u32 = 0;

/** The shortest request of an operation; 0xffffffff: the network does not know it. */
function requestBytes(operation: u32): u32 {
  switch (operation) {
    case IO_BRIDGE_CREATE:
      return BridgeCreate.SIZE;
    case IO_BRIDGE_DELETE:
      return BridgeName.SIZE;
    case IO_BRIDGE_UPLINK:
      return BridgeUplink.SIZE;
    case IO_BRIDGE_CAPTURE:
      return BridgeCapture.SIZE;
    case IO_BRIDGE_DUMP:
      return BridgeDump.SIZE;
    case IO_VIF_ADD:
      return VifAdd.SIZE;
    case IO_VIF_REMOVE:
    case IO_VIF_DISCONNECT:
      return VifKey.SIZE;
    case IO_VIF_CONNECT:
      return VifConnect.SIZE;
    case IO_VIF_SET_RATE:
      return VifSetRate.SIZE;
    case IO_BRIDGE_LIST:
    case IO_VIF_LIST:
    case IO_NIC_LIST:
      return ListRequest.SIZE;
    default:
      return 0xffffffff;
  }
}

/**
 * Answers a request of domain 0.
 * @param request its payload, of `length` bytes, which nobody else can change, 8-byte aligned
 * @param response room for CONTROL_PAYLOAD_BYTES
 * @param bulk room for `room` bytes of a listing
 * @returns 0, a negative errno, or -ENOSYS for an operation that is not the network's
 */
export function netControl(operation: u32, request: usize, length: u32, response: usize, bulk: usize, room: u32): i32 {
  netResponseBytes = 0;
  netBulkBytes = 0;
  const least = requestBytes(operation);
  if (least == 0xffffffff) return -ENOSYS;
  if (length < least) return -EINVAL;
  switch (operation) {
    case IO_BRIDGE_CREATE:
      return bridgeCreate(request);
    case IO_BRIDGE_DELETE:
      return bridgeDelete(request);
    case IO_BRIDGE_UPLINK:
      return bridgeUplink(request);
    case IO_BRIDGE_CAPTURE: {
      const rc = bridgeCapture(request, response);
      if (rc == 0) answered(BridgeCaptureResponse.SIZE, 0);
      return rc;
    }
    case IO_BRIDGE_DUMP: {
      const rc = bridgeDump(request, response, bulk, room);
      if (rc == 0) answered(BridgeDumpResponse.SIZE, load<u32>(response, BridgeDumpResponse.bytes));
      return rc;
    }
    case IO_VIF_ADD: {
      const rc = vifAdd(request, response);
      if (rc == 0) answered(VifAddResponse.SIZE, 0);
      return rc;
    }
    case IO_VIF_REMOVE:
      return vifRemove(request);
    case IO_VIF_DISCONNECT:
      return vifDisconnectRequest(request);
    case IO_VIF_CONNECT:
      return vifConnectRequest(request, length);
    case IO_VIF_SET_RATE:
      return vifSetRate(request);
    case IO_BRIDGE_LIST:
      bridgeList(request, response, bulk, room);
      return listed(response, BridgeEntry.SIZE);
    case IO_VIF_LIST:
      vifList(request, response, bulk, room);
      return listed(response, VifEntry.SIZE);
    default:
      nicList(request, response, bulk, room);
      return listed(response, NicEntry.SIZE);
  }
}

function answered(bytes: u32, bulk: u32): void {
  netResponseBytes = bytes;
  netBulkBytes = bulk;
}

function listed(response: usize, entry: u32): i32 {
  answered(ListResponse.SIZE, load<u32>(response, ListResponse.count) * entry);
  return 0;
}
