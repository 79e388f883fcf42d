/**
 * Domain 0 as one that wants the processor every few milliseconds, asks for the list of domains then and works for a while:
 * whatever the guests do, it runs soon after its timer is due, and is answered.
 */
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../abi/event-channel.ts";
import { HVMOP_get_time } from "../../abi/hvm.ts";
import { DOM0_SCRATCH, DOM0_SHARED_INFO } from "../../abi/domain0-layout.ts";
import {
  Sysctl,
  SysctlGetdomaininfolist,
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_INTERFACE_VERSION,
} from "../../abi/sysctl.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_sysctl,
  SharedInfo,
  VcpuInfo,
  VIRQ_TIMER,
} from "../../abi/xen.ts";
import type { Dom0 } from "./dom0.ts";
import type { Machine } from "./machine.ts";
import { PAGE } from "./ram.ts";
import type { Random } from "./random.ts";
import { Violation } from "./svm-cpu.ts";

/**
 * Longest time between domain 0's timer and its turn, ns: what the scheduler lets it wait when its budget is used up, and as
 * much again for what the hypervisor does in between.
 */
export const LATENCY_NS = 5_000_000;
/** Longest that it works in a turn, ns. */
const WORK_NS = 3_000_000;
/** Longest time until it wants the processor again, ns. */
const SLEEP_NS = 4_000_000;
/** Records of the list that it looks at: one page of them. */
const RECORDS = 16;

export class Domain0Clock {
  private due = Infinity;
  /** The longest that it had to wait, ns. */
  worst = 0;

  constructor(
    private readonly machine: Machine,
    private readonly dom0: Dom0,
    private readonly random: Random,
  ) {
    const { result } = dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, (v) =>
      v.setUint32(EvtchnBindVirq.virq, VIRQ_TIMER, true),
    );
    if (result !== 0) throw new Violation(`domain 0 binds its timer: ${result}`);
    machine.dom0Turn = () => this.turn();
    this.sleep();
  }

  private now(): number {
    const { result, view } = this.dom0.structured(__HYPERVISOR_hvm_op, HVMOP_get_time, 8, () => {});
    if (result !== 0) throw new Violation(`HVMOP_get_time returned ${result}`);
    return Number(view.getBigUint64(0, true));
  }

  private sleep(): void {
    this.due = this.now() + 100_000 + this.random.below(SLEEP_NS);
    const result = this.dom0.hypercall(__HYPERVISOR_set_timer_op, this.due);
    if (result !== 0) throw new Violation(`set_timer_op returned ${result}`);
  }

  /** Domain 0 was busy on its own until now: that is not the guests' doing. */
  outside(): void {
    this.due = Math.max(this.due, this.now());
  }

  private turn(): void {
    const shared = this.dom0.page(DOM0_SHARED_INFO, true);
    const info = SharedInfo.vcpu_info;
    shared[info + VcpuInfo.evtchn_upcall_pending] = 0;
    shared.fill(0, info + VcpuInfo.evtchn_pending_sel, info + VcpuInfo.evtchn_pending_sel + 8);
    shared.fill(0, SharedInfo.evtchn_pending, SharedInfo.evtchn_pending + 8);
    const now = this.now();
    if (now < this.due) return;
    const late = now - this.due;
    this.worst = Math.max(this.worst, late);
    if (late > LATENCY_NS) throw new Violation(`domain 0 waited ${late} ns for the processor`);
    this.list();
    this.machine.devices.advance(this.random.below(WORK_NS));
    this.sleep();
  }

  private list(): void {
    const { result, view } = this.dom0.structured(__HYPERVISOR_sysctl, null, Sysctl.SIZE, (v) => {
      v.setUint32(Sysctl.cmd, XEN_SYSCTL_getdomaininfolist, true);
      v.setUint32(Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION, true);
      v.setUint32(Sysctl.u + SysctlGetdomaininfolist.max_domains, RECORDS, true);
      v.setBigUint64(Sysctl.u + SysctlGetdomaininfolist.buffer, BigInt(DOM0_SCRATCH + 3 * PAGE), true);
    });
    if (result !== 0 || view.getUint32(Sysctl.u + SysctlGetdomaininfolist.num_domains, true) === 0)
      throw new Violation(`the list of domains: ${result}`);
  }

  /** All guests are to be destroyed now, in one go. Throws Violation if domain 0 has not had its turn although it is due. */
  stop(): void {
    const late = this.now() - this.due;
    if (late > LATENCY_NS) throw new Violation(`domain 0 has waited ${late} ns for the processor`);
    this.machine.dom0Turn = () => {};
  }
}
