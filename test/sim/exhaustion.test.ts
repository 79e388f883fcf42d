/** A machine whose memory is exhausted by guests that allocate all they can: domain 0 stays in control, others are unaffected. */
import test from "ava";
import {
  DomctlShadowOp,
  XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION,
  XEN_DOMCTL_shadow_op,
  XEN_DOMINF_shutdown,
} from "../../abi/domctl.ts";
import {
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTTABOP_map_grant_ref,
  GnttabMapGrantRef,
  GrantEntryV1,
  GTF_permit_access,
} from "../../abi/grant-table.ts";
import { EINVAL, ENOMEM } from "../../abi/errno.ts";
import {
  MemoryReservation,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_grant_table,
  AddToPhysmap,
  XENMEM_add_to_physmap,
  XENMEM_claim_pages,
} from "../../abi/memory.ts";
import { SCHEDOP_block, SCHEDOP_shutdown, SchedShutdown, SHUTDOWN_crash } from "../../abi/sched.ts";
import { DOM0_SCRATCH, DOM0_SCRATCH_END } from "../../abi/domain0-layout.ts";
import { SOFTWARE_EXIT_GROW, SOFTWARE_EXIT_PAGE_FAULT, SoftwareExit } from "../../abi/software.ts";
import { Sysctl, SysctlPhysinfo, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_physinfo } from "../../abi/sysctl.ts";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_virq,
  EvtchnAllocUnbound,
  EvtchnBindVirq,
} from "../../abi/event-channel.ts";
import {
  __HYPERVISOR_event_channel_op as EVENTS,
  __HYPERVISOR_grant_table_op as GRANTS,
  __HYPERVISOR_memory_op as MEMORY,
  __HYPERVISOR_sched_op as SCHED,
  __HYPERVISOR_sysctl as SYSCTL,
  DOMID_SELF,
  VIRQ_DOM_EXC,
} from "../../abi/xen.ts";
import { ARGUMENT_GFN, GRANT_TABLE_GFN, hypercall, type Steps, structured } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import { freeFrames } from "./simulate.ts";
import type { GuestCpu, GuestProgram } from "./svm-cpu.ts";

/** Most frames a guest with one vCPU and little RAM may have beyond its RAM: kernel/memory/overhead.ts. */
const LIMIT = 289;
const GUEST_PAGES = 64;
/** The id of the first guest. */
const SELF = 1;
/** Pages of the heap that objects of a domain have begun, and of domain 0's touched meanwhile. */
const SLACK = 8;

let module: WebAssembly.Module;
test.before(async () => {
  module = await hypervisorModule();
});

function machine(): { machine: Machine; dom0: Dom0 } {
  const machine = new Machine(module, { memory: 64 });
  machine.step(4);
  return { machine, dom0: new Dom0(machine) };
}

const sleep = function* (): Steps<void> {
  for (;;) yield { kind: "hypercall", op: SCHED, args: [SCHEDOP_block, 0] };
};

const addToPhysmap = function* (cpu: GuestCpu, space: number, index: number, gfn: number): Steps<number> {
  const { result } = yield* structured(cpu, MEMORY, XENMEM_add_to_physmap, AddToPhysmap.SIZE, (v) => {
    v.setUint16(AddToPhysmap.domid, DOMID_SELF, true);
    v.setUint32(AddToPhysmap.space, space, true);
    v.setBigUint64(AddToPhysmap.idx, BigInt(index), true);
    v.setBigUint64(AddToPhysmap.gpfn, BigInt(gfn), true);
  });
  return result;
};

