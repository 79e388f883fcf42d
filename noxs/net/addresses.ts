/**
 * Who is where: MAC addresses to ports of a bridge, IPv4 addresses to vifs.
 *
 * A vif's configured addresses are fixed and never displaced. Others are learned from the source addresses of frames: on the
 * uplink, and on vifs that may send from any MAC address. A learned address is forgotten AGE_SECONDS after it was last seen; the
 * number of them is bounded, for each such vif by far more, so that a sender of random addresses displaces nobody's.
 */
import { VIF_ANY_MAC } from "../../abi/io/control-net";
import { Bridge, bridgeAt, bridgeOf } from "./bridges";
import { nowSeconds } from "./structures/clock";
import {
  KeyEntry,
  keyEntryAt,
  keyFind,
  keyInsert,
  keyRemove,
  KeyTable,
  keyTableInit,
  keyValue,
  PROBE_ANY,
} from "./structures/key-table";
import { Vif, vifAt, VIFS_MAX } from "./records";
import { heapAllocate } from "../../drivers/host/heap";

/** Port numbers: a vif's index, or the bridge's card. */
export const PORT_NONE: u32 = 0;
export const PORT_UPLINK: u32 = 0xffff;

/** As IEEE 802.1D recommends. */
const AGE_SECONDS: u32 = 300;
/** Most addresses learned: in all, from cards, from one vif; and how far a new one is probed. */
export const LEARNED_MAX: u32 = 2048;
export const LEARNED_UPLINKS: u32 = 1536;
export const LEARNED_PER_VIF: u32 = 64;
const LEARN_PROBES: u32 = 16;
/** KeyEntry.stamp of a configured address; of a learned one: when it was last seen, in seconds. */
const FIXED: u32 = 0xffffffff;
/** Entries looked at in a turn for old ones. */
const SWEEP: u32 = 256;

const macs: KeyTable = changetype<KeyTable>(memory.data(offsetof<KeyTable>(), 8));
const ipv4s: KeyTable = changetype<KeyTable>(memory.data(offsetof<KeyTable>(), 8));
/** Addresses learned in all, and of each vif, u16. */
let learnedAll: u32 = 0;
let learnedOf: usize = 0;
/** Where the sweep goes on, and the second in which it last ran. */
let sweepAt: u32 = 0;
let sweptAt: u32 = 0;

