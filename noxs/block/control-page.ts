/**
 * Control pages: how a NoXS frontend and a vbd speak (abi/io/noxs.ts). The page is in stable memory, granted to the guest, which has
 * it mapped over a restart of this domain. What the frontend writes there is read once.
 */
import { VDISK_READONLY } from "../../abi/io/blkif";
import {
  VBD_FAIL_CONFIG,
  VBD_FE_PERSISTENT,
  VBD_PROTOCOL_X86_32,
  VBD_PROTOCOL_X86_64,
  VBD_RING_ORDER_MAX,
  VBD_RINGS_MAX,
  VBD_SEGMENTS_MAX,
} from "../../abi/io/control-block";
import {
  NOXS_VBD_BE_barrier,
  NOXS_VBD_BE_discard,
  NOXS_VBD_BE_flush_cache,
  NOXS_VBD_BE_persistent,
  NOXS_VBD_FE_persistent,
  noxs_vbd_mode_rdonly,
  noxs_vbd_mode_rdwr,
  noxs_vbd_type_phy,
  NoxsCtrlHdr,
  NoxsVbdCtrlPage,
} from "../../abi/io/noxs";
import {
  XenbusStateClosed,
  XenbusStateClosing,
  XenbusStateConnected,
  XenbusStateInitialised,
  XenbusStateInitialising,
  XenbusStateInitWait,
} from "../../abi/io/xenbus";
import { BLOCK_CAN_DISCARD, BlockDevice } from "../../drivers/block";
import { eventForget, eventHandle } from "../../drivers/host/events";
import { grantAccess, grantAccessAs, grantEnd } from "../../drivers/host/grants";
import { barrier, read32, read8, systemTime, write32, write64, write8 } from "../../drivers/host/host";
import { eventAllocUnbound, eventBindInterdomain, eventClose, eventRemotePort } from "../../drivers/host/hypercalls";
import { portAgain, portKeep } from "../../drivers/host/kept-ports";
import { Timer, timerArmed, timerInit, timerSet } from "../../drivers/host/timer";
import { frontendTell } from "../watch";
import { controlPage, ringRef, stableRing, stableVbdAt, Vbd, VBDS_MAX } from "./records";

/** What a frontend wants: connected with what the vbd's record says; to be disconnected. */
export type FrontendFn = (vbd: Vbd, connect: bool) => void;

let frontendFn: usize = 0;
const goingTimer = changetype<Timer>(memory.data(32, 8));
const GOING_NS: u64 = 1000000000;

export function controlPagesInit(fn: FrontendFn): void {
  frontendFn = changetype<usize>(fn);
  timerInit(goingTimer, goingSweep, 0);
}

/** Makes a vbd's control page, grants it and allocates its port. False when there is no room. */
export function controlPageMake(v: Vbd): bool {
  const s = v.stable;
  const page = controlPage(v.index);
  memory.fill(page, 0, 4096);
  write32(page + NoxsCtrlHdr.devid, s.vdev);
  write32(page + NoxsCtrlHdr.be_state, XenbusStateInitWait);
  write32(page + NoxsVbdCtrlPage.max_rings, VBD_RINGS_MAX);
  write32(page + NoxsVbdCtrlPage.max_ring_page_order, VBD_RING_ORDER_MAX);
  const ref = grantAccess(s.domid, page);
  if (!ref) return false;
  const port = eventAllocUnbound(s.domid);
  if (port < 0 || !eventHandle(port, notified, changetype<usize>(v))) {
    if (port >= 0) eventClose(port);
    grantEnd(ref);
    return false;
  }
  s.grant = ref;
  s.port = port;
  s.frontPort = 0;
  portKeep(port);
  return true;
}

/** Writes what the disk is, which may have changed. */
export function controlPageProperties(v: Vbd): void {
  const s = v.stable;
  const page = controlPage(v.index);
  const d = changetype<BlockDevice>(v.target.device);
  const writable = s.writable != 0;
  const discards = writable && (d.features & BLOCK_CAN_DISCARD) != 0;
  store<u16>(page, <u16>VBD_SEGMENTS_MAX, NoxsVbdCtrlPage.be_max_indirect_segments);
  let flags: u32 = NOXS_VBD_BE_persistent;
  if (writable) flags |= NOXS_VBD_BE_barrier | NOXS_VBD_BE_flush_cache;
  if (discards) flags |= NOXS_VBD_BE_discard;
  write8(page + NoxsVbdCtrlPage.be_flags, flags);
  write32(page + NoxsVbdCtrlPage.type, noxs_vbd_type_phy);
  write32(page + NoxsVbdCtrlPage.mode, writable ? noxs_vbd_mode_rdwr : noxs_vbd_mode_rdonly);
  write32(page + NoxsVbdCtrlPage.info, writable ? 0 : VDISK_READONLY);
  write64(page + NoxsVbdCtrlPage.sectors, d.sectors);
  write64(page + NoxsVbdCtrlPage.sector_size, d.sectorSize);
  write64(page + NoxsVbdCtrlPage.sector_size_physical, d.physicalSectorSize);
  write32(page + NoxsVbdCtrlPage.discard_enable, discards ? 1 : 0);
  write32(page + NoxsVbdCtrlPage.discard_granularity, discards ? max(d.discardAlignment << 9, d.sectorSize) : 0);
  frontendTell(page, s.port);
}

function setState(v: Vbd, state: u32): void {
  const page = controlPage(v.index);
  write32(page + NoxsCtrlHdr.be_state, state);
  frontendTell(page, v.stable.port);
}

