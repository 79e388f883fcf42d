/**
 * Notifying a vCPU of events: sets the upcall flag of its vcpu_info and wakes it. Used by both event channel ABIs.
 */
import { VcpuInfo } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { vcpuOf } from "../records/domain-access";
import { Domain, DomainKind } from "../records/domain";
import { vcpuWake } from "../scheduling/scheduler";
import { vcpuInfoPa } from "./shared-info";
import { POLL_ANY, Vcpu } from "../records/vcpu";
import { vlapicUpcall } from "./vlapic-delivery";

/** Sets evtchn_upcall_pending of `v` and wakes it if the flag was clear. */
export function markUpcall(v: Vcpu): void {
  const info = vcpuInfoPa(v);
  if (!info) return;
  if (hw.fetchOr64(info, (<u64>1) << (VcpuInfo.evtchn_upcall_pending << 3)) & 0xff) return;
  vlapicUpcall(v);
  vcpuWake(v);
}

/** Wakes the vCPUs in SCHEDOP_poll that may be waiting for `port`: those that poll only it, several ports, or none. */
export function wakePollers(d: Domain, port: u32): void {
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null && v.polling && (v.pollPort == POLL_ANY || v.pollPort == port)) vcpuWake(v);
  }
}

/**
 * Whether `v` has a deliverable upcall: evtchn_upcall_pending, and for software domains not evtchn_upcall_mask. Xen ignores
 * the mask for HVM vCPUs, which have the interrupt flag instead.
 */
export function upcallPending(v: Vcpu): bool {
  const info = vcpuInfoPa(v);
  if (!info) return false;
  const flags = hw.load16(info + VcpuInfo.evtchn_upcall_pending);
  return (flags & 0xff) != 0 && (v.domain.kind != DomainKind.Software || flags >> 8 == 0);
}
