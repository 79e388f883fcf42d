/**
 * The guest's side of event channels, 2-level ABI (xen/event_channel.h, xen/xen.h): pending and mask bits in
 * shared_info, a selector and an upcall flag in each vcpu_info. The guest changes all of them at any time, so every
 * update is one atomic operation on its memory and nothing read back is trusted. Ports are below EVTCHN_2L_NR_CHANNELS.
 *
 * Order matters and is Xen's: port pending, then selector, then upcall; the guest clears them the other way round.
 */
import { SharedInfo, VcpuInfo } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { Domain } from "../records/domain";
import { markUpcall, wakePollers } from "./event-notify";
import { vcpuInfoPa } from "./shared-info";
import { Vcpu } from "../records/vcpu";

// @ts-expect-error: decorator of AssemblyScript
@inline
function wordPa(d: Domain, array: u32, port: u32): u64 {
  return (d.sharedInfoMfn << 12) + array + ((port >> 6) << 3);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function bitOf(port: u32): u64 {
  return (<u64>1) << (port & 63);
}

/** Sets the selector bit of `port` and, if it was clear, the upcall flag; wakes the vCPU for a new upcall. */
function raise(v: Vcpu, port: u32): void {
  const info = vcpuInfoPa(v);
  if (!info) return;
  const word = bitOf(port >> 6);
  if (hw.fetchOr64(info + VcpuInfo.evtchn_pending_sel, word) & word) return;
  markUpcall(v);
}

/** Makes `port` of `d`, bound to `v`, pending. Does nothing if the port is already pending, as Xen. */
export function twoLevelSetPending(d: Domain, v: Vcpu, port: u32): void {
  if (!d.sharedInfoMfn) return;
  const bit = bitOf(port);
  if (hw.fetchOr64(wordPa(d, SharedInfo.evtchn_pending, port), bit) & bit) return;
  if (!(hw.load64(wordPa(d, SharedInfo.evtchn_mask, port)) & bit)) raise(v, port);
  wakePollers(d, port);
}

export function twoLevelClearPending(d: Domain, port: u32): void {
  if (d.sharedInfoMfn) hw.fetchAnd64(wordPa(d, SharedInfo.evtchn_pending, port), ~bitOf(port));
}

export function twoLevelIsPending(d: Domain, port: u32): bool {
  return d.sharedInfoMfn != 0 && (hw.load64(wordPa(d, SharedInfo.evtchn_pending, port)) & bitOf(port)) != 0;
}

export function twoLevelIsMasked(d: Domain, port: u32): bool {
  return d.sharedInfoMfn != 0 && (hw.load64(wordPa(d, SharedInfo.evtchn_mask, port)) & bitOf(port)) != 0;
}

/** Clears the mask bit; if the port is pending, the event is raised on `v`. */
export function twoLevelUnmask(d: Domain, v: Vcpu, port: u32): void {
  if (!d.sharedInfoMfn) return;
  const bit = bitOf(port);
  if (!(hw.fetchAnd64(wordPa(d, SharedInfo.evtchn_mask, port), ~bit) & bit)) return;
  if (hw.load64(wordPa(d, SharedInfo.evtchn_pending, port)) & bit) raise(v, port);
}
