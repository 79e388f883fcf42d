/** NoXS's devctl and device pages: who has them, every rule and error, what a guest can do to its page, and their end. */
import test from "ava";
import { DOM0_DEVICE_PAGE } from "../../../abi/domain0-layout.ts";
import {
  EACCES,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOBUFS,
  ENODATA,
  ENOENT,
  ENOMEM,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
} from "../../../abi/errno.ts";
import * as domctl from "../../../abi/domctl.ts";
import * as gnt from "../../../abi/grant-table.ts";
import { HVMMEM_ram_ro, HVMOP_get_mem_type, HVMOP_get_time, HvmGetMemType } from "../../../abi/hvm.ts";
import * as noxs from "../../../abi/io/noxs.ts";
import * as mem from "../../../abi/memory.ts";
import { SCHEDOP_shutdown, SchedShutdown, SHUTDOWN_crash } from "../../../abi/sched.ts";
import {
  __HYPERVISOR_grant_table_op as GRANTS,
  __HYPERVISOR_hvm_op as HVM,
  __HYPERVISOR_memory_op as MEMORY,
  __HYPERVISOR_sched_op as SCHED,
  DOMID_SELF,
} from "../../../abi/xen.ts";
import { addToPhysmap, hypercall, load, type Steps, store } from "../../sim/call.ts";
import type { GuestCpu, GuestProgram } from "../../sim/svm-cpu.ts";
import { GUEST_FRAMES, Lab, put, result, type Values } from "./lab.ts";

const DEVCTL = noxs.__HYPERVISOR_devctl;
const { Devctl, NoxsDevPage: Page, NoxsDevPageEntry: Entry, NoxsDevKey: Key } = noxs;
const AT = 0x9000;
const ABSENT = 0x3f00000;
const NOBODY = 999;
const PAGE_GFN = noxs.NOXS_DEVICE_PAGE / 4096;
const LIST = 0xa000;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

interface Device {
  type: number;
  id: number;
  be_id: number;
  grant: number;
  evtchn: number;
}
const device = (type: number, id: number, be_id = 0): Device => ({
  type,
  id,
  be_id,
  grant: 100 * type + id,
  evtchn: 200 * type + id,
});
const vif = (id: number, backend = 0): Device => device(noxs.noxs_dev_vif, id, backend);

function fillOf(cmd: number, domain: number, dev?: Partial<Device>, version = noxs.XEN_DEVCTL_VERSION) {
  return (view: DataView): void => {
    put(view, Devctl, { version, cmd, domain });
    if (cmd === noxs.XEN_DEVCTL_dev_rem) {
      put(view, Key, { type: dev?.type ?? 0, devid: dev?.id ?? 0 }, Devctl.dev_rem_dev);
    } else if (dev) {
      put(view, Entry, dev, Devctl.dev_add_dev);
    }
  };
}

/** Domain 0's devctl. */
function ask(cmd: number, domain: number, dev?: Partial<Device>): { result: number; view: DataView } {
  return lab.dom0.structured(DEVCTL, null, Devctl.SIZE, fillOf(cmd, domain, dev));
}
const get = (domain: number): number => ask(noxs.XEN_DEVCTL_get, domain).result;
const add = (domain: number, dev: Partial<Device>): number => ask(noxs.XEN_DEVCTL_dev_add, domain, dev).result;
const remove = (domain: number, type: number, id: number): number =>
  ask(noxs.XEN_DEVCTL_dev_rem, domain, { type, id }).result;

function entryAt(view: DataView, at: number): Device {
  return {
    type: view.getUint32(at + Entry.type, true),
    id: view.getUint32(at + Entry.id, true),
    be_id: view.getUint16(at + Entry.be_id, true),
    grant: view.getUint32(at + Entry.grant, true),
    evtchn: view.getUint32(at + Entry.evtchn, true),
  };
}

