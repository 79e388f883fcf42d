/**
 * The guest's side of event channels, 2-level ABI (xen/event_channel.h, xen/xen.h): pending and mask bits in
 * shared_info, a selector and an upcall flag in each vcpu_info. The guest changes all of them at any time, so every
 * update is one atomic operation on its memory and nothing read back is trusted.
 *
 * Order matters and is Xen's: port pending, then selector, then upcall; the guest clears them the other way round.
 */
import { EINVAL } from "../abi/errno";
import { SharedInfo, VcpuInfo } from "../abi/xen";
import * as hw from "../arch-x86/hw";
import { vcpuOf } from "./access";
import { Domain, DomainKind } from "./domain";
import { vcpuWake } from "./scheduler";
import { vcpuInfoPa } from "./shared-info";
import { POLL_ANY, Vcpu } from "./vcpu";

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

/** Sets evtchn_upcall_pending of `v` and wakes it when that is news. */
export function markUpcall(v: Vcpu): void {
  const info = vcpuInfoPa(v);
  if (!info) return;
  if (hw.fetchOr64(info, (<u64>1) << (VcpuInfo.evtchn_upcall_pending << 3)) & 0xff) return;
  vcpuWake(v);
}

/** Makes `port` of `d` pending, to be taken by `v`. Does nothing for a port pending already, as Xen. */
export function setPending(d: Domain, v: Vcpu, port: u32): void {
  if (!d.sharedInfoMfn) return;
  const bit = bitOf(port);
  if (hw.fetchOr64(wordPa(d, SharedInfo.evtchn_pending, port), bit) & bit) return;
  if (!(hw.load64(wordPa(d, SharedInfo.evtchn_mask, port)) & bit)) raise(v, port);
  wakePollers(d, port);
}

/** Takes the pending bit away: the port is being closed. */
export function clearPending(d: Domain, port: u32): void {
  if (d.sharedInfoMfn) hw.fetchAnd64(wordPa(d, SharedInfo.evtchn_pending, port), ~bitOf(port));
}

export function isPending(d: Domain, port: u32): bool {
  return d.sharedInfoMfn != 0 && (hw.load64(wordPa(d, SharedInfo.evtchn_pending, port)) & bitOf(port)) != 0;
}

export function isMasked(d: Domain, port: u32): bool {
  return d.sharedInfoMfn != 0 && (hw.load64(wordPa(d, SharedInfo.evtchn_mask, port)) & bitOf(port)) != 0;
}

/** Clears the mask bit; an event that waited behind it is raised on `v`. */
export function unmask(d: Domain, v: Vcpu, port: u32): void {
  if (!d.sharedInfoMfn) return;
  const bit = bitOf(port);
  if (!(hw.fetchAnd64(wordPa(d, SharedInfo.evtchn_mask, port), ~bit) & bit)) return;
  if (hw.load64(wordPa(d, SharedInfo.evtchn_pending, port)) & bit) raise(v, port);
}

/** Wakes the vCPUs in SCHEDOP_poll that may be waiting for `port`: those that named it alone, or several, or none. */
function wakePollers(d: Domain, port: u32): void {
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null && v.polling && (v.pollPort == POLL_ANY || v.pollPort == port)) vcpuWake(v);
  }
}

/**
 * Whether `v` has an upcall to take: evtchn_upcall_pending, and for software domains not evtchn_upcall_mask. Xen ignores
 * the mask of HVM vCPUs, whose interrupt flag does that work.
 */
export function upcallPending(v: Vcpu): bool {
  const info = vcpuInfoPa(v);
  if (!info) return false;
  const flags = hw.load16(info + VcpuInfo.evtchn_upcall_pending);
  return (flags & 0xff) != 0 && (v.domain.kind != DomainKind.Software || flags >> 8 == 0);
}

/**
 * SCHEDOP_poll's question. The caller has made sure that the ports exist (evtchnPollReady in event-channel.ts does).
 * @returns 1 when one of the `count` u32 ports at linear `ports` is pending, else 0; -EINVAL for one beyond `limit`
 */
export function anyPending(d: Domain, ports: usize, count: u32, limit: u32): i32 {
  for (let i: u32 = 0; i < count; i++) {
    const port = load<u32>(ports + ((<usize>i) << 2));
    if (port >= limit) return -EINVAL;
    if (isPending(d, port)) return 1;
  }
  return 0;
}
