/** Memory operations from inside a guest: reservations, its physmap, and the limits of both. */
import test from "ava";
import {
  EACCES,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSYS,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  ESRCH,
} from "../../../abi/errno.ts";
import * as hvm from "../../../abi/hvm.ts";
import * as mem from "../../../abi/memory.ts";
import { __HYPERVISOR_hvm_op as HVM, __HYPERVISOR_memory_op as MEMORY, DOMID_SELF } from "../../../abi/xen.ts";
import { hypercall, load, type Steps, store } from "../../sim/call.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { call, GUEST_FRAMES, Lab, put, result, type Values } from "./lab.ts";

const NOBODY = 999;
const LIST = 0xa000;
const LIMIT = GUEST_FRAMES + 64; // max_mem as the builder sets it
const GFN_LIMIT = 1n << 27n;
const ALL_ONES = 0xffffffffffffffffn;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

const reserve = function* (
  cpu: GuestCpu,
  op: number,
  gfns: (number | bigint)[],
  values: Values<typeof mem.MemoryReservation> = {},
): Steps<number> {
  gfns.forEach((gfn, i) => cpu.view(LIST + i * 8, 8).setBigUint64(0, BigInt.asUintN(64, BigInt(gfn)), true));
  const all = { extent_start: LIST, nr_extents: gfns.length, domid: DOMID_SELF, ...values };
  return yield* result(cpu, MEMORY, op, mem.MemoryReservation, all);
};
const populate = function* (
  cpu: GuestCpu,
  gfns: (number | bigint)[],
  values: Values<typeof mem.MemoryReservation> = {},
): Steps<number> {
  return yield* reserve(cpu, mem.XENMEM_populate_physmap, gfns, values);
};
const decrease = function* (cpu: GuestCpu, gfns: (number | bigint)[], order = 0): Steps<number> {
  return yield* reserve(cpu, mem.XENMEM_decrease_reservation, gfns, { extent_order: order });
};
const ask = function* (cpu: GuestCpu, op: number, domid = DOMID_SELF): Steps<number> {
  return yield* result(cpu, MEMORY, op, mem.MemoryDomain, { domid });
};
const add = function* (cpu: GuestCpu, values: Values<typeof mem.AddToPhysmap>): Steps<number> {
  return yield* result(cpu, MEMORY, mem.XENMEM_add_to_physmap, mem.AddToPhysmap, { domid: DOMID_SELF, ...values });
};
const remove = function* (cpu: GuestCpu, gpfn: number | bigint, domid = DOMID_SELF): Steps<number> {
  return yield* result(cpu, MEMORY, mem.XENMEM_remove_from_physmap, mem.RemoveFromPhysmap, { domid, gpfn });
};

test.serial("reservations grow and shrink, up to the limit", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), GUEST_FRAMES);
    t.is(yield* ask(cpu, mem.XENMEM_maximum_reservation), LIMIT);
    t.is(yield* ask(cpu, mem.XENMEM_maximum_gpfn), GUEST_FRAMES - 1);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation, 0), -EPERM);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation, NOBODY), -ESRCH);
    t.is(yield* populate(cpu, [200, 201, 202]), 3);
    t.is(yield* load(201), 0n);
    yield* store(201, 77n);
    t.is(yield* load(201), 77n);
    t.is(yield* ask(cpu, mem.XENMEM_maximum_gpfn), 202);
    const many = Array.from({ length: 100 }, (_, i) => 1000 + i);
    t.is(yield* populate(cpu, many), LIMIT - GUEST_FRAMES - 3, "stops at the limit");
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), LIMIT);
    t.is(yield* decrease(cpu, many), LIMIT - GUEST_FRAMES - 3);
    t.is(yield* decrease(cpu, [1000]), 0, "nothing there");
    t.is(yield* load(1000), ALL_ONES);
    t.is(yield* reserve(cpu, mem.XENMEM_increase_reservation, [0, 0]), 2);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), GUEST_FRAMES + 5);
  });
});