/** Before anything else here; false without memory. */
export function addressesInit(): bool {
  learnedOf = heapAllocate((<usize>VIFS_MAX + 1) << 1);
  return learnedOf != 0 && keyTableInit(macs, 4096) && keyTableInit(ipv4s, 256);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function macKey(bridge: u32, mac: u64): u64 {
  return mac | ((<u64>(bridge + 1)) << 48);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function ipv4Key(bridge: u32, address: u32): u64 {
  return (<u64>address) | ((<u64>(bridge + 1)) << 32);
}

/** A MAC address at `at`, the first byte lowest. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function macLoad(at: usize): u64 {
  return (<u64>load<u32>(at)) | ((<u64>load<u16>(at + 4)) << 32);
}

export function macStore(at: usize, mac: u64): void {
  store<u32>(at, <u32>mac);
  store<u16>(at + 4, <u16>(mac >> 32));
}

/** Broadcast or multicast. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function macIsGroup(mac: u64): bool {
  return (mac & 1) != 0;
}

export const MAC_BROADCAST: u64 = 0xffffffffffff;

/** The vif on a bridge that has this MAC address configured; null when there is none. */
export function macOwner(b: Bridge, mac: u64): Vif | null {
  const e = keyFind(macs, macKey(b.index, mac));
  return e != null && e.stamp == FIXED ? vifAt(e.value) : null;
}

/** The vif on a bridge that has this IPv4 address configured; null when there is none. */
export function ipv4Owner(b: Bridge, address: u32): Vif | null {
  const index = keyValue(ipv4s, ipv4Key(b.index, address));
  return index ? vifAt(index) : null;
}

/** Enters a vif's configured addresses, which no other on its bridge has; false when a table is full. */
export function addressesEnter(v: Vif): bool {
  const b = bridgeOf(v);
  const key = macKey(b.index, v.stable.mac);
  forget(keyFind(macs, key));
  const e = keyInsert(macs, key, v.index, PROBE_ANY);
  if (e == null) return false;
  e.stamp = FIXED;
  if (!v.stable.ipv4 || keyInsert(ipv4s, ipv4Key(b.index, v.stable.ipv4), v.index, PROBE_ANY) != null) return true;
  keyRemove(macs, key);
  return false;
}

/** Removes a vif's configured addresses, and what was learned from it. */
export function addressesRemove(v: Vif): void {
  const b = bridgeOf(v);
  keyRemove(macs, macKey(b.index, v.stable.mac));
  if (v.stable.ipv4) keyRemove(ipv4s, ipv4Key(b.index, v.stable.ipv4));
  if (v.stable.flags & VIF_ANY_MAC) forgetPort(b, v.index);
}

/** Forgets all that was learned on one port of a bridge: a removal moves entries, so the scan stays where it removed one. */
export function forgetPort(b: Bridge, port: u32): void {
  for (let i: u32 = 0; i <= macs.mask;) {
    const e = keyEntryAt(macs, i);
    if (e.key && e.stamp != FIXED && e.value == port && bridgeIndexOf(e) == b.index) forget(e);
    else i++;
  }
}

function bridgeIndexOf(e: KeyEntry): u32 {
  return <u32>(e.key >> 48) - 1;
}

function forget(e: KeyEntry | null): void {
  if (e == null) return;
  learnedAll--;
  bridgeAt(bridgeIndexOf(e)).learned--;
  if (e.value != PORT_UPLINK) {
    const slot = learnedOf + ((<usize>e.value) << 1);
    store<u16>(slot, load<u16>(slot) - 1);
  }
  keyRemove(macs, e.key);
}

/** The port of a bridge behind which `mac` is; PORT_NONE when it is not known. */
export function portOf(b: Bridge, mac: u64): u32 {
  const e = keyFind(macs, macKey(b.index, mac));
  if (e == null) return PORT_NONE;
  if (e.stamp != FIXED && nowSeconds - e.stamp > AGE_SECONDS) {
    forget(e);
    return PORT_NONE;
  }
  return e.value;
}

/**
 * Notes that a frame from `mac` came in at `port`.
 * @returns false when the address is configured for a vif, which a frame from elsewhere forges
 */
export function learn(b: Bridge, mac: u64, port: u32): bool {
  const key = macKey(b.index, mac);
  const e = keyFind(macs, key);
  if (e != null) {
    if (e.stamp == FIXED) return e.value == port;
    if (e.value == port) {
      e.stamp = nowSeconds;
      return true;
    }
    forget(e);
  }
  const isVif = port != PORT_UPLINK;
  const slot = learnedOf + (isVif ? (<usize>port) << 1 : 0);
  if (learnedAll >= (isVif ? LEARNED_MAX : LEARNED_UPLINKS)) return true;
  if (isVif && load<u16>(slot) >= LEARNED_PER_VIF) return true;
  const made = keyInsert(macs, key, port, LEARN_PROBES);
  if (made == null) return true;
  made.stamp = nowSeconds;
  learnedAll++;
  b.learned++;
  if (isVif) store<u16>(slot, load<u16>(slot) + 1);
  return true;
}

/** Forgets old addresses, some entries a second, so that they do not fill the table. */
export function addressesSweep(): void {
  if (sweptAt == nowSeconds || !learnedAll) return;
  sweptAt = nowSeconds;
  for (let n: u32 = 0; n < SWEEP; n++) {
    if (sweepAt > macs.mask) sweepAt = 0;
    const e = keyEntryAt(macs, sweepAt);
    if (e.key && e.stamp != FIXED && nowSeconds - e.stamp > AGE_SECONDS) forget(e);
    else sweepAt++;
  }
}
