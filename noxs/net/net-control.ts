/**
 * Bridges and vifs on request of domain 0 (abi/io/control-net.ts). Each request is checked whole before anything changes; on an
 * error nothing has.
 */
import { EADDRINUSE, EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC } from "../../abi/errno";
import {
  BRIDGE_ARP_PROXY,
  BRIDGE_DHCP,
  BRIDGE_NAME_BYTES,
  BridgeCapture,
  BridgeCreate,
  BridgeDump,
  BridgeUplink,
  NIC_NONE,
  VIF_ANY_ADDRESS,
  VIF_ANY_MAC,
  VIF_FAIL_NONE,
  VIF_MODEL_NOXS,
  VIF_MODEL_XENBUS,
  VIF_QUEUES_MAX,
  VifAdd,
  VifAddResponse,
  VifConnect,
  VifConnectQueue,
  VifSetRate,
} from "../../abi/io/control-net";
import {
  addressesEnter,
  addressesRemove,
  forgetPort,
  ipv4Owner,
  macIsGroup,
  macLoad,
  macOwner,
  PORT_UPLINK,
} from "./addresses";
import { arpForget } from "./arp";
import { Bridge, bridgeAllocate, bridgeFind, bridgeJoin, bridgeLeave, bridgeOf } from "./bridges";
import { captureRead, captureStart } from "./capture";
import { nowNs } from "./structures/clock";
import { vifConnect, vifDisconnect } from "./connect";
import { controlPageFree, controlPageMake, goingAdd, goingSweep, gone } from "./control-page";
import { serverMac } from "./dhcp";
import { floodForget } from "./flood";
import {
  stableQueueOf,
  stableVifAt,
  StableVif,
  Vif,
  vifAt,
  vifFind,
  vifIndexFree,
  vifIndexGive,
  vifName,
  vifUnname,
} from "./records";
import { bucketOf } from "./schedule";
import { bucketInit } from "./structures/token-bucket";
import { uplinkAttach, uplinkCard, uplinkDetach } from "./uplink";

const LEASE_DEFAULT: u32 = 86400;
/** What a vif without a burst of its own may send at once: a twentieth of a second's, and at least a large frame. */
const BURSTS_PER_SECOND: u64 = 20;
const BURST_MIN: u64 = 65536;

/** Whether a name has at least a character, and only NULs after its end. */
function nameIsValid(name: usize): bool {
  let ended = false;
  for (let i: u32 = 0; i < BRIDGE_NAME_BYTES; i++) {
    const c = load<u8>(name + i);
    if (!c) ended = true;
    else if (ended || c < 0x21 || c > 0x7e) return false;
  }
  return load<u8>(name) != 0;
}

// --- Bridges -------------------------------------------------------------------------------------------------------------

/** BRIDGE_CREATE: -EEXIST a bridge has this name; -ENOSPC there are too many; -EINVAL a field that makes no sense. */
export function bridgeCreate(request: usize): i32 {
  const name = request + BridgeCreate.name;
  const flags = load<u32>(request, BridgeCreate.flags);
  const prefix = load<u32>(request, BridgeCreate.prefix);
  const gateway = load<u32>(request, BridgeCreate.gateway);
  const server = load<u32>(request, BridgeCreate.server);
  if (!nameIsValid(name) || flags & ~(BRIDGE_DHCP | BRIDGE_ARP_PROXY) || prefix > 32) return -EINVAL;
  if (flags & BRIDGE_DHCP && !gateway && !server) return -EINVAL;
  if (bridgeFind(name) != null) return -EEXIST;
  const b = bridgeAllocate(name);
  if (b == null) return -ENOSPC;
  const s = b.stable;
  const lease = load<u32>(request, BridgeCreate.lease);
  s.flags = flags;
  s.prefix = prefix;
  s.gateway = gateway;
  s.server = server;
  s.dns0 = load<u32>(request, BridgeCreate.dns0);
  s.dns1 = load<u32>(request, BridgeCreate.dns1);
  s.lease = lease ? lease : LEASE_DEFAULT;
  s.present = 1;
  return 0;
}