test.serial("extents larger than a frame", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* populate(cpu, [512], { extent_order: 4 }), 1);
    t.is(yield* populate(cpu, [601], { extent_order: 2 }), 1, "not aligned: frame by frame");
    yield* store(604, 5n);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), GUEST_FRAMES + 20);
    t.is(yield* decrease(cpu, [512], 4), 1);
    t.is(yield* decrease(cpu, [601], 2), 1);
    t.is(yield* load(604), ALL_ONES);
    t.is(yield* populate(cpu, [512], { extent_order: 9 }), 0, "more than it may have");
    t.is(yield* populate(cpu, [512], { extent_order: 10 }), 0);
    t.is(yield* populate(cpu, [512], { extent_order: 0xffffffff }), 0);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), GUEST_FRAMES);
  });
});

test.serial("hostile reservations do nothing", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* populate(cpu, [210, 1n << 50n, 211]), 1, "stops at the bad one");
    t.is(yield* populate(cpu, [-1n]), 0);
    t.is(yield* populate(cpu, [GFN_LIMIT]), 0);
    t.is(yield* populate(cpu, [GFN_LIMIT - 1n]), 1, "the last gfn there is");
    t.is(yield* decrease(cpu, [GFN_LIMIT - 1n]), 1);
    t.is(yield* populate(cpu, [300], { domid: 0 }), 0, "another domain's");
    t.is(yield* populate(cpu, [300], { domid: NOBODY }), 0);
    t.is(yield* populate(cpu, [300], { nr_extents: -1 }), 0);
    t.is(yield* populate(cpu, [300], { nr_extents: 0x10000000 }), 0);
    t.is(yield* populate(cpu, [300], { mem_flags: mem.XENMEMF_populate_on_demand }), 0);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_populate_physmap, 0xdead00000000n), 0);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_populate_physmap | (7 << 6), 0xdead00000000n), 7);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), GUEST_FRAMES + 1);
  });
});

test.serial("where shared_info, RAM and others' memory can be mapped", (t) => {
  lab.run(t, function* (cpu) {
    const shared = { space: mem.XENMAPSPACE_shared_info };
    t.is(yield* add(cpu, { ...shared, gpfn: 40 }), 0);
    t.is(yield* ask(cpu, mem.XENMEM_current_reservation), GUEST_FRAMES - 1, "RAM in the way is freed");
    t.is(yield* add(cpu, { ...shared, idx: 1, gpfn: 40 }), -EINVAL);
    t.is(yield* add(cpu, { ...shared, gpfn: -1 }), -EINVAL);
    t.is(yield* add(cpu, { ...shared, gpfn: 1n << 40n }), -EINVAL);
    t.is(yield* add(cpu, { ...shared, gpfn: 50 }), 0);
    t.is(yield* load(40), ALL_ONES, "it has moved");
    t.is(yield* add(cpu, { space: mem.XENMAPSPACE_gmfn_foreign, gpfn: 50 }), -ENOSYS);
    t.is(yield* add(cpu, { space: 9, gpfn: 50 }), -EINVAL);
    t.is(yield* add(cpu, { space: mem.XENMAPSPACE_dev_mmio, gpfn: 50 }), -EACCES);
    t.is(yield* add(cpu, { ...shared, domid: 0, gpfn: 50 }), -EPERM);
    t.is(yield* add(cpu, { ...shared, domid: NOBODY, gpfn: 50 }), -ESRCH);
    yield* store(20, 0x1234n);
    t.is(yield* add(cpu, { space: mem.XENMAPSPACE_gmfn, idx: 20, gpfn: 220 }), 0);
    t.is(yield* load(220), 0x1234n);
    t.is(yield* load(20), ALL_ONES);
    t.is(yield* add(cpu, { space: mem.XENMAPSPACE_gmfn, idx: 20, gpfn: 221 }), -EINVAL, "nothing there any more");
    t.is(yield* add(cpu, { space: mem.XENMAPSPACE_gmfn, idx: 220, gpfn: 220 }), 0);
    const range = { space: mem.XENMAPSPACE_gmfn_range, gpfn: 321, size: 4 };
    t.is(yield* add(cpu, { ...range, idx: 21 }), 0);
    t.is(yield* add(cpu, { ...range, idx: -2 }), -EOVERFLOW);
    t.is(yield* remove(cpu, 50), 0);
    t.is(yield* remove(cpu, 50), -ENOENT);
    t.is(yield* remove(cpu, -1), -ENOENT);
    t.is(yield* remove(cpu, 321, 0), -EPERM);
    t.is(yield* remove(cpu, 321), 0, "RAM stays the guest's, out of reach");
    cpu.view(LIST, 24).setBigUint64(0, 0n, true);
    cpu.view(LIST, 24).setBigUint64(8, 400n, true);
    const batch = function* (space: number): Steps<number> {
      const values = { domid: DOMID_SELF, space, size: 1, idxs: LIST, gpfns: LIST + 8, errs: LIST + 16 };
      const rc = yield* result(cpu, MEMORY, mem.XENMEM_add_to_physmap_batch, mem.AddToPhysmapBatch, values);
      return rc < 0 ? rc : cpu.view(LIST + 16, 4).getInt32(0, true);
    };
    t.is(yield* batch(mem.XENMAPSPACE_gmfn_foreign), -EPERM, "only domain 0 maps others' memory");
    t.is(yield* batch(mem.XENMAPSPACE_shared_info), 0);
    t.is(yield* batch(mem.XENMAPSPACE_gmfn_range), -EOPNOTSUPP);
  });
});

