/**
 * Hypercalls of 32-bit code, whose structures have 4-byte longs and handles: written here by the offsets that i386's ABI
 * gives Xen's public headers.
 */
import test from "ava";
import { EFAULT } from "../../../abi/errno.ts";
import {
  GNTCOPY_source_gref,
  GNTTABOP_copy,
  GNTTABOP_map_grant_ref,
  GNTTABOP_setup_table,
} from "../../../abi/grant-table.ts";
import {
  XENMAPSPACE_gmfn,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
  XENMEM_add_to_physmap_batch,
  XENMEM_decrease_reservation,
  XENMEM_memory_map,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_set_memory_map,
} from "../../../abi/memory.ts";
import {
  __HYPERVISOR_grant_table_op as GRANT,
  __HYPERVISOR_memory_op as MEMORY,
  __HYPERVISOR_multicall as MULTICALL,
  __HYPERVISOR_sched_op as SCHED,
  __HYPERVISOR_xen_version as VERSION,
  DOMID_SELF,
} from "../../../abi/xen.ts";
import { SCHEDOP_yield } from "../../../abi/sched.ts";
import { XENVER_version } from "../../../abi/version.ts";
import { load, type Steps, store } from "../../sim/call.ts";
import { PAGE } from "../../sim/ram.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { Lab } from "./lab.ts";

const ARGUMENTS = 10 * PAGE;
const LIST = 11 * PAGE;
const OUT = 12 * PAGE;
const XEN_4_17 = (4 << 16) | 17;
const FREE_GFN = 200;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

/** A hypercall from 32-bit code; its signed 32-bit result. */
const call32 = function* (op: number, ...args: number[]): Steps<number> {
  const rax = yield { kind: "hypercall", op, args, compat: true };
  return Number(BigInt.asIntN(32, rax));
};
/** Writes 16- and 32-bit values at offsets of the argument page. */
const put32 = (
  cpu: GuestCpu,
  words: Record<number, number>,
  halves: Record<number, number> = {},
  at = ARGUMENTS,
): void => {
  const view = cpu.view(at, 128);
  new Uint8Array(view.buffer, view.byteOffset, 128).fill(0xee); // what is not written must not matter
  for (const [offset, value] of Object.entries(words)) view.setUint32(Number(offset), value, true);
  for (const [offset, value] of Object.entries(halves)) view.setUint16(Number(offset), value, true);
};
const list32 = (cpu: GuestCpu, values: number[]): void => {
  values.forEach((value, i) => cpu.view(LIST + i * 4, 4).setUint32(0, value, true));
};

test.serial("reservations: struct of 20 bytes, lists of 4-byte frame numbers", (t) => {
  lab.run(t, function* (cpu) {
    list32(cpu, [FREE_GFN, FREE_GFN + 1, FREE_GFN + 2]);
    put32(cpu, { 0: LIST, 4: 3, 8: 0, 12: 0 }, { 16: DOMID_SELF });
    t.is(yield* call32(MEMORY, XENMEM_populate_physmap, ARGUMENTS), 3);
    yield* store(FREE_GFN + 2, 5n);
    t.is(yield* load(FREE_GFN + 2), 5n);
    t.is(yield* call32(MEMORY, XENMEM_decrease_reservation, ARGUMENTS), 3);
    t.is(yield* load(FREE_GFN + 2), 0xffffffffffffffffn);
  });
});

test.serial("add_to_physmap of 16 bytes, the batch of 20, remove_from_physmap of 8", (t) => {
  lab.run(t, function* (cpu) {
    yield* store(30, 77n);
    put32(cpu, { 4: XENMAPSPACE_gmfn, 8: 30, 12: FREE_GFN }, { 0: DOMID_SELF, 2: 0 });
    t.is(yield* call32(MEMORY, XENMEM_add_to_physmap, ARGUMENTS), 0);
    t.is(yield* load(FREE_GFN), 77n);
    list32(cpu, [FREE_GFN, 31, FREE_GFN + 5, FREE_GFN + 6]);
    put32(cpu, { 8: LIST, 12: LIST + 8, 16: OUT }, { 0: DOMID_SELF, 2: XENMAPSPACE_gmfn, 4: 2, 6: 0 });
    t.is(yield* call32(MEMORY, XENMEM_add_to_physmap_batch, ARGUMENTS), 0);
    t.deepEqual([cpu.view(OUT, 8).getInt32(0, true), cpu.view(OUT, 8).getInt32(4, true)], [0, 0]);
    t.is(yield* load(FREE_GFN + 5), 77n);
    put32(cpu, { 4: XENMAPSPACE_shared_info, 8: 0, 12: FREE_GFN + 9 }, { 0: DOMID_SELF });
    t.is(yield* call32(MEMORY, XENMEM_add_to_physmap, ARGUMENTS), 0);
    put32(cpu, { 4: FREE_GFN + 9 }, { 0: DOMID_SELF });
    t.is(yield* call32(MEMORY, XENMEM_remove_from_physmap, ARGUMENTS), 0);
    t.is(yield* call32(MEMORY, XENMEM_remove_from_physmap, 0x7ffff000), -EFAULT);
  });
});