/** BRIDGE_DELETE: -ENOENT; -EBUSY it has vifs. */
export function bridgeDelete(request: usize): i32 {
  const b = bridgeFind(request);
  if (b == null) return -ENOENT;
  if (b.first) return -EBUSY;
  b.stable.present = 0;
  dropUplink(b);
  b.capture = 0;
  return 0;
}

function dropUplink(b: Bridge): void {
  uplinkDetach(b);
  b.stable.nic = NIC_NONE;
  forgetPort(b, PORT_UPLINK);
}

/** BRIDGE_UPLINK: -ENOENT no such bridge, or card; -EBUSY the bridge has a card, or the card a bridge; -EIO it does not start. */
export function bridgeUplink(request: usize): i32 {
  const b = bridgeFind(request);
  if (b == null) return -ENOENT;
  const nic = load<u32>(request, BridgeUplink.nic);
  if (nic == NIC_NONE) {
    dropUplink(b);
    return 0;
  }
  if (b.uplink) return -EBUSY;
  const card = uplinkCard(nic);
  if (!card) return -ENOENT;
  const rc = uplinkAttach(b, card);
  if (rc == 0) b.stable.nic = nic;
  return rc;
}

/** BRIDGE_CAPTURE: -ENOENT; -ENOMEM. */
export function bridgeCapture(request: usize, response: usize): i32 {
  const b = bridgeFind(request);
  if (b == null) return -ENOENT;
  return captureStart(b, load<u32>(request, BridgeCapture.bytes), response) ? 0 : -ENOMEM;
}

/** BRIDGE_DUMP: -ENOENT. */
export function bridgeDump(request: usize, response: usize, bulk: usize, room: u32): i32 {
  const b = bridgeFind(request);
  if (b == null) return -ENOENT;
  captureRead(b, load<u64>(request, BridgeDump.position), bulk, room, response);
  return 0;
}

// --- Vifs ----------------------------------------------------------------------------------------------------------------

/**
 * VIF_ADD: -EINVAL; -ENOENT no such bridge; -EEXIST the domain has such a vif, with other properties; -EADDRINUSE its MAC or IPv4
 * address is another vif's on the bridge, or the bridge's own; -ENOSPC there are too many; -ENOMEM no grant or port is left.
 */
export function vifAdd(request: usize, response: usize): i32 {
  const domid = load<u32>(request, VifAdd.domid);
  const devid = load<u32>(request, VifAdd.devid);
  const model = load<u32>(request, VifAdd.model);
  const flags = load<u32>(request, VifAdd.flags);
  const mac = macLoad(request + VifAdd.mac);
  const ipv4 = load<u32>(request, VifAdd.ipv4);
  if (domid > 0x7fef || (model != VIF_MODEL_NOXS && model != VIF_MODEL_XENBUS)) return -EINVAL;
  if (!mac || macIsGroup(mac) || flags & ~(VIF_ANY_MAC | VIF_ANY_ADDRESS)) return -EINVAL;
  const b = bridgeFind(request + VifAdd.bridge);
  if (b == null) return -ENOENT;
  const present = vifFind(domid, devid);
  if (present != null) {
    const p = present.stable;
    if (p.mac != mac || p.ipv4 != ipv4 || p.model != model || p.flags != flags || bridgeOf(present) != b)
      return -EEXIST;
    answerAdd(present, response);
    return 0;
  }
  if (macOwner(b, mac) != null || mac == serverMac(b)) return -EADDRINUSE;
  if (ipv4 && ipv4Owner(b, ipv4) != null) return -EADDRINUSE;
  goingSweep();
  const index = vifIndexFree();
  if (!index) return -ENOSPC;
  const v = vifAt(index);
  const s = stableVifAt(index);
  v.index = index;
  v.stable = s;
  s.domid = domid;
  s.devid = devid;
  s.model = model;
  s.flags = flags;
  s.ipv4 = ipv4;
  s.mac = mac;
  s.bridge = b.index;
  setRate(s, load<u64>(request, VifAdd.rate), load<u32>(request, VifAdd.burst));
  bridgeJoin(b, v);
  if (!addressesEnter(v) || !vifName(v) || (model == VIF_MODEL_NOXS && !controlPageMake(v))) {
    addressesRemove(v);
    vifUnname(v);
    bridgeLeave(v);
    vifIndexGive(v);
    return -ENOMEM;
  }
  if (flags & VIF_ANY_MAC) b.openVifs++;
  s.present = 1;
  answerAdd(v, response);
  return 0;
}