test.serial("page tables have a limit, however sparse a guest makes its memory", (t) => {
  lab.run(t, function* (cpu) {
    const before = lab.free;
    let from = 20;
    let rc = 0;
    for (let i = 1; i < 3000 && rc === 0; i++) {
      rc = yield* add(cpu, { space: mem.XENMAPSPACE_gmfn, idx: from, gpfn: 512 * i });
      if (rc === 0) from = 512 * i;
    }
    t.is(rc, -ENOMEM);
    t.true(before - lab.free < 300, "about one MiB");
    t.is(yield* load(from), 0n, "the page is where it was last");
  });
});

test.serial("what is not offered, or not to a guest", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_acquire_resource, mem.MemAcquireResource, {}), -EACCES);
    const exchange = function* (extents: number, more: number, order: number, domid: number): Steps<number> {
      const values = { nr_extents: extents, extent_order: order, domid };
      const at = cpu.view(LIST + 0x800, mem.MemoryExchange.SIZE);
      put(at, mem.MemoryReservation, values, mem.MemoryExchange.in_);
      put(at, mem.MemoryReservation, { ...values, nr_extents: more }, mem.MemoryExchange.out);
      return yield* hypercall(cpu, MEMORY, mem.XENMEM_exchange, LIST + 0x800);
    };
    t.is(yield* exchange(0, 0, 0, DOMID_SELF), 0, "nothing to do");
    t.is(yield* exchange(1, 1, 10, DOMID_SELF), -EPERM, "larger than 2 MiB");
    t.is(yield* exchange(1, 2, 0, DOMID_SELF), -EINVAL);
    t.is(yield* exchange(1, 1, 0, NOBODY), -ESRCH);
    t.is(yield* exchange(1, 1, 0, 0), -EPERM);
    t.is(yield* exchange(1, 1, 0, DOMID_SELF), -EOPNOTSUPP);
    const access = function* (domid: number): Steps<number> {
      return yield* result(cpu, MEMORY, mem.XENMEM_access_op, mem.MemAccessOp, { domid });
    };
    t.is(yield* access(DOMID_SELF), -ESRCH, "only ids name its domain");
    t.is(yield* access(0), -EINVAL);
    const reserved = mem.XENMEM_reserved_device_memory_map;
    const { result: rc, view } = yield* call(cpu, MEMORY, reserved, mem.ReservedDeviceMemoryMap, { nr_entries: 7 });
    t.is(rc, 0);
    t.is(view.getUint32(mem.ReservedDeviceMemoryMap.nr_entries, true), 0);
    t.is(yield* result(cpu, MEMORY, reserved, mem.ReservedDeviceMemoryMap, { flags: 2 }), -EINVAL);
    for (const op of [mem.XENMEM_paging_op, mem.XENMEM_sharing_op, mem.XENMEM_machphys_mapping]) {
      t.is(yield* hypercall(cpu, MEMORY, op, LIST), -ENOSYS);
    }
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_machphys_compat_mfn_list, LIST), -EOPNOTSUPP);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_get_sharing_freed_pages, 0), 0);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_get_sharing_shared_pages, 0), 0);
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_claim_pages, mem.MemoryReservation, { domid: NOBODY }), -EINVAL);
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_claim_pages, mem.MemoryReservation, { domid: 0 }), -EPERM);
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_memory_map, mem.MemoryMap, {}), -ENOSYS, "none was set");
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_machine_memory_map, mem.MemoryMap, {}), -ENOSYS);
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_get_pod_target, mem.PodTarget, { domid: DOMID_SELF }), -EPERM);
    const topology = { domid: DOMID_SELF };
    t.is(yield* result(cpu, MEMORY, mem.XENMEM_get_vnumainfo, mem.VnumaTopologyInfo, topology), -EOPNOTSUPP);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_machphys_mfn_list, LIST), -ENOSYS);
    t.is(yield* hypercall(cpu, MEMORY, 40, LIST), -ENOSYS);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_maximum_ram_page, 0), 64 * 256);
    t.is(yield* hypercall(cpu, MEMORY, mem.XENMEM_maximum_ram_page | 64, 0), -EINVAL);
  });
});

