/**
 * Long operations are preemptible: however a guest arranges its resources, freeing them checks the clock regularly. Measured
 * in hardware accesses between two checks, which depend only on the work.
 */
import test from "ava";
import { EVTCHNOP_alloc_unbound, EvtchnAllocUnbound } from "../../abi/event-channel.ts";
import {
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
  GrantEntryV1,
  GTF_permit_access,
} from "../../abi/grant-table.ts";
import {
  __HYPERVISOR_devctl,
  Devctl,
  NOXS_DEV_COUNT_MAX,
  noxs_dev_vif,
  NoxsDevPageEntry,
  XEN_DEVCTL_dev_add,
  XEN_DEVCTL_dev_enum,
  XEN_DEVCTL_VERSION,
} from "../../abi/io/noxs.ts";
import { XENMAPSPACE_grant_table } from "../../abi/memory.ts";
import { XEN_DOMCTL_CDF_hap } from "../../abi/domctl.ts";
import { DOM0_SCRATCH } from "../../abi/domain0-layout.ts";
import { Sysctl, SysctlDebugKeys, XEN_SYSCTL_debug_keys, XEN_SYSCTL_INTERFACE_VERSION } from "../../abi/sysctl.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_mmu_update,
  __HYPERVISOR_mmuext_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_sysctl,
  DOMID_SELF,
  MMUEXT_TLB_FLUSH_LOCAL,
  MmuextOp,
  MmuUpdate,
} from "../../abi/xen.ts";
import { SCHEDOP_block } from "../../abi/sched.ts";
import { addToPhysmap, GRANT_TABLE_GFN, hypercall, structured } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import type { GuestCpu, GuestProgram } from "./svm-cpu.ts";

/** Uses of the hardware between two looks at the clock: 64 pieces of work and what each takes. */
const STRETCH_MAX = 3_000;
/** All handles of a domain made by Dom0.create. */
const HANDLES = 4096;
const FIRST_GFN = 0x1000;
const KEYS = DOM0_SCRATCH + 0x20000;
const REF = 8;

let module: WebAssembly.Module;
test.before(async () => {
  module = await hypervisorModule();
});

function machine(): { machine: Machine; dom0: Dom0 } {
  const machine = new Machine(module, { memory: 64, measureStretches: true });
  machine.step(4);
  return { machine, dom0: new Dom0(machine) };
}

const sleeper: GuestProgram = function* () {
  for (;;) yield { kind: "hypercall", op: __HYPERVISOR_sched_op, args: [SCHEDOP_block, 0] };
};

test("4,094 event channels are closed in pieces when their domain is destroyed", (t) => {
  const { machine: m, dom0 } = machine();
  const id = dom0.build(sleeper, 32, 1, 0x1ffff);
  const bind = (): number =>
    dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) => {
      v.setUint16(EvtchnAllocUnbound.dom, id, true);
    }).result;
  let ports = 0;
  while (bind() === 0) ports++;
  t.true(ports > 4000, `${ports} ports`);
  dom0.write(KEYS, Buffer.from("eg"));
  const said = m.output.length;
  dom0.structured(__HYPERVISOR_sysctl, null, Sysctl.SIZE, (v) => {
    v.setUint32(Sysctl.cmd, XEN_SYSCTL_debug_keys, true);
    v.setUint32(Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION, true);
    v.setBigUint64(Sysctl.u + SysctlDebugKeys.keys, BigInt(KEYS), true);
    v.setUint32(Sysctl.u + SysctlDebugKeys.nr_keys, 2, true);
  });
  const lines = m.output.slice(said).split("\n").length;
  t.true(lines > 60 && lines < 100, `a debug key printed ${lines} lines`);
  m.measureStretch();
  t.is(dom0.destroy(id), 0);
  t.true(m.longestStretch < STRETCH_MAX, `${m.longestStretch} uses of the hardware without a look at the clock`);
});

/** Writes entry `ref` of a guest's grant table: domain `user` may map the guest's frame 20. */
function grantAccess(cpu: GuestCpu, ref: number, user: number): void {
  const entry = cpu.view(GRANT_TABLE_GFN * PAGE + ref * GrantEntryV1.SIZE, GrantEntryV1.SIZE);
  entry.setUint16(GrantEntryV1.domid, user, true);
  entry.setUint32(GrantEntryV1.frame, 20, true);
  entry.setUint16(GrantEntryV1.flags, GTF_permit_access, true);
}