function answerAdd(v: Vif, response: usize): void {
  store<u32>(response, v.stable.grant, VifAddResponse.grant);
  store<u32>(response, v.port, VifAddResponse.port);
}

/** VIF_REMOVE: -ENOENT. */
export function vifRemove(request: usize): i32 {
  const v = vifOf(request);
  if (v == null) return -ENOENT;
  const s = v.stable;
  arpForget(v);
  // Whichever of the two is seen after a restart in between, the removal goes on.
  s.going = 1;
  s.present = 0;
  vifDisconnect(v);
  floodForget(v);
  addressesRemove(v);
  vifUnname(v);
  bridgeLeave(v);
  if (s.flags & VIF_ANY_MAC) bridgeOf(v).openVifs--;
  if (s.model != VIF_MODEL_NOXS || controlPageFree(v)) gone(v);
  else goingAdd(v);
  return 0;
}

/** The vif that a request (VifKey at its start) is about. */
function vifOf(request: usize): Vif | null {
  return vifFind(load<u32>(request), load<u32>(request + 4));
}

/**
 * VIF_CONNECT: -ENOENT; -EINVAL not of model xenbus, or not as many queues as it says; -EBUSY it is connected; otherwise as
 * VifEntry.failure then says: -EIO.
 */
export function vifConnectRequest(request: usize, length: u32): i32 {
  const v = vifOf(request);
  if (v == null) return -ENOENT;
  const s = v.stable;
  const queues = load<u32>(request, VifConnect.queues);
  if (s.model != VIF_MODEL_XENBUS || !queues || queues > VIF_QUEUES_MAX) return -EINVAL;
  if (length < VifConnect.SIZE + queues * VifConnectQueue.SIZE) return -EINVAL;
  if (s.connected) return -EBUSY;
  s.queueCount = queues;
  s.features = load<u32>(request, VifConnect.features);
  s.ctrlRef = load<u32>(request, VifConnect.ctrl_ref);
  s.ctrlPort = load<u32>(request, VifConnect.ctrl_port);
  for (let i: u32 = 0; i < queues; i++) {
    const from = request + VifConnect.SIZE + <usize>i * VifConnectQueue.SIZE;
    const q = stableQueueOf(s, i);
    q.txRef = load<u32>(from, VifConnectQueue.tx_ref);
    q.rxRef = load<u32>(from, VifConnectQueue.rx_ref);
    q.txPort = load<u32>(from, VifConnectQueue.tx_port);
    q.rxPort = load<u32>(from, VifConnectQueue.rx_port);
  }
  const reason = vifConnect(v, false);
  s.failure = reason;
  return reason == VIF_FAIL_NONE ? 0 : -EIO;
}

/** VIF_DISCONNECT: -ENOENT; -EINVAL not of model xenbus. */
export function vifDisconnectRequest(request: usize): i32 {
  const v = vifOf(request);
  if (v == null) return -ENOENT;
  if (v.stable.model != VIF_MODEL_XENBUS) return -EINVAL;
  vifDisconnect(v);
  return 0;
}

/** VIF_SET_RATE: -ENOENT. */
export function vifSetRate(request: usize): i32 {
  const v = vifOf(request);
  if (v == null) return -ENOENT;
  setRate(v.stable, load<u64>(request, VifSetRate.rate), load<u32>(request, VifSetRate.burst));
  bucketInit(bucketOf(v), v.stable.burst, nowNs);
  return 0;
}

function setRate(s: StableVif, rate: u64, burst: u32): void {
  s.rate = rate;
  const usual = max(rate / BURSTS_PER_SECOND, BURST_MIN);
  s.burst = burst ? burst : <u32>min(usual, 0x7fffffff);
}