/** What dev_enum says. */
function devices(domain: number): Device[] {
  const { result: rc, view } = ask(noxs.XEN_DEVCTL_dev_enum, domain);
  if (rc !== 0) throw new Error(`dev_enum returned ${rc}`);
  const count = view.getUint32(Devctl.dev_enum_dev_count, true);
  return Array.from({ length: count }, (_, i) => entryAt(view, Devctl.dev_enum_devs + i * Entry.SIZE));
}

/** A guest's devctl. */
function* guestAsks(
  cpu: GuestCpu,
  cmd: number,
  domain: number,
  dev?: Partial<Device>,
  version?: number,
): Steps<{ result: number; view: DataView }> {
  const bytes = new DataView(new ArrayBuffer(Devctl.SIZE));
  fillOf(cmd, domain, dev, version)(bytes);
  cpu.poke(AT, new Uint8Array(bytes.buffer));
  const rc = yield* hypercall(cpu, DEVCTL, AT);
  return { result: rc, view: new DataView(cpu.peek(AT, Devctl.SIZE).slice().buffer) };
}

/** Builds a guest, lets `prepare` act on it before its first instruction, and runs it to its end. */
function withGuest(
  t: Parameters<Lab["audit"]>[0],
  prepare: (id: number) => void,
  program: (cpu: GuestCpu, id: number) => Steps<void>,
  after: (id: number) => void = () => {},
  others: number[] = [],
  before = lab.free,
): void {
  let id = -1;
  let ended = false;
  const whole: GuestProgram = function* (cpu) {
    yield* program(cpu, id);
    ended = true;
    for (;;) yield { kind: "spin", ns: 1_000_000 };
  };
  id = lab.dom0.build(whole, GUEST_FRAMES);
  prepare(id);
  t.is(lab.dom0.unpause(id), 0);
  lab.machine.runUntil(() => ended, "the end of the guest's program");
  after(id);
  lab.audit(t);
  lab.destroy(id, ...others);
  lab.audit(t);
  t.is(lab.free, before, "every frame is back");
}

test.serial("a domain that has run without a device page keeps dm_op", (t) => {
  withGuest(
    t,
    (id) => {
      t.deepEqual(devices(id), [], "asking decides nothing");
      t.is(remove(id, noxs.noxs_dev_vif, 0), -ENOENT);
    },
    function* (cpu, id) {
      t.is((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).result, -ENODATA, "dm_op without buffers");
      t.is(yield* hypercall(cpu, DEVCTL, id, 1, AT), -EPERM, "dm_op on oneself");
    },
    (id) => {
      t.is(get(id), -EOPNOTSUPP);
      t.is(add(id, vif(0)), -EOPNOTSUPP);
      t.deepEqual(devices(id), []);
      lab.dom0.pause(id);
      t.is(get(id), -EOPNOTSUPP, "nor when it is paused");
    },
  );
});

for (const [how, choose] of [
  ["get", (id: number) => get(id)],
  ["dev_add", (id: number) => add(id, vif(3))],
] as const) {
  test.serial(`domain 0's ${how} before the domain's first instruction gives it devctl`, (t) => {
    withGuest(
      t,
      (id) => {
        t.is(lab.dom0.pause(id), 0);
        t.is(lab.dom0.unpause(id), 0, "it has not run yet");
        t.is(choose(id), 0);
        t.is(get(id), 0, "again");
      },
      function* (cpu, id) {
        const own = yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF);
        t.is(own.result, 0);
        t.is(own.view.getBigUint64(Devctl.get_mfn, true), BigInt(noxs.NOXS_DEVICE_PAGE));
        t.is((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, id)).result, 0, "by its id");
        const expected = how === "get" ? [] : [vif(3)];
        const page = cpu.view(noxs.NOXS_DEVICE_PAGE, 4096);
        t.is(page.getUint32(Page.version, true), 0);
        t.is(page.getUint32(Page.dev_count, true), expected.length);
        if (expected.length > 0) t.deepEqual(entryAt(page, Page.devs), expected[0]);
        for (let at: number = Page.devs + expected.length * Entry.SIZE; at < 4096; at += 4) {
          if (page.getUint32(at, true) !== 0) t.fail(`the page has something at ${at}`);
        }
      },
      (id) => {
        t.is(add(id, vif(9)), 0, "and more while it runs");
        t.is(devices(id).length, how === "get" ? 1 : 2);
      },
    );
  });
}

