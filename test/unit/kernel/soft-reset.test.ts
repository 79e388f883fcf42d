/** XEN_DOMCTL_soft_reset: what a domain keeps, what it loses, and which callers are refused. */
import test from "ava";
import { XEN_DOMCTL_pausedomain, XEN_DOMCTL_soft_reset, XEN_DOMINF_shutdown } from "../../../abi/domctl.ts";
import { EINVAL, ENOMEM, ESRCH } from "../../../abi/errno.ts";
import * as evtchn from "../../../abi/event-channel.ts";
import * as gnt from "../../../abi/grant-table.ts";
import {
  AddToPhysmap,
  MemoryDomain,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_current_reservation,
} from "../../../abi/memory.ts";
import {
  SCHEDOP_block,
  SCHEDOP_shutdown,
  SCHEDOP_watchdog,
  SchedWatchdog,
  SHUTDOWN_soft_reset,
} from "../../../abi/sched.ts";
import {
  VCPUOP_register_runstate_memory_area,
  VCPUOP_register_vcpu_info,
  VCPUOP_set_periodic_timer,
  VcpuRegisterRunstateMemoryArea,
  VcpuRegisterVcpuInfo,
  VcpuSetPeriodicTimer,
} from "../../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op as EVENTS,
  __HYPERVISOR_grant_table_op as GRANTS,
  __HYPERVISOR_memory_op as MEMORY,
  __HYPERVISOR_sched_op as SCHED,
  __HYPERVISOR_vcpu_op as VCPU,
  DOMID_SELF,
  SharedInfo,
  VIRQ_TIMER,
} from "../../../abi/xen.ts";
import { hypercall, type Steps } from "../../sim/call.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { call, GUEST_FRAMES, Lab, put, result } from "./lab.ts";

const PAGE = 4096;
const SHARED_GFN = 40;
const TABLE_GFN = 41;
const INFO_GFN = 20;
const RUNSTATE = 21 * PAGE;
const DATA = 22 * PAGE;
/** Where a grant of another guest is mapped. */
const GRANT_GFN = 100;
const REF = 8;
const GRANTED_GFN = 23;
const WATCHDOG_S = 1;
const PERIOD_NS = 1_000_000;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

function* addToPhysmap(cpu: GuestCpu, space: number, gpfn: number): Steps<number> {
  return yield* result(cpu, MEMORY, XENMEM_add_to_physmap, AddToPhysmap, { domid: DOMID_SELF, space, gpfn });
}
function* pages(cpu: GuestCpu): Steps<number> {
  return yield* result(cpu, MEMORY, XENMEM_current_reservation, MemoryDomain, { domid: DOMID_SELF });
}
function* bindTimer(cpu: GuestCpu): Steps<number> {
  const op = evtchn.EVTCHNOP_bind_virq;
  const { result: rc, view } = yield* call(cpu, EVENTS, op, evtchn.EvtchnBindVirq, { virq: VIRQ_TIMER, vcpu: 0 });
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnBindVirq.port, true);
}
function* allocUnbound(cpu: GuestCpu): Steps<number> {
  const op = evtchn.EVTCHNOP_alloc_unbound;
  const { result: rc, view } = yield* call(cpu, EVENTS, op, evtchn.EvtchnAllocUnbound, {
    dom: DOMID_SELF,
    remote_dom: 0,
  });
  return rc < 0 ? rc : view.getUint32(evtchn.EvtchnAllocUnbound.port, true);
}
function* portStatus(cpu: GuestCpu, port: number): Steps<number> {
  const { view } = yield* call(cpu, EVENTS, evtchn.EVTCHNOP_status, evtchn.EvtchnStatus, { dom: DOMID_SELF, port });
  return view.getUint32(evtchn.EvtchnStatus.status, true);
}
function* registerInfo(cpu: GuestCpu): Steps<number> {
  const bytes = new Uint8Array(VcpuRegisterVcpuInfo.SIZE);
  put(new DataView(bytes.buffer), VcpuRegisterVcpuInfo, { mfn: INFO_GFN, offset: 64 });
  cpu.poke(0x9000, bytes);
  return yield* hypercall(cpu, VCPU, VCPUOP_register_vcpu_info, 0, 0x9000);
}
function* registerRunstate(cpu: GuestCpu): Steps<number> {
  const bytes = new Uint8Array(VcpuRegisterRunstateMemoryArea.SIZE);
  put(new DataView(bytes.buffer), VcpuRegisterRunstateMemoryArea, { addr: RUNSTATE });
  cpu.poke(0x9000, bytes);
  return yield* hypercall(cpu, VCPU, VCPUOP_register_runstate_memory_area, 0, 0x9000);
}
function* setPeriod(cpu: GuestCpu): Steps<number> {
  const bytes = new Uint8Array(VcpuSetPeriodicTimer.SIZE);
  put(new DataView(bytes.buffer), VcpuSetPeriodicTimer, { period_ns: PERIOD_NS });
  cpu.poke(0x9000, bytes);
  return yield* hypercall(cpu, VCPU, VCPUOP_set_periodic_timer, 0, 0x9000);
}
function* newWatchdog(cpu: GuestCpu): Steps<number> {
  return yield* result(cpu, SCHED, SCHEDOP_watchdog, SchedWatchdog, { id: 0, timeout: WATCHDOG_S });
}
function* mapGrant(cpu: GuestCpu, owner: number): Steps<number> {
  const values = { host_addr: GRANT_GFN * PAGE, flags: gnt.GNTMAP_host_map, ref: REF, dom: owner };
  const { view } = yield* call(cpu, GRANTS, gnt.GNTTABOP_map_grant_ref, gnt.GnttabMapGrantRef, values, 1);
  return view.getInt16(gnt.GnttabMapGrantRef.status, true);
}
/** Does nothing any more. */
function* rest(): Steps<void> {
  for (;;) yield { kind: "hypercall", op: SCHED, args: [SCHEDOP_block, 0] };
}

