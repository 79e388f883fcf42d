/** Connecting a vbd to its frontend's rings and ports, and the way back. */
import {
  GNTMAP_host_map,
  GNTST_okay,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
} from "../../abi/grant-table";
import { BLKIF_SLOT, BLKIF_SLOT_32 } from "../../abi/io/blkif";
import {
  VBD_FAIL_CONFIG,
  VBD_FAIL_MAP,
  VBD_FAIL_MEMORY,
  VBD_FAIL_PORT,
  VBD_PROTOCOL_X86_32,
  VBD_RING_ORDER_MAX,
  VBD_RINGS_MAX,
} from "../../abi/io/control-block";
import { Sring, SRING_HEADER } from "../../abi/io/ring";
import { eventForget, eventHandle } from "../../drivers/host/events";
import { read32 } from "../../drivers/host/host";
import { eventBindInterdomain, eventClose, eventSend, grantTableOp } from "../../drivers/host/hypercalls";
import { windowRange, windowRangeGive } from "../../drivers/host/window";
import { persistentDrop } from "./grants";
import { Ring, ringOf, ringRef, stableRing, StableRing, Vbd } from "./records";
import { activate, deactivate } from "./schedule";

const argument: usize = memory.data(32, 8);

function notified(record: usize): void {
  activate(changetype<Vbd>(changetype<Ring>(record).vbd));
}

/** Slots of a ring of 2^order pages: the largest power of two that fits. */
function slotsOf(order: u32, slotBytes: u32): u32 {
  const fit = (((<u32>4096) << order) - SRING_HEADER) / slotBytes;
  return 1 << (31 - clz(fit));
}

/**
 * Connects a vbd whose record in stable memory says how.
 * @param again after a restart of the domain: the rings are in use
 * @returns 0, or VBD_FAIL_*: nothing is connected
 */
export function vbdConnect(v: Vbd, again: bool): u32 {
  const s = v.stable;
  if (s.rings == 0 || s.rings > VBD_RINGS_MAX || s.order > VBD_RING_ORDER_MAX) return VBD_FAIL_CONFIG;
  if (s.protocol > VBD_PROTOCOL_X86_32) return VBD_FAIL_CONFIG;
  for (let i: u32 = 0; i < s.rings; i++) {
    const failure = ringConnect(v, i, again);
    if (failure == 0) continue;
    ringsDrop(v);
    return failure;
  }
  s.connected = 1;
  v.nextRing = 0;
  v.deficit = 0;
  return 0;
}

function ringConnect(v: Vbd, i: u32, again: bool): u32 {
  const s = v.stable;
  const ring = ringOf(v, i);
  const stable = stableRing(s, i);
  ring.order = s.order;
  ring.slotBytes = s.protocol == VBD_PROTOCOL_X86_32 ? BLKIF_SLOT_32 : BLKIF_SLOT;
  ring.slots = slotsOf(s.order, ring.slotBytes);
  const place = windowRange(s.order);
  if (!place) return VBD_FAIL_MEMORY;
  const pages: u32 = 1 << s.order;
  for (let page: u32 = 0; page < pages; page++) {
    if (mapPage(s.domid, load<u32>(ringRef(stable, page)), place + ((<usize>page) << 12), ring, page)) continue;
    for (let undo: u32 = 0; undo < page; undo++) unmapPage(place + ((<usize>undo) << 12), ring, undo);
    windowRangeGive(place, s.order);
    return VBD_FAIL_MAP;
  }
  ring.mapped = place;
  if (again) {
    ring.consumed = stable.consumed;
    ring.produced = producedOf(ring, stable);
  } else {
    // A frontend that has used the ring before goes on where its responses end.
    ring.produced = read32(place + Sring.rsp_prod);
    ring.consumed = ring.produced;
    stable.consumed = ring.consumed;
    stable.answered = ring.produced;
  }
  ring.published = ring.produced;
  const port = eventBindInterdomain(s.domid, stable.port);
  if (port < 0) return VBD_FAIL_PORT;
  ring.port = port;
  if (!eventHandle(port, notified, changetype<usize>(ring))) return VBD_FAIL_MEMORY;
  // The domain may have died between publishing responses and their event.
  if (again) eventSend(port);
  return 0;
}

/** Responses that were published when the domain died: it may have done so without noting it. */
function producedOf(ring: Ring, stable: StableRing): u32 {
  const there = read32(ring.mapped + Sring.rsp_prod);
  return there - stable.answered <= stable.consumed - stable.answered ? there : stable.answered;
}

function mapPage(domid: u32, ref: u32, linear: usize, ring: Ring, page: u32): bool {
  memory.fill(argument, 0, GnttabMapGrantRef.SIZE);
  store<u64>(argument, linear, GnttabMapGrantRef.host_addr);
  store<u32>(argument, GNTMAP_host_map, GnttabMapGrantRef.flags);
  store<u32>(argument, ref, GnttabMapGrantRef.ref);
  store<u16>(argument, <u16>domid, GnttabMapGrantRef.dom);
  if (grantTableOp(GNTTABOP_map_grant_ref, argument, 1) != 0) return false;
  if (load<i16>(argument, GnttabMapGrantRef.status) != GNTST_okay) return false;
  store<u32>(ring.handles + ((<usize>page) << 2), load<u32>(argument, GnttabMapGrantRef.handle));
  return true;
}

function unmapPage(linear: usize, ring: Ring, page: u32): void {
  memory.fill(argument, 0, GnttabUnmapGrantRef.SIZE);
  store<u64>(argument, linear, GnttabUnmapGrantRef.host_addr);
  store<u32>(argument, load<u32>(ring.handles + ((<usize>page) << 2)), GnttabUnmapGrantRef.handle);
  grantTableOp(GNTTABOP_unmap_grant_ref, argument, 1);
}

/** Unmaps a vbd's rings and closes their ports. No request is in progress. */
export function ringsDrop(v: Vbd): void {
  deactivate(v);
  for (let i: u32 = 0; i < VBD_RINGS_MAX; i++) {
    const ring = ringOf(v, i);
    if (ring.port) {
      eventForget(ring.port);
      eventClose(ring.port);
      ring.port = 0;
    }
    if (!ring.mapped) continue;
    const pages: u32 = 1 << ring.order;
    for (let page: u32 = 0; page < pages; page++) unmapPage(ring.mapped + ((<usize>page) << 12), ring, page);
    windowRangeGive(ring.mapped, ring.order);
    ring.mapped = 0;
  }
  persistentDrop(v);
  v.stable.connected = 0;
}