test.serial("a PVHv1 guest has devctl from the start, and a page once it asks", (t) => {
  lab.dom0.flags = domctl.XEN_DOMCTL_CDF_hap;
  lab.dom0.emulation = 0;
  t.teardown(() => {
    lab.dom0.flags = domctl.XEN_DOMCTL_CDF_hvm | domctl.XEN_DOMCTL_CDF_hap;
    lab.dom0.emulation = domctl.XEN_X86_EMU_LAPIC;
  });
  let free = 0;
  withGuest(
    t,
    () => {
      free = lab.free;
    },
    function* (cpu) {
      t.is((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).result, 0);
      t.is(yield* load(PAGE_GFN), 0n);
    },
    (id) => {
      t.is(lab.free, free - 3, "the page, and the nested tables of the 2 MiB and the GiB below 4 GiB");
      t.is(add(id, vif(1)), 0);
    },
  );
});

test.serial("domain 0 has devctl and a page of its own, which it cannot write", (t) => {
  const { result: rc, view } = ask(noxs.XEN_DEVCTL_get, DOMID_SELF);
  t.is(rc, 0);
  t.is(view.getBigUint64(Devctl.get_mfn, true), BigInt(DOM0_DEVICE_PAGE));
  t.deepEqual([...lab.dom0.read(DOM0_DEVICE_PAGE, 4096)], new Array(4096).fill(0));
  t.throws(() => lab.dom0.write(DOM0_DEVICE_PAGE, new Uint8Array([1])));
  t.is(add(0, vif(0)), 0);
  t.is(lab.dom0.read(DOM0_DEVICE_PAGE + Page.dev_count, 1)[0], 1);
  t.is(lab.dom0.hypercall(DEVCTL, 0xffff0000), -EFAULT);
  t.is(remove(0, noxs.noxs_dev_vif, 0), 0);
  lab.audit(t);
});

test.serial("a guest may get its own page and nothing else", (t) => {
  withGuest(
    t,
    (id) => t.is(get(id), 0),
    function* (cpu, id) {
      const call = function* (cmd: number, domain: number, dev?: Partial<Device>, version?: number): Steps<number> {
        return (yield* guestAsks(cpu, cmd, domain, dev, version)).result;
      };
      t.is(yield* hypercall(cpu, DEVCTL, ABSENT), -EFAULT);
      t.is(yield* hypercall(cpu, DEVCTL, 1n << 60n), -EFAULT);
      t.is(yield* call(noxs.XEN_DEVCTL_get, DOMID_SELF, undefined, 2), -EACCES);
      t.is(yield* call(noxs.XEN_DEVCTL_get, DOMID_SELF, undefined, 0), -EACCES);
      for (const domain of [0, NOBODY, 0x7ff1, 0xffff]) t.is(yield* call(noxs.XEN_DEVCTL_get, domain), -EPERM);
      for (const domain of [0, id, NOBODY, DOMID_SELF]) {
        t.is(yield* call(noxs.XEN_DEVCTL_dev_add, domain, vif(0)), -EPERM);
        t.is(yield* call(noxs.XEN_DEVCTL_dev_rem, domain, vif(0)), -EPERM);
        t.is(yield* call(noxs.XEN_DEVCTL_dev_enum, domain), -EPERM);
        t.is(yield* call(0, domain), -EPERM);
        t.is(yield* call(5, domain), -EPERM);
      }
    },
  );
});