/** Takes whatever a guest can make grow, until `tables` page tables or a refusal: page tables, grant frames, event channels. */
function glutton(done: { ended: number }, tables = 100_000): GuestProgram {
  return function* (cpu) {
    for (let i = 1; i < 4; i++) if ((yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, i, 100 + i)) !== 0) break;
    for (let ports = 0; ports < 1000; ports++) {
      const { result } = yield* structured(cpu, EVENTS, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) => {
        v.setUint16(EvtchnAllocUnbound.dom, DOMID_SELF, true);
      });
      if (result !== 0) break;
    }
    let from = 20;
    for (let i = 1; i < tables && (yield* addToPhysmap(cpu, XENMAPSPACE_gmfn, from, 512 * i)) === 0; i++)
      from = 512 * i;
    done.ended++;
    yield* sleep();
  };
}

/** Takes handles: maps pages of its own, granted to itself, wherever it may. */
function* hoard(cpu: GuestCpu, pages: number): Steps<void> {
  yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, 0, GRANT_TABLE_GFN);
  const self = cpu.view(GRANT_TABLE_GFN * PAGE, PAGE);
  const refs = [8, 9, 10, 11];
  for (const ref of refs) {
    self.setUint16(ref * GrantEntryV1.SIZE + GrantEntryV1.domid, SELF, true);
    self.setUint32(ref * GrantEntryV1.SIZE + GrantEntryV1.frame, 20, true);
    self.setUint16(ref * GrantEntryV1.SIZE + GrantEntryV1.flags, GTF_permit_access, true);
  }
  const batch = new DataView(new ArrayBuffer(64 * GnttabMapGrantRef.SIZE));
  for (let first = 0; first < pages * 256; first += 64) {
    for (let i = 0; i < 64; i++) {
      const at = i * GnttabMapGrantRef.SIZE;
      batch.setBigUint64(at + GnttabMapGrantRef.host_addr, BigInt(0x10000 + first + i) << 12n, true);
      batch.setUint32(at + GnttabMapGrantRef.flags, GNTMAP_host_map | GNTMAP_readonly, true);
      batch.setUint32(at + GnttabMapGrantRef.ref, refs[Math.floor(first / 0x7000)]!, true);
      batch.setUint16(at + GnttabMapGrantRef.dom, SELF, true);
    }
    cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(batch.buffer));
    yield* hypercall(cpu, GRANTS, GNTTABOP_map_grant_ref, ARGUMENT_GFN * PAGE, 64);
    if (cpu.view(ARGUMENT_GFN * PAGE, PAGE).getInt16(GnttabMapGrantRef.status, true) !== 0) return;
  }
}

/** RAM for `domain` until no more is given; the frames it got. */
function fill(dom0: Dom0, domain: number, from = 0x10000): number {
  for (let given = 0; ;) {
    const got = dom0.populate(
      domain,
      Array.from({ length: 256 }, (_, i) => from + given + i),
    );
    given += Math.max(got, 0);
    if (got < 256) return given;
  }
}

/** Domain 0 says that it has crashed. */
function crash(dom0: Dom0): void {
  dom0.structured(SCHED, SCHEDOP_shutdown, SchedShutdown.SIZE, (v) => {
    v.setUint32(SchedShutdown.reason, SHUTDOWN_crash, true);
  });
}

function promised(dom0: Dom0): number {
  const { view } = dom0.structured(SYSCTL, null, Sysctl.SIZE, (v) => {
    v.setUint32(Sysctl.cmd, XEN_SYSCTL_physinfo, true);
    v.setUint32(Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION, true);
  });
  return Number(view.getBigUint64(Sysctl.u + SysctlPhysinfo.outstanding_pages, true));
}

test("a guest of 256 KiB has a limit to what it takes beyond that", (t) => {
  const { machine: m, dom0 } = machine();
  const done = { ended: 0 };
  const before = freeFrames(dom0);
  dom0.maptrackFrames = 1024;
  const id = dom0.build(function* (cpu) {
    yield* hoard(cpu, 400);
    yield* glutton(done)(cpu);
  }, GUEST_PAGES);
  t.is(id, SELF);
  t.is(dom0.unpause(id), 0);
  m.runUntil(() => done.ended === 1, "the guest's first refusal", 200_000);
  const took = before - freeFrames(dom0) - GUEST_PAGES;
  t.log(`${took} frames`);
  t.true(took > LIMIT - 16 && took <= LIMIT + SLACK, `${took} frames beyond its RAM`);
  t.is(m.exports.audit(), 0);
});