test("grants are unmapped in pieces when their domain is destroyed, whichever handles are free", (t) => {
  const { machine: m, dom0 } = machine();
  let granted = false;
  let user = -1;
  let mapped = 0;
  let done = false;
  const owner = dom0.build(function* (cpu) {
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    grantAccess(cpu, REF, user);
    granted = true;
    yield* sleeper(cpu);
  });
  user = dom0.build(function* (cpu) {
    while (!granted) yield { kind: "spin", ns: 1000 };
    const op = __HYPERVISOR_grant_table_op;
    for (; mapped < HANDLES; mapped++) {
      const map = yield* structured(
        cpu,
        op,
        GNTTABOP_map_grant_ref,
        GnttabMapGrantRef.SIZE,
        (v) => {
          v.setBigUint64(GnttabMapGrantRef.host_addr, BigInt(FIRST_GFN + mapped) << 12n, true);
          v.setUint32(GnttabMapGrantRef.flags, GNTMAP_host_map | GNTMAP_readonly, true);
          v.setUint32(GnttabMapGrantRef.ref, REF, true);
          v.setUint16(GnttabMapGrantRef.dom, owner, true);
        },
        1,
      );
      if (map.view.getInt16(GnttabMapGrantRef.status, true) !== 0) break;
    }
    // The handles at which the release looked at the clock.
    for (let handle = 63; handle < mapped; handle += 64) {
      yield* structured(
        cpu,
        op,
        GNTTABOP_unmap_grant_ref,
        GnttabUnmapGrantRef.SIZE,
        (v) => {
          v.setBigUint64(GnttabUnmapGrantRef.host_addr, BigInt(FIRST_GFN + handle) << 12n, true);
          v.setUint32(GnttabUnmapGrantRef.handle, handle, true);
        },
        1,
      );
    }
    done = true;
    yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_block, 0);
  });
  for (const id of [owner, user]) t.is(dom0.unpause(id), 0);
  m.runUntil(() => done, "all mappings", 100_000);
  t.is(mapped, HANDLES);
  m.measureStretch();
  t.is(dom0.destroy(user), 0);
  t.true(m.longestStretch < STRETCH_MAX, `${m.longestStretch} uses of the hardware without a look at the clock`);
  t.is(dom0.destroy(owner), 0);
  m.step(4);
  t.is(m.exports.audit(), 0);
});

test("a long hypercall gives way to an interrupt, though its caller has the CPU to itself", (t) => {
  const { machine: m, dom0 } = machine();
  const ELEMENTS = 3_500; // as many as fit the guest's memory
  let typed = false;
  let done = false;
  let looks = 0;
  let served = -1;
  const advance = m.devices.advance.bind(m.devices);
  const take = m.devices.takeInterrupt.bind(m.devices);
  const id = dom0.build(function* (cpu) {
    yield { kind: "spin", ns: 50_000_000 }; // whatever else is due has happened
    m.devices.advance = (ns) => {
      if (++looks === 100) {
        m.devices.type("x");
        typed = true;
      }
      return advance(ns);
    };
    m.devices.takeInterrupt = () => {
      const vector = take();
      if (typed && vector >= 0 && served < 0) served = looks;
      return vector;
    };
    // Handles that do not exist: each is refused, one after the other.
    yield* hypercall(cpu, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, 10 * PAGE, ELEMENTS);
    done = true;
    yield* sleeper(cpu);
  });
  t.is(dom0.unpause(id), 0);
  m.runUntil(() => done, "the end of the hypercall", 100_000);
  t.true(looks > ELEMENTS, "each element is followed by a look at the clock");
  t.true(served > 0 && served < 200, `the interrupt was served at look ${served}`);
});

test("an audit takes the uses of grants off and puts them back", (t) => {
  const { machine: m, dom0 } = machine();
  const REFS = 256;
  let granted = false;
  let user = -1;
  let mapped = 0;
  const owner = dom0.build(function* (cpu) {
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    for (let ref = REF; ref < REF + REFS; ref++) grantAccess(cpu, ref, user);
    granted = true;
    yield* sleeper(cpu);
  });
  user = dom0.build(function* (cpu) {
    while (!granted) yield { kind: "spin", ns: 1000 };
    for (; mapped < HANDLES; mapped++) {
      yield* structured(
        cpu,
        __HYPERVISOR_grant_table_op,
        GNTTABOP_map_grant_ref,
        GnttabMapGrantRef.SIZE,
        (v) => {
          v.setBigUint64(GnttabMapGrantRef.host_addr, BigInt(FIRST_GFN + mapped) << 12n, true);
          v.setUint32(GnttabMapGrantRef.flags, GNTMAP_host_map | GNTMAP_readonly, true);
          v.setUint32(GnttabMapGrantRef.ref, REF + (mapped % REFS), true);
          v.setUint16(GnttabMapGrantRef.dom, owner, true);
        },
        1,
      );
    }
    yield* sleeper(cpu);
  });
  for (const id of [owner, user]) t.is(dom0.unpause(id), 0);
  m.runUntil(() => mapped === HANDLES, "all mappings", 100_000);
  m.step(2);
  t.is(m.exports.audit(), 0);
  t.is(m.exports.audit(), 0, "and has put back what it took off");
  t.is(dom0.destroy(user), 0);
  t.is(m.exports.audit(), 0);
});