const softReset = (id: number): number => lab.dom0.domctl(XEN_DOMCTL_soft_reset, id).result;
const isDown = (id: number): boolean => (lab.dom0.info(id).flags & XEN_DOMINF_shutdown) !== 0;
function waitDown(id: number): void {
  lab.machine.runUntil(() => isDown(id), "the guest's shutdown");
}
/** A guest that grants a page to `user()` and counts who has it mapped. */
function granter(user: () => number) {
  return function* (cpu: GuestCpu): Steps<void> {
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, TABLE_GFN);
    const entry = new Uint8Array(gnt.GrantEntryV1.SIZE);
    const values = { flags: gnt.GTF_permit_access, domid: user(), frame: GRANTED_GFN };
    put(new DataView(entry.buffer), gnt.GrantEntryV1, values);
    cpu.poke(TABLE_GFN * PAGE + REF * gnt.GrantEntryV1.SIZE, entry);
    yield* rest();
  };
}

test.serial("it goes on in its memory, and what it had asked of the hypervisor is as in a new domain", (t) => {
  const before = lab.free;
  const { dom0 } = lab;
  let user = -1;
  let granting: GuestCpu | null = null;
  const owner = dom0.build(function* (cpu) {
    granting = cpu;
    yield* granter(() => user)(cpu);
  }, GUEST_FRAMES);
  let done = false;
  let ownPages = 0;
  user = dom0.build(function* (cpu) {
    ownPages = yield* pages(cpu);
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_GFN), 0);
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, TABLE_GFN), 0);
    t.is(yield* bindTimer(cpu), 1);
    t.is(yield* allocUnbound(cpu), 2);
    t.is(yield* registerInfo(cpu), 0);
    t.is(yield* registerInfo(cpu), -EINVAL, "once in a vCPU's life");
    t.is(yield* registerRunstate(cpu), 0);
    t.is(yield* setPeriod(cpu), 0);
    t.is(yield* newWatchdog(cpu), 1);
    t.is(yield* newWatchdog(cpu), 2);
    t.is(yield* mapGrant(cpu, owner), gnt.GNTST_okay);
    cpu.poke(DATA, new Uint8Array([1, 2, 3, 4]));
    const code = new Uint8Array([SHUTDOWN_soft_reset, 0, 0, 0]);
    cpu.poke(0x9000, code);
    t.is(yield* hypercall(cpu, SCHED, SCHEDOP_shutdown, 0x9000), 0, "the shutdown returns behind the reset");

    t.deepEqual([...cpu.peek(DATA, 4)], [1, 2, 3, 4]);
    t.true(
      cpu.peek(SHARED_GFN * PAGE, PAGE).every((byte) => byte === 0),
      "RAM where shared_info was mapped",
    );
    t.true(
      cpu.peek(TABLE_GFN * PAGE, PAGE).every((byte) => byte === 0),
      "and where the grant table was",
    );
    t.is(yield* pages(cpu), ownPages, "no page is missing");
    for (const port of [1, 2]) t.is(yield* portStatus(cpu, port), evtchn.EVTCHNSTAT_closed);
    cpu.poke(RUNSTATE, new Uint8Array(48).fill(0x5a));
    // Longer than the period and the watchdogs'.
    for (let i = 0; i < 2 * WATCHDOG_S * 1000; i++) yield { kind: "spin", ns: 1_000_000 };
    t.true(
      cpu.peek(RUNSTATE, 48).every((byte) => byte === 0x5a),
      "nobody writes there any more",
    );
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_GFN), 0);
    const shared = cpu.view(SHARED_GFN * PAGE, PAGE);
    t.is(shared.getBigUint64(SharedInfo.evtchn_pending, true), 0n, "no timer has raised an event");
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, TABLE_GFN), 0);
    t.is(yield* registerInfo(cpu), 0);
    t.is(yield* bindTimer(cpu), 1);
    t.is(yield* newWatchdog(cpu), 1);
    done = true;
    yield* rest();
  }, GUEST_FRAMES);
  t.is(dom0.unpause(owner), 0);
  lab.machine.step(20);
  t.is(dom0.unpause(user), 0);
  waitDown(user);
  const flags = () => granting!.view(TABLE_GFN * PAGE + REF * 8, 8).getUint16(gnt.GrantEntryV1.flags, true);
  t.is(flags() & (gnt.GTF_reading | gnt.GTF_writing), gnt.GTF_reading | gnt.GTF_writing, "the grant is in use");
  t.is(softReset(user), -EINVAL, "not paused");
  t.is(dom0.pause(user), 0);
  t.is(softReset(user), 0);
  t.is(flags() & (gnt.GTF_reading | gnt.GTF_writing), 0, "the grant is let go");
  t.false(isDown(user));
  lab.audit(t);
  t.is(dom0.unpause(user), 0);
  lab.machine.runUntil(() => done, "the end behind the reset", 60_000);
  t.false(isDown(user), "its watchdogs have ended with it");
  lab.audit(t);
  lab.destroy(user, owner);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("it is refused where there is nothing to reset", (t) => {
  const { dom0 } = lab;
  const before = lab.free;
  const id = dom0.build(function* () {
    yield* rest();
  }, GUEST_FRAMES);
  t.is(softReset(id), -EINVAL, "it has not shut down");
  t.is(softReset(0), -EINVAL, "oneself");
  t.is(softReset(999), -ESRCH);
  lab.destroy(id);
  t.is(lab.free, before);
});