/** The vbd has been connected or disconnected: the page says so. */
export function controlPageState(v: Vbd): void {
  if (!v.stable.port) return;
  const state = read32(controlPage(v.index) + NoxsCtrlHdr.fe_state);
  if (v.stable.connected) setState(v, XenbusStateConnected);
  else if (state == XenbusStateInitialising) setState(v, XenbusStateInitWait);
  else setState(v, state == XenbusStateClosing ? XenbusStateClosing : XenbusStateClosed);
}

function notified(record: usize): void {
  const v = changetype<Vbd>(record);
  const s = v.stable;
  if (!s.frontPort) s.frontPort = eventRemotePort(s.port);
  controlPageLook(v);
}

/** Looks at what the frontend wants. */
export function controlPageLook(v: Vbd): void {
  const s = v.stable;
  if (v.disconnecting || v.removing) return;
  const state = read32(controlPage(v.index) + NoxsCtrlHdr.fe_state);
  if ((state == XenbusStateConnected || state == XenbusStateInitialised) && !s.connected) {
    if (!readFrontend(v)) {
      s.failure = VBD_FAIL_CONFIG;
      setState(v, XenbusStateClosed);
      return;
    }
    changetype<FrontendFn>(frontendFn)(v, true);
  } else if (state == XenbusStateConnected && read32(controlPage(v.index) + NoxsCtrlHdr.be_state) != state) {
    // Connected already: the domain died before it could say so.
    setState(v, XenbusStateConnected);
  } else if (state == XenbusStateClosing || state == XenbusStateClosed) {
    if (s.connected) changetype<FrontendFn>(frontendFn)(v, false);
    else if (read32(controlPage(v.index) + NoxsCtrlHdr.be_state) != state) controlPageState(v);
  } else if (state == XenbusStateInitialising && s.connected) {
    // It has started anew without a word.
    changetype<FrontendFn>(frontendFn)(v, false);
  } else if (
    state == XenbusStateInitialising &&
    read32(controlPage(v.index) + NoxsCtrlHdr.be_state) != XenbusStateInitWait
  ) {
    setState(v, XenbusStateInitWait);
  }
}

/** Copies what the frontend has written into the vbd's record; false when it cannot be. */
function readFrontend(v: Vbd): bool {
  const s = v.stable;
  const page = controlPage(v.index);
  barrier();
  const rings = max<u32>(read32(page + NoxsVbdCtrlPage.num_rings), 1);
  const order = read32(page + NoxsVbdCtrlPage.ring_page_order);
  if (rings > VBD_RINGS_MAX || order > VBD_RING_ORDER_MAX) return false;
  // "x86_64-abi" or "x86_32-abi"; a frontend that says nothing is of 64 bits.
  const narrow = read8(page + NoxsVbdCtrlPage.protocol + 4) == 0x33;
  let at = page + NoxsVbdCtrlPage.rings_start_addr;
  for (let i: u32 = 0; i < rings; i++) {
    const r = stableRing(s, i);
    r.port = read32(at);
    at += 4;
    for (let p: u32 = 0; p < (<u32>1) << order; p++) {
      store<u32>(ringRef(r, p), read32(at));
      at += 4;
    }
  }
  s.rings = rings;
  s.order = order;
  s.protocol = narrow ? VBD_PROTOCOL_X86_32 : VBD_PROTOCOL_X86_64;
  s.features = read8(page + NoxsVbdCtrlPage.fe_feat) & NOXS_VBD_FE_persistent ? VBD_FE_PERSISTENT : 0;
  return true;
}

// --- After a restart, and at the end ---------------------------------------------------------------------------------------

/** Grants the pages of all vbds again, under the references that guests know, before anything else is granted. */
export function controlPagesGrant(): void {
  for (let i: u32 = 0; i < VBDS_MAX; i++) {
    const s = stableVbdAt(i);
    if (s.grant && (s.present || s.going)) grantAccessAs(s.grant, s.domid, controlPage(i));
    if (s.going && !timerArmed(goingTimer)) timerSet(goingTimer, systemTime() + GOING_NS);
  }
}

/** Opens the port again, under the number that the guest knows: bound to the frontend's, or awaiting one. */
export function controlPagePort(v: Vbd): void {
  const s = v.stable;
  const former = portAgain(s.port);
  if (former) s.frontPort = former;
  let port = s.frontPort ? eventBindInterdomain(s.domid, s.frontPort) : -1;
  if (port < 0) {
    s.frontPort = 0;
    port = eventAllocUnbound(s.domid);
  }
  s.port = port > 0 && eventHandle(port, notified, changetype<usize>(v)) ? port : 0;
  if (s.frontPort && s.port) controlPageLook(v);
}

/** The vbd is gone. Its page is free when the guest has let go of it. */
export function controlPageEnd(v: Vbd): void {
  const s = v.stable;
  write32(controlPage(v.index) + NoxsCtrlHdr.be_state, XenbusStateClosed);
  if (s.port) {
    eventForget(s.port);
    eventClose(s.port);
    s.port = 0;
  }
  if (!s.grant || grantEnd(s.grant)) {
    s.grant = 0;
    return;
  }
  s.going = 1;
  if (!timerArmed(goingTimer)) timerSet(goingTimer, systemTime() + GOING_NS);
}

function goingSweep(_record: usize): void {
  let left = false;
  for (let i: u32 = 0; i < VBDS_MAX; i++) {
    const s = stableVbdAt(i);
    if (!s.going) continue;
    if (grantEnd(s.grant)) {
      s.grant = 0;
      s.going = 0;
    } else {
      left = true;
    }
  }
  if (left) timerSet(goingTimer, systemTime() + GOING_NS);
}