test.serial("HVM parameters: whose is which", (t) => {
  lab.run(t, function* (cpu) {
    const set = function* (index: number, value: number | bigint, domid = DOMID_SELF): Steps<number> {
      return yield* result(cpu, HVM, hvm.HVMOP_set_param, hvm.HvmParam, { domid, index, value });
    };
    const get = function* (index: number): Steps<bigint> {
      const values = { domid: DOMID_SELF, index };
      const { result: rc, view } = yield* call(cpu, HVM, hvm.HVMOP_get_param, hvm.HvmParam, values);
      return rc < 0 ? BigInt(rc) : view.getBigUint64(hvm.HvmParam.value, true);
    };
    const callback = (2n << 56n) | 0xf3n;
    t.is(yield* set(hvm.HVM_PARAM_CALLBACK_IRQ, callback), 0);
    t.is(yield* get(hvm.HVM_PARAM_CALLBACK_IRQ), callback);
    t.is(yield* set(hvm.HVM_PARAM_STORE_PFN, 5), -EPERM);
    t.is(yield* set(hvm.HVM_PARAM_CONSOLE_PFN, 5), -EPERM);
    t.is(yield* get(hvm.HVM_PARAM_CONSOLE_PFN), 0n);
    t.is(yield* set(hvm.HVM_PARAM_STORE_EVTCHN, 5), 0);
    t.is(yield* get(hvm.HVM_PARAM_IDENT_PT), BigInt(-EPERM));
    t.is(yield* set(hvm.HVM_PARAM_PAE_ENABLED, 1), -EINVAL);
    t.is(yield* get(hvm.HVM_PARAM_PAE_ENABLED), BigInt(-EINVAL));
    t.is(yield* set(hvm.HVM_NR_PARAMS, 0), -EINVAL);
    t.is(yield* set(0xffffffff, 0), -EINVAL);
    t.is(yield* set(hvm.HVM_PARAM_CALLBACK_IRQ, 0, 0), -EINVAL, "domain 0 is no HVM domain");
    t.is(yield* set(hvm.HVM_PARAM_CALLBACK_IRQ, 0, NOBODY), -ESRCH);
    t.is(yield* set(hvm.HVM_PARAM_X87_FIP_WIDTH, 3), -EINVAL);
    t.is(yield* set(hvm.HVM_PARAM_X87_FIP_WIDTH, 8), 0);
    t.is(yield* set(hvm.HVM_PARAM_ACPI_IOPORTS_LOCATION, 1), -ENODEV);
    const upcall = function* (vcpu: number, vector: number): Steps<number> {
      const op = hvm.HVMOP_set_evtchn_upcall_vector;
      return yield* result(cpu, HVM, op, hvm.HvmEvtchnUpcallVector, { vcpu, vector });
    };
    t.is(yield* upcall(0, 0x30), 0);
    t.is(yield* upcall(0, 0xf), -EINVAL);
    t.is(yield* upcall(3, 0x30), -ENOENT);
    t.is(yield* result(cpu, HVM, hvm.HVMOP_get_time, hvm.HvmGetTime, {}), 0);
    t.is(yield* hypercall(cpu, HVM, hvm.HVMOP_flush_tlbs, 0), 0);
    t.is(yield* hypercall(cpu, HVM, hvm.HVMOP_flush_tlbs, 1), -EINVAL);
    t.is(yield* hypercall(cpu, HVM, hvm.HVMOP_guest_request_vm_event, 0), 0);
    t.is(yield* hypercall(cpu, HVM, hvm.HVMOP_altp2m, LIST), -EOPNOTSUPP);
    t.is(yield* hypercall(cpu, HVM, 99, 0), -ENOSYS);
  });
});
