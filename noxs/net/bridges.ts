/**
 * Bridges: named sets of vifs and, if one is attached, a card (the uplink). A StableBridge is in stable memory; the rest is built
 * anew after a restart of the domain.
 */
import { BRIDGE_NAME_BYTES, Counters, NIC_NONE } from "../../abi/io/control-net";
import { heapAllocate } from "../../drivers/host/heap";
import { stableRegion } from "../../drivers/host/stable";
import { count, stableHeader, Vif } from "./records";

/** Most bridges. */
export const BRIDGES_MAX: u32 = 255;

@unmanaged
export class StableBridge {
  /** Written last when a bridge is made. */
  present: u32;
  flags: u32;
  prefix: u32;
  /** IPv4 addresses as in a frame, 0 for none. */
  gateway: u32;
  server: u32;
  dns0: u32;
  dns1: u32;
  lease: u32;
  nic: u32;
}

/** Behind the fields: the name, NUL-padded, and Counters. */
const NAME_AT: usize = 40;
const COUNTERS_AT: usize = 64;
const STABLE_BRIDGE_BYTES: u32 = 256;

@unmanaged
export class Bridge {
  stable: StableBridge;
  index: u32;
  /** Its vifs, linked by Vif.bridgeNext and bridgePrevious. */
  first: usize;
  vifCount: u32;
  /** Vifs that may send from any MAC address: they get frames to unknown ones. */
  openVifs: u32;
  /** MAC addresses learned on it. */
  learned: u32;
  /** uplink.ts: the card; 0: none. */
  uplink: usize;
  /** capture.ts: bytes of each frame; 0: nothing is captured. */
  capture: u32;
  /** When it was last read, s, and frames captured since it was started. */
  captureRead: u32;
  captured: u32;
  /** uplink.ts: the card's link is down; lines logged about it in the minute that is noted. */
  linkDown: u32;
  linkLines: u32;
  linkMinute: u32;
}

let stables: usize = 0;
let bridges: usize = 0;

/** Before anything else here; false without memory. */
export function bridgesInit(): bool {
  stables = stableRegion(0x4e425247, BRIDGES_MAX * STABLE_BRIDGE_BYTES); // "NBRG"
  bridges = heapAllocate(<usize>BRIDGES_MAX * offsetof<Bridge>());
  if (!stables || !bridges || offsetof<StableBridge>() > NAME_AT) return false;
  for (let i: u32 = 0; i < BRIDGES_MAX; i++) {
    const b = bridgeAt(i);
    b.index = i;
    b.stable = changetype<StableBridge>(stables + <usize>i * STABLE_BRIDGE_BYTES);
  }
  return true;
}

/** The bridge at an index below BRIDGES_MAX, present or not. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function bridgeAt(index: u32): Bridge {
  return changetype<Bridge>(bridges + <usize>index * offsetof<Bridge>());
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function bridgeOf(v: Vif): Bridge {
  return changetype<Bridge>(v.bridge);
}

/** Its name: BRIDGE_NAME_BYTES bytes. */
export function bridgeName(b: Bridge): usize {
  return changetype<usize>(b.stable) + NAME_AT;
}

/** Its Counters (abi/io/control-net.ts). */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function bridgeCounters(b: Bridge): usize {
  return changetype<usize>(b.stable) + COUNTERS_AT;
}

export function countBridgeDrops(b: Bridge, reason: u32, frames: u32 = 1): void {
  count(bridgeCounters(b), Counters.drops + (reason << 3), frames);
}

/** The bridge with the name at `name`; null when there is none. */
export function bridgeFind(name: usize): Bridge | null {
  for (let i: u32 = 0; i < stableHeader.bridges; i++) {
    const b = bridgeAt(i);
    if (b.stable.present && memory.compare(bridgeName(b), name, BRIDGE_NAME_BYTES) == 0) return b;
  }
  return null;
}

/** An unused bridge, its records empty but for the name; null when all are in use. */
export function bridgeAllocate(name: usize): Bridge | null {
  for (let i: u32 = 0; i < BRIDGES_MAX; i++) {
    const b = bridgeAt(i);
    if (i < stableHeader.bridges && b.stable.present) continue;
    if (i == stableHeader.bridges) stableHeader.bridges++;
    memory.fill(changetype<usize>(b.stable), 0, STABLE_BRIDGE_BYTES);
    memory.copy(bridgeName(b), name, BRIDGE_NAME_BYTES);
    b.stable.nic = NIC_NONE;
    return b;
  }
  return null;
}

/** Adds a vif to the list of its bridge's vifs. */
export function bridgeJoin(b: Bridge, v: Vif): void {
  v.bridge = changetype<usize>(b);
  v.bridgePrevious = 0;
  v.bridgeNext = b.first;
  if (b.first) changetype<Vif>(b.first).bridgePrevious = changetype<usize>(v);
  b.first = changetype<usize>(v);
  b.vifCount++;
}

export function bridgeLeave(v: Vif): void {
  const b = bridgeOf(v);
  if (v.bridgePrevious) changetype<Vif>(v.bridgePrevious).bridgeNext = v.bridgeNext;
  else b.first = v.bridgeNext;
  if (v.bridgeNext) changetype<Vif>(v.bridgeNext).bridgePrevious = v.bridgePrevious;
  b.vifCount--;
}