test("the devices of a backend that is destroyed are removed in pieces, from however many domains", (t) => {
  const { machine: m, dom0 } = machine();
  const backend = dom0.build(sleeper);
  const devctl = (cmd: number, domain: number, id = 0, be = 0) =>
    dom0.structured(__HYPERVISOR_devctl, null, Devctl.SIZE, (v) => {
      v.setUint32(Devctl.version, XEN_DEVCTL_VERSION, true);
      v.setUint32(Devctl.cmd, cmd, true);
      v.setUint16(Devctl.domain, domain, true);
      v.setUint32(Devctl.dev_add_dev + NoxsDevPageEntry.type, noxs_dev_vif, true);
      v.setUint32(Devctl.dev_add_dev + NoxsDevPageEntry.id, id, true);
      v.setUint16(Devctl.dev_add_dev + NoxsDevPageEntry.be_id, be, true);
    });
  const fronts = Array.from({ length: 200 }, () => dom0.create());
  for (const front of fronts) {
    for (let i = 0; i < NOXS_DEV_COUNT_MAX; i++) {
      t.is(devctl(XEN_DEVCTL_dev_add, front, i, i % 2 === 0 ? backend : 0).result, 0);
    }
  }
  m.measureStretch();
  for (let tries = 0; dom0.destroy(backend) !== 0; tries++) t.true(tries < 1000);
  t.true(m.longestStretch < STRETCH_MAX, `${m.longestStretch} uses of the hardware without a look at the clock`);
  for (const front of fronts) {
    t.is(devctl(XEN_DEVCTL_dev_enum, front).view.getUint32(Devctl.dev_enum_dev_count, true), NOXS_DEV_COUNT_MAX / 2);
  }
  t.is(m.exports.audit(), 0, m.output.slice(-1500));
});

test("a PVHv1 guest's lists of page-table operations are done in pieces, and completely", (t) => {
  const { machine: m, dom0 } = machine();
  dom0.flags = XEN_DOMCTL_CDF_hap;
  dom0.emulation = 0;
  const entries = 3000;
  const list = 0x10000;
  const target = 0x30000;
  let done = 0;
  const id = dom0.build(function* (cpu) {
    const reported = cpu.view(0x9000, 4);
    for (let i = 0; i < entries; i++) {
      const v = cpu.view(list + i * MmuUpdate.SIZE, MmuUpdate.SIZE);
      v.setBigUint64(MmuUpdate.ptr, BigInt(target + 8 * (i % 512)), true);
      v.setBigUint64(MmuUpdate.val, BigInt(i + 1), true);
    }
    m.measureStretch();
    t.is(yield* hypercall(cpu, __HYPERVISOR_mmu_update, list, entries, 0x9000, DOMID_SELF), 0);
    t.is(reported.getUint32(0, true), entries);
    for (let i = 0; i < 512; i++) {
      const latest = Math.floor((entries - 1 - i) / 512) * 512 + i + 1;
      if (cpu.view(target + 8 * i, 8).getBigUint64(0, true) !== BigInt(latest)) t.fail(`entry ${i}`);
    }
    for (let at = 0; at < 0x10000; at += MmuextOp.SIZE) {
      const v = cpu.view(list + at, 4);
      v.setUint32(MmuextOp.cmd, MMUEXT_TLB_FLUSH_LOCAL, true);
    }
    t.is(yield* hypercall(cpu, __HYPERVISOR_mmuext_op, list, 2000, 0x9000, DOMID_SELF), 0);
    t.is(reported.getUint32(0, true), 2000);
    done++;
    yield* sleeper(cpu);
  }, 96);
  t.is(dom0.unpause(id), 0);
  m.runUntil(() => done > 0, "the end of the lists", 100_000);
  t.true(m.longestStretch < STRETCH_MAX, `${m.longestStretch} uses of the hardware without a look at the clock`);
});