test.serial("domain 0's errors, in their order", (t) => {
  const before = lab.free;
  const id = lab.dom0.build(function* () {}, GUEST_FRAMES);
  t.is(lab.dom0.structured(DEVCTL, null, Devctl.SIZE, fillOf(noxs.XEN_DEVCTL_get, id, undefined, 3)).result, -EACCES);
  t.is(get(NOBODY), -ESRCH);
  t.is(add(NOBODY, vif(0)), -ESRCH);
  t.is(add(DOMID_SELF, vif(0)), -ESRCH, "only get knows DOMID_SELF");
  t.is(ask(0, id).result, -ESRCH, "no such command");
  t.is(ask(5, id).result, -ESRCH);
  t.is(add(id, device(noxs.noxs_dev_none, 0, NOBODY)), -EINVAL);
  t.is(add(id, vif(0, NOBODY)), -ESRCH, "no such backend");
  t.is(add(id, vif(0, DOMID_SELF)), -ESRCH);
  t.is(remove(id, noxs.noxs_dev_vif, 0), -ENOENT);
  for (let n = 0; n < noxs.NOXS_DEV_COUNT_MAX; n++) t.is(add(id, vif(n)), 0, `device ${n}`);
  t.is(add(id, vif(5)), -EEXIST);
  t.is(add(id, device(noxs.noxs_dev_vbd, 5)), -ENOBUFS);
  t.is(devices(id).length, noxs.NOXS_DEV_COUNT_MAX);
  t.is(remove(id, noxs.noxs_dev_vbd, 5), -ENOENT, "of another type");
  t.is(remove(id, noxs.noxs_dev_vif, 40), -ENOENT);
  t.is(remove(id, noxs.noxs_dev_vif, 5), 0);
  t.is(remove(id, noxs.noxs_dev_vif, 5), -ENOENT);
  t.is(add(id, device(noxs.noxs_dev_vbd, 5)), 0, "there is room again");
  lab.audit(t);
  lab.destroy(id);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("the page stays dense and in order, whatever is removed", (t) => {
  const before = lab.free;
  const id = lab.dom0.build(function* () {}, GUEST_FRAMES);
  const model: Device[] = [];
  const check = (): void => {
    t.deepEqual(devices(id), model);
  };
  for (const [type, n] of [
    [1, 0],
    [2, 0],
    [2, 1],
    [3, 0],
    [3, 768],
    [9, 0],
  ] as const) {
    t.is(add(id, device(type, n)), 0);
    model.push(device(type, n));
    check();
  }
  for (const gone of [2, 0, 3, 1, 1, 0]) {
    const [{ type, id: n }] = model.splice(gone, 1) as [Device];
    t.is(remove(id, type, n), 0);
    check();
    const raw = ask(noxs.XEN_DEVCTL_dev_enum, id).view;
    for (let at: number = Devctl.dev_enum_devs + model.length * Entry.SIZE; at < Devctl.SIZE - 4; at += 4) {
      t.is(raw.getUint32(at, true), 0, "nothing behind the last");
    }
    lab.audit(t);
  }
  lab.destroy(id);
  t.is(lab.free, before);
});

test.serial("only the entry's fields get into the page, not what is between them", (t) => {
  const id = lab.dom0.build(function* () {}, GUEST_FRAMES);
  const { result: rc } = lab.dom0.structured(DEVCTL, null, Devctl.SIZE, (view) => {
    for (let i = 0; i < Devctl.SIZE; i++) view.setUint8(i, 0xaa);
    fillOf(noxs.XEN_DEVCTL_dev_add, id, vif(1))(view);
    view.setUint16(Devctl.dev_add_dev + Entry.be_id + 2, 0xaaaa, true);
  });
  t.is(rc, 0);
  const { view } = ask(noxs.XEN_DEVCTL_dev_enum, id);
  t.is(view.getUint32(Devctl.dev_enum_devs + Entry.be_id, true), 0);
  lab.destroy(id);
});

test.serial("a guest reads its page and can neither change nor lend it", (t) => {
  withGuest(
    t,
    (id) => t.is(add(id, vif(7)), 0),
    function* (cpu) {
      const first = 1n << 32n; // version 0, one device
      t.is(yield* load(PAGE_GFN), first);
      yield* store(PAGE_GFN, 77n);
      t.is(yield* load(PAGE_GFN), first, "a write is discarded");
      t.is(yield* hypercall(cpu, HVM, HVMOP_get_time, noxs.NOXS_DEVICE_PAGE), 0);
      t.is(yield* load(PAGE_GFN), first, "and one by a hypercall");
      const type = yield* memType(cpu);
      t.is(type, HVMMEM_ram_ro);
      // A grant of it, copied from by the guest itself: not RAM.
      t.is(yield* addToPhysmap(cpu, mem.XENMAPSPACE_grant_table, 41), 0);
      put(cpu.view(41 * 4096 + 8 * gnt.GrantEntryV1.SIZE, 8), gnt.GrantEntryV1, {
        flags: gnt.GTF_permit_access,
        domid: 0,
        frame: PAGE_GFN,
      });
      const copy = yield* copyStatus(cpu, PAGE_GFN);
      t.is(copy, gnt.GNTST_bad_page);
      t.is(yield* vcpuInfoAt(cpu), -EINVAL);
    },
  );
});

function* memType(cpu: GuestCpu): Steps<number> {
  put(cpu.view(AT, HvmGetMemType.SIZE), HvmGetMemType, { domid: DOMID_SELF, pfn: PAGE_GFN });
  if ((yield* hypercall(cpu, HVM, HVMOP_get_mem_type, AT)) !== 0) return -1;
  return cpu.view(AT, HvmGetMemType.SIZE).getUint16(HvmGetMemType.mem_type, true);
}

function* copyStatus(cpu: GuestCpu, gfn: number): Steps<number> {
  put(cpu.view(AT, gnt.GnttabCopy.SIZE), gnt.GnttabCopy, {
    source_u: gfn,
    source_domid: DOMID_SELF,
    dest_u: 20,
    dest_domid: DOMID_SELF,
    len: 8,
  } as Values<typeof gnt.GnttabCopy>);
  if ((yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_copy, AT, 1)) !== 0) return -1;
  return cpu.view(AT, gnt.GnttabCopy.SIZE).getInt16(gnt.GnttabCopy.status, true);
}

function* vcpuInfoAt(cpu: GuestCpu): Steps<number> {
  const view = cpu.view(AT, 16);
  view.setBigUint64(0, BigInt(PAGE_GFN), true);
  view.setUint32(8, 0, true);
  return yield* hypercall(cpu, 24, 10, 0, AT); // VCPUOP_register_vcpu_info
}

test.serial("what a guest unmaps or covers it gets again, unless a grant is in the way", (t) => {
  withGuest(
    t,
    (id) => t.is(add(id, vif(7)), 0),
    function* (cpu) {
      const again = function* (): Steps<number> {
        return (yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).result;
      };
      const removeIt = { domid: DOMID_SELF, gpfn: PAGE_GFN };
      t.is(yield* result(cpu, MEMORY, mem.XENMEM_remove_from_physmap, mem.RemoveFromPhysmap, removeIt), 0);
      t.is(yield* load(PAGE_GFN), 0xffffffffffffffffn);
      t.is(yield* again(), 0);
      t.is(yield* load(PAGE_GFN), 1n << 32n);

      cpu.view(LIST, 8).setBigUint64(0, BigInt(PAGE_GFN), true);
      const extent = { extent_start: LIST, nr_extents: 1, domid: DOMID_SELF };
      t.is(yield* result(cpu, MEMORY, mem.XENMEM_decrease_reservation, mem.MemoryReservation, extent), 1);
      t.is(yield* result(cpu, MEMORY, mem.XENMEM_populate_physmap, mem.MemoryReservation, extent), 1);
      yield* store(PAGE_GFN, 5n);
      t.is(yield* load(PAGE_GFN), 5n, "RAM");
      t.is(yield* again(), 0);
      t.is(yield* load(PAGE_GFN), 1n << 32n);
      t.is(yield* result(cpu, MEMORY, mem.XENMEM_populate_physmap, mem.MemoryReservation, extent), 1, "over it");
      t.is(yield* again(), 0);

      const move = { domid: DOMID_SELF, space: mem.XENMAPSPACE_gmfn, idx: PAGE_GFN, gpfn: 45 };
      t.true((yield* result(cpu, MEMORY, mem.XENMEM_add_to_physmap, mem.AddToPhysmap, move)) < 0, "it cannot be moved");

      // Its own page, granted by itself and mapped over the device page.
      t.is(yield* addToPhysmap(cpu, mem.XENMAPSPACE_grant_table, 41), 0);
      const own = Number((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).view.getBigUint64(16, true));
      t.is(own, noxs.NOXS_DEVICE_PAGE);
    },
  );
});

test.serial("a grant mapped over the page keeps it away until it is unmapped", (t) => {
  const before = lab.free;
  const granter = lab.dom0.build(function* (cpu) {
    yield* addToPhysmap(cpu, mem.XENMAPSPACE_grant_table, 41);
    put(cpu.view(41 * 4096 + 8 * gnt.GrantEntryV1.SIZE, 8), gnt.GrantEntryV1, {
      flags: gnt.GTF_permit_access,
      domid: granter + 1,
      frame: 20,
    });
    for (;;) yield { kind: "spin", ns: 1_000_000 };
  }, GUEST_FRAMES);
  lab.dom0.unpause(granter);
  lab.machine.step(20);
  withGuest(
    t,
    (id) => {
      t.is(id, granter + 1);
      t.is(get(id), 0);
    },
    function* (cpu) {
      const M = gnt.GnttabMapGrantRef;
      put(cpu.view(AT, M.SIZE), M, {
        host_addr: noxs.NOXS_DEVICE_PAGE,
        flags: gnt.GNTMAP_host_map,
        ref: 8,
        dom: granter,
      });
      t.is(yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_map_grant_ref, AT, 1), 0);
      t.is(cpu.view(AT, M.SIZE).getInt16(M.status, true), gnt.GNTST_okay);
      const handle = cpu.view(AT, M.SIZE).getUint32(M.handle, true);
      t.is((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).result, -ENXIO);
      const U = gnt.GnttabUnmapGrantRef;
      put(cpu.view(AT, U.SIZE), U, { host_addr: noxs.NOXS_DEVICE_PAGE, handle });
      t.is(yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_unmap_grant_ref, AT, 1), 0);
      t.is((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).result, 0);
      t.is(yield* load(PAGE_GFN), 0n);
    },
    () => {},
    [granter],
    before,
  );
});