test.serial("the memory map: of 8 bytes to get, of 12 to set", (t) => {
  lab.run(t, function* (cpu) {
    const entry = cpu.view(LIST, 20);
    entry.setBigUint64(0, 0n, true);
    entry.setBigUint64(8, 0x40000n, true);
    entry.setUint32(16, 1, true);
    put32(cpu, { 4: 1, 8: LIST }, { 0: DOMID_SELF });
    t.is(yield* call32(MEMORY, XENMEM_set_memory_map, ARGUMENTS), 0);
    put32(cpu, { 0: 8, 4: OUT });
    t.is(yield* call32(MEMORY, XENMEM_memory_map, ARGUMENTS), 0);
    t.is(cpu.view(ARGUMENTS, 4).getUint32(0, true), 1);
    t.is(cpu.view(OUT, 20).getBigUint64(8, true), 0x40000n);
    t.is(cpu.view(ARGUMENTS, 8).getUint32(4, true), OUT, "the handle beside it stays");
  });
});

test.serial("grants: setup_table's list of 4-byte frames, copies of 22 bytes, maps as in 64-bit mode", (t) => {
  lab.run(t, function* (cpu) {
    put32(cpu, { 4: 1, 12: LIST }, { 0: DOMID_SELF });
    list32(cpu, [1, 2]);
    t.is(yield* call32(GRANT, GNTTABOP_setup_table, ARGUMENTS, 1), 0);
    t.is(cpu.view(ARGUMENTS, 16).getInt16(8, true), 0);
    t.is(cpu.view(LIST, 8).getUint32(0, true), 0xffffffff, "mapped nowhere yet");
    t.is(cpu.view(LIST, 8).getUint32(4, true), 2, "nothing behind it is written");
    put32(cpu, { 4: XENMAPSPACE_grant_table, 8: 0, 12: FREE_GFN }, { 0: DOMID_SELF });
    t.is(yield* call32(MEMORY, XENMEM_add_to_physmap, ARGUMENTS), 0);

    // Two copies in one call: the second lies 24 bytes behind the first.
    cpu.view(30 * PAGE, 8).setBigUint64(0, 0x1122334455667788n, true);
    put32(
      cpu,
      { 0: 30, 8: 31, 24: 99999, 32: 31 },
      {
        ...{ 4: DOMID_SELF, 6: 0, 12: DOMID_SELF, 14: 16, 16: 8, 18: 0, 20: 0x7777 },
        ...{ 28: DOMID_SELF, 30: 0, 36: DOMID_SELF, 38: 0, 40: 8, 42: GNTCOPY_source_gref, 44: 0x7777 },
      },
    );
    t.is(yield* call32(GRANT, GNTTABOP_copy, ARGUMENTS, 2), 0);
    t.is(cpu.view(ARGUMENTS, 48).getInt16(20, true), 0);
    t.is(cpu.view(31 * PAGE, 32).getBigUint64(16, true), 0x1122334455667788n);
    t.is(cpu.view(ARGUMENTS, 48).getInt16(20, true), 0);
    t.is(cpu.view(ARGUMENTS, 48).getInt16(44, true), -3, "GNTST_bad_gntref");
    t.is(cpu.view(ARGUMENTS, 48).getUint16(22, true), 0xeeee, "the hole behind the status stays the guest's");

    put32(cpu, { 0: FREE_GFN << 12, 4: 0, 8: 2, 12: 5 }, { 16: 9999, 18: 0 });
    t.is(yield* call32(GRANT, GNTTABOP_map_grant_ref, ARGUMENTS, 1), 0);
    t.is(cpu.view(ARGUMENTS, 32).getInt16(18, true), -2, "GNTST_bad_domain");
  });
});

test.serial("multicall: entries of 32 bytes", (t) => {
  lab.run(t, function* (cpu) {
    put32(cpu, {
      0: VERSION,
      8: XENVER_version,
      12: 0,
      32: SCHED,
      40: SCHEDOP_yield,
      44: 0,
      64: 99,
      96: VERSION,
      104: XENVER_version,
      108: 0,
    });
    t.is(yield* call32(MULTICALL, ARGUMENTS, 4), 0);
    const results = [0, 1, 2, 3].map((i) => cpu.view(ARGUMENTS + i * 32, 8).getInt32(4, true));
    t.deepEqual(results, [XEN_4_17, 0, -38, XEN_4_17]);
  });
});