test.serial("without a frame for shared_info's place nothing is reset", (t) => {
  const { dom0 } = lab;
  const before = lab.free;
  let done = false;
  const id = dom0.build(function* (cpu) {
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_GFN), 0);
    t.is(yield* allocUnbound(cpu), 1);
    cpu.poke(0x9000, new Uint8Array([SHUTDOWN_soft_reset, 0, 0, 0]));
    t.is(yield* hypercall(cpu, SCHED, SCHEDOP_shutdown, 0x9000), 0);
    done = true;
    yield* rest();
  }, GUEST_FRAMES);
  t.is(dom0.unpause(id), 0);
  waitDown(id);
  t.is(dom0.domctl(XEN_DOMCTL_pausedomain, id).result, 0);
  t.is(dom0.maxMem(id, dom0.info(id).pages), 0);
  t.is(softReset(id), -ENOMEM);
  t.true(isDown(id));
  t.is(dom0.info(id).pages, GUEST_FRAMES - 1);
  lab.audit(t);
  t.is(dom0.maxMem(id, GUEST_FRAMES), 0);
  t.is(softReset(id), 0);
  t.is(dom0.unpause(id), 0);
  lab.machine.runUntil(() => done, "the end behind the reset");
  lab.audit(t);
  lab.destroy(id);
  t.is(lab.free, before);
});
