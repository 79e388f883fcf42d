/**
 * A vif's NoXS control page: the back end's side of the handshake (abi/io/noxs.ts). The page is stable memory granted to the
 * guest, which may write anything into it at any time: each field is read once, and checked where it is used. What the back
 * end believes is in its own records, never read back from the page, but for its own state.
 *
 *     InitWait  -> frontend Connected: rings mapped, Connected   (or Closing, when they cannot be)
 *     Connected -> frontend Closing: disconnected, Closing; frontend Closed: Closed
 *     Closed    -> frontend Initialising: InitWait
 *
 * After each change the frontend is told, whether it has asked for it or not (noxs/watch.ts).
 */
import { BRIDGE_NAME_BYTES, VIF_FAIL_CONFIG, VIF_FAIL_NONE } from "../../abi/io/control-net";
import {
  NOXS_VIF_BE_ctrl_ring,
  NOXS_VIF_BE_gso_tcpv4,
  NOXS_VIF_BE_gso_tcpv6,
  NOXS_VIF_BE_ipv6_csum_offload,
  NOXS_VIF_BE_rx_copy,
  NOXS_VIF_BE_rx_notify,
  NOXS_VIF_BE_sg,
  NOXS_VIF_BE_split_event_channels,
  NoxsCtrlHdr,
  NoxsVifCtrlPage,
} from "../../abi/io/noxs";
import {
  XenbusStateClosed,
  XenbusStateClosing,
  XenbusStateConnected,
  XenbusStateInitialising,
  XenbusStateInitWait,
} from "../../abi/io/xenbus";
import { eventForget, eventHandle } from "../../drivers/host/events";
import { grantAccess, grantAccessAs, grantEnd } from "../../drivers/host/grants";
import { read16, read32, write16, write32, write8 } from "../../drivers/host/host";
import { eventAllocUnbound, eventBindInterdomain, eventClose, eventRemotePort } from "../../drivers/host/hypercalls";
import { portAgain, portKeep } from "../../drivers/host/kept-ports";
import { stableRegion } from "../../drivers/host/stable";
import { frontendTell } from "../watch";
import { bridgeName, bridgeOf } from "./bridges";
import { vifConnect, vifDisconnect } from "./connect";
import { stableQueueOf, Vif, vifIndexGive, VIFS_MAX } from "./records";

const PAGE_BYTES: u32 = 4096;
/** What the back end can do. */
const FEATURES: u32 =
  NOXS_VIF_BE_rx_notify |
  NOXS_VIF_BE_sg |
  NOXS_VIF_BE_gso_tcpv4 |
  NOXS_VIF_BE_gso_tcpv6 |
  NOXS_VIF_BE_ipv6_csum_offload |
  NOXS_VIF_BE_rx_copy |
  NOXS_VIF_BE_split_event_channels |
  NOXS_VIF_BE_ctrl_ring;
/** Frontend features are bits 0 to 9 of VIF_FE_*. */
const FRONTEND_FEATURES: u32 = 0x3ff;
/** The page has room for one queue's rings. */
const QUEUES: u32 = 1;

let pages: usize = 0;

/** Before anything else here; false without memory. */
export function controlPagesInit(): bool {
  pages = stableRegion(0x4e435047, VIFS_MAX * PAGE_BYTES); // "NCPG"
  return pages != 0;
}

function pageOf(v: Vif): usize {
  return pages + <usize>(v.index - 1) * PAGE_BYTES;
}

/** Makes a vif's control page, grants it and allocates its port; false when there is no grant or no port left. */
export function controlPageMake(v: Vif): bool {
  const s = v.stable;
  const page = pageOf(v);
  memory.fill(page, 0, PAGE_BYTES);
  write32(page + NoxsCtrlHdr.devid, s.devid);
  write32(page + NoxsVifCtrlPage.vifid, s.devid);
  write16(page + NoxsVifCtrlPage.be_feat, FEATURES);
  write32(page + NoxsVifCtrlPage.multi_queue_max_queues, QUEUES);
  write32(page + NoxsVifCtrlPage.multi_queue_num_queues, 1);
  write32(page + NoxsVifCtrlPage.tx_ring_ref, 0xffffffff);
  write32(page + NoxsVifCtrlPage.rx_ring_ref, 0xffffffff);
  write32(page + NoxsVifCtrlPage.ctrl_ring_ref, 0xffffffff);
  for (let i: u32 = 0; i < 6; i++) write8(page + NoxsVifCtrlPage.mac + i, (<u32>(s.mac >> (i << 3))) & 0xff);
  write32(page + NoxsVifCtrlPage.ip, s.ipv4);
  const name = bridgeName(bridgeOf(v));
  // NUL-terminated, also when the name has all its bytes.
  for (let i: u32 = 0; i + 1 < BRIDGE_NAME_BYTES; i++) write8(page + NoxsVifCtrlPage.bridge + i, load<u8>(name + i));
  write32(page + NoxsCtrlHdr.be_state, XenbusStateInitWait);
  const ref = grantAccess(s.domid, page);
  if (!ref) return false;
  if (!openPort(v)) {
    grantEnd(ref);
    return false;
  }
  s.grant = ref;
  return true;
}

function openPort(v: Vif): bool {
  return usePort(v, eventAllocUnbound(v.stable.domid));
}

/** Makes a port, if it is one, the vif's; false, and the port closed, when it cannot be. */
function usePort(v: Vif, port: i32): bool {
  if (port < 0) return false;
  if (!eventHandle(port, onEvent, changetype<usize>(v))) {
    eventClose(port);
    return false;
  }
  v.port = port;
  v.stable.port = port;
  portKeep(port);
  return true;
}

