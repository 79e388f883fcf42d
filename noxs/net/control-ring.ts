/**
 * The control ring of a vif: by it a frontend chooses how frames are hashed and spread over its queues. Static grants are not
 * offered. Source: xen/io/netif.h, "Control messages".
 */
import { VIF_FAIL_INDEX } from "../../abi/io/control-net";
import { GNTST_okay } from "../../abi/grant-table";
import {
  NET_CTRL_RING_SIZE,
  NET_CTRL_SLOT,
  NetifCtrlRequest,
  NetifCtrlResponse,
  XEN_NETIF_CTRL_HASH_ALGORITHM_NONE,
  XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
  XEN_NETIF_CTRL_HASH_TYPE_IPV4,
  XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP,
  XEN_NETIF_CTRL_HASH_TYPE_IPV6,
  XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
  XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW,
  XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
  XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED,
  XEN_NETIF_CTRL_STATUS_SUCCESS,
  XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS,
  XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE,
  XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM,
  XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS,
  XEN_NETIF_CTRL_TYPE_SET_HASH_KEY,
  XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING,
  XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE,
} from "../../abi/io/netif";
import { SRING_HEADER } from "../../abi/io/ring";
import { read32, write32 } from "../../drivers/host/host";
import { eventSend } from "../../drivers/host/hypercalls";
import { RING_BROKEN, ringRequests, ringRequestsAwait, ringRespond } from "../ring";
import { copiesBegin, copiesRun, copiesStatus, copyIn } from "./frame/copies";
import { Vif, vifFail } from "./records";
import {
  extrasMake,
  extrasOf,
  HASH_KEY_BYTES,
  HASH_TABLE_ENTRIES,
  hashKey,
  hashTableSlot,
  VifExtras,
} from "./vif-extras";

const TYPES: u32 =
  XEN_NETIF_CTRL_HASH_TYPE_IPV4 |
  XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP |
  XEN_NETIF_CTRL_HASH_TYPE_IPV6 |
  XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP;

/** A page-aligned page would do; this does not cross one: what a request's page is copied to. */
const buffer: usize = memory.data(512, 512);
/** Result of the request in progress, besides its status. */
let result: u32 = 0;

/** Answers the requests that wait; outside a batch. At most the ring's slots, so that a frontend that goes on asking waits. */
export function ctrlRingServe(v: Vif): void {
  if (!v.ctrlRing || v.failing) return;
  const first = v.ctrlCons;
  const served = v.ctrlCons;
  let waiting = ringRequests(v.ctrlRing, first, served, NET_CTRL_RING_SIZE);
  if (!waiting) waiting = ringRequestsAwait(v.ctrlRing, first, served, NET_CTRL_RING_SIZE, 1);
  if (waiting == RING_BROKEN) {
    vifFail(v, VIF_FAIL_INDEX);
    return;
  }
  if (!waiting) return;
  for (let i: i32 = 0; i < waiting; i++) serveOne(v);
  if (ringRespond(v.ctrlRing, first, v.ctrlCons)) eventSend(v.ctrlPort);
  // One that came meanwhile has an event of its own.
  ringRequestsAwait(v.ctrlRing, v.ctrlCons, v.ctrlCons, NET_CTRL_RING_SIZE, 1);
}

function serveOne(v: Vif): void {
  const slot = v.ctrlRing + SRING_HEADER + <usize>(v.ctrlCons++ & (NET_CTRL_RING_SIZE - 1)) * NET_CTRL_SLOT;
  const head = read32(slot + NetifCtrlRequest.id);
  const data0 = read32(slot + NetifCtrlRequest.data0);
  const data1 = read32(slot + NetifCtrlRequest.data1);
  const data2 = read32(slot + NetifCtrlRequest.data2);
  result = 0;
  const status = perform(v, head >> 16, data0, data1, data2);
  write32(slot + NetifCtrlResponse.id, head);
  write32(slot + NetifCtrlResponse.status, status);
  write32(slot + NetifCtrlResponse.data, result);
}

function perform(v: Vif, type: u32, data0: u32, data1: u32, data2: u32): u32 {
  if (type == XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM) return setAlgorithm(v, data0);
  const x = extrasOf(v);
  const chosen = x != null && x.algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE;
  switch (type) {
    case XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
      result = TYPES;
      return chosen ? XEN_NETIF_CTRL_STATUS_SUCCESS : XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
      if (data0 & ~TYPES) return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
      if (!chosen) return XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
      x!.types = data0;
      return XEN_NETIF_CTRL_STATUS_SUCCESS;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
      return x == null ? XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED : setKey(v, x, data0, data1);
    case XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
      result = HASH_TABLE_ENTRIES;
      return XEN_NETIF_CTRL_STATUS_SUCCESS;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
      if (data0 > HASH_TABLE_ENTRIES) return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
      if (x == null) return XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
      x.tableEntries = data0;
      memory.fill(hashTableSlot(x, 0), 0, HASH_TABLE_ENTRIES);
      return XEN_NETIF_CTRL_STATUS_SUCCESS;
    case XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
      return x == null ? XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED : setTable(v, x, data0, data1, data2);
    default:
      return XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
  }
}

function setAlgorithm(v: Vif, algorithm: u32): u32 {
  if (algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_NONE && algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ) {
    return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
  }
  const x = extrasMake(v);
  if (x == null) return XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED;
  x.algorithm = algorithm;
  return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

/** Copies the first `length` bytes of a granted page to `buffer`. */
function fetch(v: Vif, ref: u32, length: u32): bool {
  copiesBegin();
  copyIn(v.stable.domid, ref, 0, buffer, length);
  copiesRun();
  return copiesStatus(0, 1) == GNTST_okay;
}

function setKey(v: Vif, x: VifExtras, ref: u32, length: u32): u32 {
  if (length > HASH_KEY_BYTES) return XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW;
  if (length && !fetch(v, ref, length)) return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
  memory.fill(hashKey(x), 0, HASH_KEY_BYTES);
  memory.copy(hashKey(x), buffer, length);
  return XEN_NETIF_CTRL_STATUS_SUCCESS;
}

function setTable(v: Vif, x: VifExtras, ref: u32, entries: u32, first: u32): u32 {
  if (first > x.tableEntries || entries > x.tableEntries - first) return XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW;
  if (!entries) return XEN_NETIF_CTRL_STATUS_SUCCESS;
  if (!fetch(v, ref, entries << 2)) return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
  for (let i: u32 = 0; i < entries; i++) {
    if (load<u32>(buffer + ((<usize>i) << 2)) >= v.stable.queueCount) return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
  }
  for (let i: u32 = 0; i < entries; i++) store<u8>(hashTableSlot(x, first + i), load<u8>(buffer + ((<usize>i) << 2)));
  return XEN_NETIF_CTRL_STATUS_SUCCESS;
}