test("all memory taken: domain 0 touches what it may, lists, destroys and creates; guests have what was promised", (t) => {
  const { machine: m, dom0 } = machine();
  const done = { ended: 0 };
  const gluttons = [1, 2, 3].map(() => dom0.build(glutton(done), GUEST_PAGES));
  // It takes a little, within what every guest is promised, when nothing else is left.
  const modest = { ended: 0 };
  const quiet = dom0.build(glutton(modest, 6), GUEST_PAGES);
  const large = dom0.build(sleep, GUEST_PAGES);
  t.is(dom0.maxMem(large, 1 << 20), 0);
  for (const id of gluttons) t.is(dom0.unpause(id), 0);
  m.step(400); // they have taken something each
  const given = fill(dom0, large);
  t.true(given > 5000, `${given} frames`);
  m.runUntil(() => done.ended === 3, "the end of memory for all three", 200_000);
  t.is(dom0.create(), -ENOMEM, "nothing is left for another domain");
  const left = freeFrames(dom0);
  t.true(left >= promised(dom0) - SLACK, `${left} frames are free, ${promised(dom0)} promised`);

  for (let at = DOM0_SCRATCH; at < DOM0_SCRATCH_END; at += PAGE) dom0.page(at, true)[0] = 1;
  t.is(dom0.unpause(quiet), 0);
  m.runUntil(() => modest.ended === 1, "the modest guest's work");
  t.true(dom0.info(quiet).result === 0);
  for (const id of [...gluttons, quiet]) t.is(dom0.info(id).result, 0);
  t.is(m.exports.audit(), 0);
  t.is(dom0.destroy(gluttons[0]!), 0);
  m.step(4);
  t.true(dom0.create() > 0, "what one has left is another's");
  t.false(m.output.includes("restarted"));
});

test("domain 0's growth is refused when memory is out, and what it has been given to grow into is there", (t) => {
  const { machine: m, dom0 } = machine();
  const hidden = m as unknown as { enterSoftware: (space: number, info: number) => number };
  const plain = hidden.enterSoftware.bind(m);
  /** Leaves the engine once, as it does for `reason`; the word that the hypervisor answers. */
  const leave = (reason: number, field: number, value: number): bigint => {
    let record = 0;
    hidden.enterSoftware = (_space, info) => {
      record = info;
      m.linear.setBigUint64(info + field, BigInt(value), true);
      m.linear.setBigUint64(info + SoftwareExit.write, 1n, true);
      hidden.enterSoftware = plain;
      return reason;
    };
    m.runUntil(() => record !== 0, "domain 0's turn");
    return m.linear.getBigUint64(record + SoftwareExit.result, true);
  };
  // What keeps domain 0 awake: an event that it does not take.
  dom0.structured(EVENTS, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, (v) => {
    v.setUint32(EvtchnBindVirq.virq, VIRQ_DOM_EXC, true);
  });
  const waker = dom0.build(function* () {}, GUEST_PAGES); // its end is a triple fault
  const large = dom0.build(sleep, GUEST_PAGES);
  t.is(dom0.maxMem(large, 1 << 20), 0);
  t.is(dom0.unpause(waker), 0);
  m.runUntil(() => (dom0.info(waker).flags & XEN_DOMINF_shutdown) !== 0, "the guest's end");
  // 64 KiB pages: 1 MiB and some more, within what is kept for domain 0.
  t.is(leave(SOFTWARE_EXIT_GROW, SoftwareExit.pages, 24), 1n);
  fill(dom0, large);
  t.is(leave(SOFTWARE_EXIT_GROW, SoftwareExit.pages, 900), 0n, "more than there is");
  for (let page = 0; page < 24 * 16; page++) leave(SOFTWARE_EXIT_PAGE_FAULT, SoftwareExit.address, page * PAGE);
  t.is(m.space(1).size >= 24 * 16, true, "all of it can be touched");
  t.false(m.output.includes("restarted"), m.output.slice(-500));
  t.is(m.exports.audit(), 0);
});