/** After a restart of the domain: grants the page of a vif again, also of one that is going. */
export function controlPageGrant(v: Vif): void {
  if (v.stable.grant) grantAccessAs(v.stable.grant, v.stable.domid, pageOf(v));
}

/** Then opens its port, under the number that the guest knows: to where the guest's is, or awaiting it. */
export function controlPagePort(v: Vif): bool {
  const s = v.stable;
  const former = portAgain(s.port);
  if (former) s.remotePort = former;
  if (s.remotePort) {
    if (usePort(v, eventBindInterdomain(s.domid, s.remotePort))) {
      // The domain may have died between a change and its event.
      frontendTell(pageOf(v), v.port);
      return true;
    }
    s.remotePort = 0;
  }
  return openPort(v);
}

/** Ends the grant; false while the guest still maps the page: to be called again. */
export function controlPageFree(v: Vif): bool {
  if (v.port) {
    eventForget(v.port);
    eventClose(v.port);
    v.port = 0;
  }
  if (!v.stable.grant) return true;
  if (!grantEnd(v.stable.grant)) return false;
  v.stable.grant = 0;
  return true;
}

// --- Pages of vifs that were removed while their guests mapped them ----------------------------------------------------------

/** Pages looked at in one sweep. */
const GOING_LOOKS: u32 = 16;
/** Those vifs, linked by bridgeNext. */
let goingFirst: usize = 0;
let goingLast: usize = 0;

/** A vif that was removed is gone for good: its index is free. */
export function gone(v: Vif): void {
  v.stable.going = 0;
  vifIndexGive(v);
}

/** A vif's page is free when its guest is gone, or lets go of it. */
export function goingAdd(v: Vif): void {
  v.bridgeNext = 0;
  if (goingLast) changetype<Vif>(goingLast).bridgeNext = changetype<usize>(v);
  else goingFirst = changetype<usize>(v);
  goingLast = changetype<usize>(v);
}

/** Looks at some of them: what is not free goes to the end of the list. */
export function goingSweep(): void {
  const last = goingLast;
  for (let n: u32 = 0; n < GOING_LOOKS && goingFirst; n++) {
    const v = changetype<Vif>(goingFirst);
    goingFirst = v.bridgeNext;
    if (!goingFirst) goingLast = 0;
    if (controlPageFree(v)) gone(v);
    else goingAdd(v);
    if (changetype<usize>(v) == last) return;
  }
}

/** Sets the back end's state, and tells the frontend. */
function setState(v: Vif, state: u32): void {
  const page = pageOf(v);
  write32(page + NoxsCtrlHdr.be_state, state);
  frontendTell(page, v.port);
}

/** The vif was disconnected because its frontend broke the protocol: it is told so. */
export function controlPageFailed(v: Vif): void {
  setState(v, XenbusStateClosing);
}

function onEvent(record: usize): void {
  const v = changetype<Vif>(record);
  // Known once the guest has bound it: where a restart finds it again.
  if (!v.stable.remotePort) v.stable.remotePort = eventRemotePort(v.port);
  controlPageLook(v);
}

/** Looks at the frontend's state and does what it asks for. */
export function controlPageLook(v: Vif): void {
  const page = pageOf(v);
  const frontend = read32(page + NoxsCtrlHdr.fe_state);
  const own = read32(page + NoxsCtrlHdr.be_state);
  switch (frontend) {
    case XenbusStateConnected:
      // Connected already: the domain died before it could say so.
      if (own == XenbusStateInitWait && v.queues) setState(v, XenbusStateConnected);
      else if (own == XenbusStateInitWait || (!v.queues && own == XenbusStateConnected)) connect(v, page);
      break;
    case XenbusStateClosing:
      if (own == XenbusStateClosing || own == XenbusStateClosed) break;
      vifDisconnect(v);
      setState(v, XenbusStateClosing);
      break;
    case XenbusStateClosed:
      if (own == XenbusStateClosed) break;
      vifDisconnect(v);
      setState(v, XenbusStateClosed);
      break;
    case XenbusStateInitialising:
      // From Closed; a frontend that starts over without closing (kexec, a crash kernel) is let start over, too.
      if (own == XenbusStateInitWait) break;
      vifDisconnect(v);
      setState(v, XenbusStateInitWait);
      break;
  }
}

function connect(v: Vif, page: usize): void {
  const s = v.stable;
  const features = read16(page + NoxsVifCtrlPage.fe_feat) & FRONTEND_FEATURES;
  const queues = read32(page + NoxsVifCtrlPage.multi_queue_num_queues);
  const q = stableQueueOf(s, 0);
  q.txRef = read32(page + NoxsVifCtrlPage.tx_ring_ref);
  q.rxRef = read32(page + NoxsVifCtrlPage.rx_ring_ref);
  q.txPort = read32(page + NoxsVifCtrlPage.event_channel_tx);
  q.rxPort = read32(page + NoxsVifCtrlPage.event_channel_rx);
  s.ctrlRef = read32(page + NoxsVifCtrlPage.ctrl_ring_ref);
  s.ctrlPort = read32(page + NoxsVifCtrlPage.event_channel_ctrl);
  s.features = features;
  s.queueCount = queues;
  const copies = read32(page + NoxsVifCtrlPage.request_rx_copy) != 0;
  const reason = copies && queues <= QUEUES ? vifConnect(v, false) : VIF_FAIL_CONFIG;
  if (reason != VIF_FAIL_NONE) s.failure = reason;
  setState(v, reason == VIF_FAIL_NONE ? XenbusStateConnected : XenbusStateClosing);
}