test.serial("when a backend's domain is destroyed its devices leave all pages, the others stay", (t) => {
  const before = lab.free;
  const make = (): number => lab.dom0.build(function* () {}, GUEST_FRAMES);
  const [backend, other, first, second] = [make(), make(), make(), make()] as [number, number, number, number];
  for (const front of [first, second, backend]) {
    for (const dev of [vif(0, backend), vif(1, other), vif(2, backend), vif(3, 0), vif(4, backend)]) {
      t.is(add(front, dev), 0);
    }
  }
  lab.audit(t);
  // A frame of it that domain 0 maps keeps its record, and it is dying until then.
  const address = lab.dom0.mapForeign(backend, 10);
  lab.destroy(backend);
  lab.audit(t);
  for (const front of [first, second]) {
    t.deepEqual(devices(front), [vif(1, other), vif(3, 0)]);
    t.is(add(front, vif(8, backend)), -ESRCH, "a dying backend offers nothing more");
  }
  t.is(get(backend), -ESRCH);
  t.is(ask(noxs.XEN_DEVCTL_dev_enum, backend).result, -ESRCH);
  t.is(lab.dom0.unmapForeign(address), 0);
  lab.machine.step(3);
  lab.destroy(first);
  lab.audit(t);
  lab.destroy(other);
  t.deepEqual(devices(second), [vif(3, 0)]);
  lab.audit(t);
  lab.destroy(second);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("a page and its nested tables are charged to the domain: beyond its limit it is as before", (t) => {
  const before = lab.free;
  const { dom0 } = lab;
  const id = dom0.build(function* () {}, GUEST_FRAMES);
  const pool = (pages: number): number =>
    dom0.domctl(domctl.XEN_DOMCTL_set_paging_mempool_size, id, (v, u) =>
      put(v, domctl.DomctlPagingMempool, { size: pages * 4096 }, u),
    ).result;
  t.is(pool(1), 0);
  // A nested table for each of them.
  let taken = 0;
  while (dom0.populate(id, [(taken + 1) << 9]) === 1) taken++;
  t.true(taken > 0 && taken < 60, "the limit is one of page tables, not of RAM");
  const full = lab.free;
  let pages = 1;
  for (; get(id) === -ENOMEM && pages < 20; t.is(pool(++pages), 0)) {
    t.is(add(id, vif(0)), -ENOMEM);
    t.is(lab.free, full, "nothing is kept of a failed attempt");
    lab.audit(t);
  }
  t.is(pages, 4, "a frame for the page, two for tables");
  t.is(add(id, vif(0)), 0);
  lab.audit(t);
  lab.destroy(id);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("without memory the domain is as before, and has no devctl", (t) => {
  const before = lab.free;
  const { dom0 } = lab;
  const answers: number[] = [];
  const id = dom0.build(function* (cpu) {
    answers.push((yield* guestAsks(cpu, noxs.XEN_DEVCTL_get, DOMID_SELF)).result);
    for (;;) yield { kind: "spin", ns: 1_000_000 };
  }, GUEST_FRAMES);
  const hog = dom0.create();
  t.is(dom0.maxMem(hog, 1 << 20), 0);
  const fill = (from: number, count: number): number =>
    dom0.populate(
      hog,
      Array.from({ length: count }, (_, i) => from + i),
    );
  let next = 0;
  for (let given = 256; given === 256; next += given) given = fill(next, 256);
  // What was promised to the guest is still there: it uses that up for nested tables, one for each of these frames.
  t.is(
    dom0.release(
      hog,
      Array.from({ length: 100 }, (_, i) => i),
    ),
    100,
  );
  for (let n = 1; dom0.populate(id, [n << 9]) === 1;) n++;
  fill(0, 100);
  const full = lab.free;
  t.is(get(id), -ENOMEM);
  t.is(lab.free, full);
  t.is(dom0.unpause(id), 0);
  lab.machine.runUntil(() => answers.length > 0, "the guest's call");
  t.deepEqual(answers, [-ENODATA], "dm_op");
  lab.audit(t);
  lab.destroy(id, hog);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("domain 0's restart leaves the pages as they are, and its own can be had again", async (t) => {
  const own = await Lab.open();
  const was = lab;
  lab = own;
  t.teardown(() => (lab = was));
  const { dom0, machine } = own;
  const id = dom0.build(function* () {}, GUEST_FRAMES);
  t.is(add(id, vif(2, 0)), 0);
  t.is(add(0, device(noxs.noxs_dev_vbd, 1, id)), 0);
  t.is(get(0), 0);
  dom0.structured(SCHED, SCHEDOP_shutdown, SchedShutdown.SIZE, (v) => {
    v.setUint32(SchedShutdown.reason, SHUTDOWN_crash, true);
  });
  machine.runUntil(() => machine.output.includes("is restarted"), "the restart of domain 0");
  machine.step(2);
  own.audit(t);
  t.deepEqual(devices(id), [vif(2, 0)]);
  t.throws(() => dom0.page(DOM0_DEVICE_PAGE + 0x100000000, false));
  t.is(get(0), 0);
  t.is(new DataView(dom0.read(DOM0_DEVICE_PAGE, 8).buffer).getUint32(Page.dev_count, true), 1);
  own.audit(t);
  own.destroy(id);
  t.deepEqual(devices(0), [], "its backend is gone");
  own.audit(t);
});
