/** Listings of bridges and vifs for domain 0: entries from a cursor on, as many as fit (abi/io/control-net.ts). */
import {
  BRIDGE_NAME_BYTES,
  BridgeEntry,
  Counters,
  ListRequest,
  ListResponse,
  NicEntry,
  VIF_CONNECTED,
  VIF_FAIL_NONE,
  VIF_FAILED,
  VIF_GOING,
  VIF_WAITING,
  VifEntry,
} from "../../abi/io/control-net";
import { NetworkDevice, networkFirst } from "../../drivers/network";
import { Bridge, bridgeAt, bridgeCounters, bridgeName, bridgeOf } from "./bridges";
import { macStore } from "./addresses";
import { goingSweep } from "./control-page";
import { countersOf, stableHeader, StableVif, stableVifAt, vifAt } from "./records";

function answer(response: usize, cursor: u32, count: u32): i32 {
  store<u32>(response, cursor, ListResponse.cursor);
  store<u32>(response, count, ListResponse.count);
  return 0;
}

/** BRIDGE_LIST. */
export function bridgeList(request: usize, response: usize, bulk: usize, room: u32): i32 {
  let count: u32 = 0;
  for (let i = load<u32>(request, ListRequest.cursor); i < stableHeader.bridges; i++) {
    const b = bridgeAt(i);
    if (!b.stable.present) continue;
    if (room < BridgeEntry.SIZE) return answer(response, i, count);
    writeBridge(b, bulk);
    bulk += BridgeEntry.SIZE;
    room -= BridgeEntry.SIZE;
    count++;
  }
  return answer(response, 0, count);
}

function writeBridge(b: Bridge, to: usize): void {
  const s = b.stable;
  memory.fill(to, 0, BridgeEntry.SIZE);
  memory.copy(to + BridgeEntry.name, bridgeName(b), BRIDGE_NAME_BYTES);
  store<u32>(to, s.flags, BridgeEntry.flags);
  store<u32>(to, s.prefix, BridgeEntry.prefix);
  store<u32>(to, s.gateway, BridgeEntry.gateway);
  store<u32>(to, s.server, BridgeEntry.server);
  store<u32>(to, s.dns0, BridgeEntry.dns0);
  store<u32>(to, s.dns1, BridgeEntry.dns1);
  store<u32>(to, s.lease, BridgeEntry.lease);
  store<u32>(to, s.nic, BridgeEntry.nic);
  store<u32>(to, b.vifCount, BridgeEntry.vifs);
  store<u32>(to, b.learned, BridgeEntry.learned);
  store<u32>(to, b.capture, BridgeEntry.capture);
  memory.copy(to + BridgeEntry.counters, bridgeCounters(b), Counters.SIZE);
}

/** VIF_LIST: in no particular order; a cursor is a vif's index. */
export function vifList(request: usize, response: usize, bulk: usize, room: u32): i32 {
  let count: u32 = 0;
  // What was removed while its guest mapped its page is not shown for longer than it is so.
  if (!load<u32>(request, ListRequest.cursor)) goingSweep();
  for (let i = max(load<u32>(request, ListRequest.cursor), 1); i <= stableHeader.vifs; i++) {
    const s = stableVifAt(i);
    if (!s.present && !s.going) continue;
    if (room < VifEntry.SIZE) return answer(response, i, count);
    writeVif(i, s, bulk);
    bulk += VifEntry.SIZE;
    room -= VifEntry.SIZE;
    count++;
  }
  return answer(response, 0, count);
}

function stateOf(s: StableVif): u32 {
  if (!s.present) return VIF_GOING;
  if (s.connected) return VIF_CONNECTED;
  return s.failure == VIF_FAIL_NONE ? VIF_WAITING : VIF_FAILED;
}

function writeVif(index: u32, s: StableVif, to: usize): void {
  const v = vifAt(index);
  memory.fill(to, 0, VifEntry.SIZE);
  store<u32>(to, s.domid, VifEntry.domid);
  store<u32>(to, s.devid, VifEntry.devid);
  store<u32>(to, s.model, VifEntry.model);
  store<u32>(to, s.flags, VifEntry.flags);
  macStore(to + VifEntry.mac, s.mac);
  store<u32>(to, s.ipv4, VifEntry.ipv4);
  store<u32>(to, s.burst, VifEntry.burst);
  store<u64>(to, s.rate, VifEntry.rate);
  if (s.present) memory.copy(to + VifEntry.bridge, bridgeName(bridgeOf(v)), BRIDGE_NAME_BYTES);
  store<u32>(to, stateOf(s), VifEntry.state);
  store<u32>(to, s.failure, VifEntry.failure);
  store<u32>(to, s.connected ? s.queueCount : 0, VifEntry.queues);
  store<u32>(to, s.features, VifEntry.features);
  store<u32>(to, s.grant, VifEntry.grant);
  store<u32>(to, v.port, VifEntry.port);
  memory.copy(to + VifEntry.counters, countersOf(v), Counters.SIZE);
}

const DRIVER_BYTES: u32 = 16;

/** NIC_LIST: a cursor is a card's index. */
export function nicList(request: usize, response: usize, bulk: usize, room: u32): i32 {
  let index: u32 = 0;
  let count: u32 = 0;
  const first = load<u32>(request, ListRequest.cursor);
  for (let at = networkFirst(); at; at = changetype<NetworkDevice>(at).next) {
    if (index++ < first) continue;
    if (room < NicEntry.SIZE) return answer(response, index - 1, count);
    writeNic(changetype<NetworkDevice>(at), bulk);
    bulk += NicEntry.SIZE;
    room -= NicEntry.SIZE;
    count++;
  }
  return answer(response, 0, count);
}

function writeNic(d: NetworkDevice, to: usize): void {
  memory.fill(to, 0, NicEntry.SIZE);
  const name = changetype<string>(d.name);
  const length = d.name ? min<u32>(name.length, DRIVER_BYTES - 1) : 0;
  for (let i: u32 = 0; i < length; i++) store<u8>(to + i, <u8>load<u16>(d.name + ((<usize>i) << 1)));
  store<u32>(to, d.address, NicEntry.address);
  store<u32>(to, d.features, NicEntry.features);
  macStore(to + NicEntry.mac, d.mac);
  store<u32>(to, d.mtu, NicEntry.mtu);
  store<u32>(to, d.linkUp, NicEntry.link);
  store<u32>(to, d.state, NicEntry.state);
  if (d.client) memory.copy(to + NicEntry.bridge, bridgeName(changetype<Bridge>(d.client)), BRIDGE_NAME_BYTES);
  store<u64>(to, d.received, NicEntry.received);
  store<u64>(to, d.receivedBytes, NicEntry.received_bytes);
  store<u64>(to, d.receiveErrors, NicEntry.receive_errors);
  store<u64>(to, d.sent, NicEntry.sent);
  store<u64>(to, d.sentBytes, NicEntry.sent_bytes);
  store<u64>(to, d.sendErrors, NicEntry.send_errors);
  store<u32>(to, d.resets, NicEntry.resets);
}