test("domain 0 is restarted, by its own fault, while all memory is taken", (t) => {
  const { machine: m, dom0 } = machine();
  const large = dom0.build(sleep, GUEST_PAGES);
  t.is(dom0.maxMem(large, 1 << 20), 0);
  for (let n = 0; n < 3; n++) {
    fill(dom0, large, 0x10000 + n * 0x4000);
    crash(dom0);
    m.step(4);
    t.is(m.output.split("is restarted").length, n + 2);
    for (let at = DOM0_SCRATCH; at < DOM0_SCRATCH_END; at += PAGE) dom0.page(at, true)[0] = 1;
    t.is(m.exports.audit(), 0);
  }
  t.is(dom0.destroy(large), 0);
});

test("a claim survives a failed allocation, does not wrap, and is not domain 0's to give up", (t) => {
  const { machine: m, dom0 } = machine();
  const claim = (domid: number, pages: number): number =>
    dom0.structured(MEMORY, XENMEM_claim_pages, MemoryReservation.SIZE, (v) => {
      v.setUint16(MemoryReservation.domid, domid, true);
      v.setBigUint64(MemoryReservation.nr_extents, BigInt(pages), true);
    }).result;
  const [first, second, third] = [1, 2, 3].map(() => dom0.build(sleep, GUEST_PAGES)) as [number, number, number];
  for (const id of [first, second, third]) t.is(dom0.maxMem(id, 1 << 20), 0);
  const before = promised(dom0);
  t.is(claim(first, GUEST_PAGES + 1000), 0);
  t.is(dom0.populate(first, [0xfffffffff]), 0, "no such place");
  t.is(promised(dom0) - before, 1000, "the claim is as it was");
  t.is(claim(0, 0), -EINVAL);
  // Memory beyond the claims is taken: nothing is left to be claimed, however large the number.
  const given = fill(dom0, second);
  t.true(given > 1000);
  t.is(claim(third, GUEST_PAGES + 64), -ENOMEM);
  t.is(claim(third, 1 << 19), -ENOMEM);
  t.is(dom0.populate(third, [0x20000]), 0, "what is claimed is not another's");
  t.is(
    dom0.populate(
      first,
      Array.from({ length: 500 }, (_, i) => 0x20000 + i),
    ),
    500,
  );
  t.is(m.exports.audit(), 0);
});

test("a pool of page tables that is set is there in full, or refused", (t) => {
  const { machine: m, dom0 } = machine();
  const done = { ended: 0 };
  const id = dom0.build(glutton(done), GUEST_PAGES);
  const large = dom0.build(sleep, GUEST_PAGES);
  t.is(dom0.maxMem(large, 1 << 20), 0);
  const set = (mb: number): number =>
    dom0.domctl(XEN_DOMCTL_shadow_op, id, (v, u) => {
      v.setUint32(u + DomctlShadowOp.op, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, true);
      v.setUint32(u + DomctlShadowOp.mb, mb, true);
    }).result;
  t.is(set(100), -ENOMEM);
  t.is(set(0xffffffff), -ENOMEM);
  const before = promised(dom0);
  t.is(set(2), 0);
  t.is(promised(dom0) - before, 511, "512 tables in place of one for its RAM");
  fill(dom0, large);
  const free = freeFrames(dom0);
  t.is(dom0.unpause(id), 0);
  m.runUntil(() => done.ended === 1, "the guest's first refusal", 200_000);
  t.true(free - freeFrames(dom0) > 500, `${free - freeFrames(dom0)} frames`);
  t.is(m.exports.audit(), 0);
});
