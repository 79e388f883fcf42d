/** PVHv1 guests: what tells them from PVH guests, the page-table hypercalls of PV guests, grants by linear address. */
import test from "ava";
import * as domctl from "../../../abi/domctl.ts";
import { EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../../abi/errno.ts";
import * as features from "../../../abi/features.ts";
import * as gnt from "../../../abi/grant-table.ts";
import { XENMAPSPACE_grant_table, XENMAPSPACE_shared_info } from "../../../abi/memory.ts";
import { FeatureInfo, XENVER_get_features } from "../../../abi/version.ts";
import * as xen from "../../../abi/xen.ts";
import { addToPhysmap, hypercall, load, type Steps } from "../../sim/call.ts";
import { GUEST_TABLES } from "../../sim/dom0.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { type Guest, Lab, put } from "./lab.ts";

const MMU_UPDATE = xen.__HYPERVISOR_mmu_update;
const UPDATE_VA = xen.__HYPERVISOR_update_va_mapping;
const MMUEXT = xen.__HYPERVISOR_mmuext_op;
const GRANTS = xen.__HYPERVISOR_grant_table_op;
const { DOMID_SELF } = xen;

const AT = 0x9000;
const DONE = 0xa000;
const ABSENT = 0x3f00000;
const NOBODY = 999;
/** Page tables of the guest for the 2 MiB of linear addresses from VA on, which are also guest-physical addresses. */
const L2 = 0x10000;
const L1 = 0x11000;
const VA = 8 * 2 ** 30;
const RIGHTS = 0x7n;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

/** Runs guests of which the first is a PVHv1 guest, the others are PVH ones. */
function run(t: Parameters<Lab["audit"]>[0], first: Guest, ...others: Guest[]): void {
  const { dom0 } = lab;
  const build = dom0.build.bind(dom0);
  let n = 0;
  dom0.build = (...args) => {
    const pvhv1 = n++ === 0;
    dom0.flags = pvhv1 ? domctl.XEN_DOMCTL_CDF_hap : domctl.XEN_DOMCTL_CDF_hvm | domctl.XEN_DOMCTL_CDF_hap;
    dom0.emulation = pvhv1 ? 0 : domctl.XEN_X86_EMU_LAPIC;
    return build(...args);
  };
  try {
    lab.run(t, first, ...others);
  } finally {
    dom0.build = build;
    dom0.flags = domctl.XEN_DOMCTL_CDF_hvm | domctl.XEN_DOMCTL_CDF_hap;
    dom0.emulation = domctl.XEN_X86_EMU_LAPIC;
  }
}

const word = (cpu: GuestCpu, gpa: number): bigint => cpu.view(gpa, 8).getBigUint64(0, true);
const setWord = (cpu: GuestCpu, gpa: number, value: bigint): void => cpu.view(gpa, 8).setBigUint64(0, value, true);

/** Tables of 4 KiB pages for VA: in the third-level table, whose entry 8 is free. */
function makeTables(cpu: GuestCpu): void {
  setWord(cpu, GUEST_TABLES + 4096 + 8 * 8, BigInt(L2) | RIGHTS);
  setWord(cpu, L2, BigInt(L1) | RIGHTS);
}

function* update(cpu: GuestCpu, entries: [bigint, bigint][], who: number = DOMID_SELF, list = AT): Steps<number> {
  entries.forEach(([ptr, val], i) => {
    put(cpu.view(list + i * xen.MmuUpdate.SIZE, xen.MmuUpdate.SIZE), xen.MmuUpdate, { ptr, val });
  });
  cpu.view(DONE, 4).setUint32(0, 0xdead, true);
  return yield* hypercall(cpu, MMU_UPDATE, list, entries.length, DONE, who);
}
const done = (cpu: GuestCpu): number => cpu.view(DONE, 4).getUint32(0, true);

function* extended(cpu: GuestCpu, ops: [number, number][], who: number = DOMID_SELF): Steps<number> {
  ops.forEach(([cmd, arg2_vcpumask], i) => {
    put(cpu.view(AT + i * xen.MmuextOp.SIZE, xen.MmuextOp.SIZE), xen.MmuextOp, { cmd, arg2_vcpumask });
  });
  return yield* hypercall(cpu, MMUEXT, AT, ops.length, DONE, who);
}

test.serial("it is a PV guest with nested paging to a toolstack, and to itself one in supervisor mode", (t) => {
  run(t, function* (cpu, ids) {
    const { flags } = lab.dom0.info(ids[0]!);
    t.is(flags & (domctl.XEN_DOMINF_hvm_guest | domctl.XEN_DOMINF_hap), domctl.XEN_DOMINF_hap);
    put(cpu.view(AT, FeatureInfo.SIZE), FeatureInfo, { submap_idx: 0 });
    t.is(yield* hypercall(cpu, xen.__HYPERVISOR_xen_version, XENVER_get_features, AT), 0);
    const map = cpu.view(AT, FeatureInfo.SIZE).getUint32(FeatureInfo.submap, true);
    for (const bit of [
      features.XENFEAT_writable_page_tables,
      features.XENFEAT_auto_translated_physmap,
      features.XENFEAT_supervisor_mode_kernel,
      features.XENFEAT_hvm_callback_vector,
      features.XENFEAT_hvm_safe_pvclock,
    ]) {
      t.not(map & (1 << bit), 0, `feature ${bit}`);
    }
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, 40), 0);
    t.is(cpu.view(40 * 4096, 8).getUint8(xen.VcpuInfo.evtchn_upcall_mask), 1, "upcalls start masked");
  });
});

test.serial("other guests do not have its calls, nor supervisor mode", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* update(cpu, [[BigInt(L1), 1n]]), -ENOSYS);
    t.is(yield* hypercall(cpu, UPDATE_VA, VA, 1, 0), -ENOSYS);
    t.is(yield* extended(cpu, [[xen.MMUEXT_TLB_FLUSH_LOCAL, 0]]), -EINVAL);
    put(cpu.view(AT, FeatureInfo.SIZE), FeatureInfo, { submap_idx: 0 });
    t.is(yield* hypercall(cpu, xen.__HYPERVISOR_xen_version, XENVER_get_features, AT), 0);
    const map = cpu.view(AT, FeatureInfo.SIZE).getUint32(FeatureInfo.submap, true);
    t.is(map & (1 << features.XENFEAT_supervisor_mode_kernel), 0);
    t.is(yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, 40), 0);
    t.is(cpu.view(40 * 4096, 8).getUint8(xen.VcpuInfo.evtchn_upcall_mask), 0);
  });
});

test.serial("what is for PV guests in ring 3 it does not have either", (t) => {
  run(t, function* (cpu) {
    for (const op of [
      xen.__HYPERVISOR_set_trap_table,
      xen.__HYPERVISOR_set_gdt,
      xen.__HYPERVISOR_stack_switch,
      xen.__HYPERVISOR_set_callbacks,
      xen.__HYPERVISOR_fpu_taskswitch,
      xen.__HYPERVISOR_update_descriptor,
      xen.__HYPERVISOR_update_va_mapping_otherdomain,
      xen.__HYPERVISOR_iret,
      xen.__HYPERVISOR_set_segment_base,
    ]) {
      t.is(yield* hypercall(cpu, op, AT, 0, 0), -ENOSYS, `hypercall ${op}`);
    }
  });
});

test.serial("mmu_update writes its tables", (t) => {
  run(t, function* (cpu, ids) {
    const own = ids[0]!;
    makeTables(cpu);
    const entry = (n: number): bigint => BigInt(L1 + 8 * n);
    t.is(
      yield* update(cpu, [
        [entry(0), 0x5067n],
        [entry(511), 0x6067n],
      ]),
      0,
    );
    t.is(done(cpu), 2);
    t.is(word(cpu, L1), 0x5067n);
    t.is(word(cpu, L1 + 511 * 8), 0x6067n);
    t.is(yield* update(cpu, []), 0);
    t.is(done(cpu), 0);
    t.is(yield* update(cpu, [[entry(0) | BigInt(xen.MMU_PT_UPDATE_PRESERVE_AD), 0x7003n]]), 0);
    t.is(word(cpu, L1), 0x7063n, "accessed and dirty are kept");
    t.is(
      yield* update(cpu, [
        [entry(1), 0x1n],
        [entry(1) | BigInt(xen.MMU_MACHPHYS_UPDATE), 5n],
        [entry(1), 0x2n],
      ]),
      -EINVAL,
      "there is no table of machine frames",
    );
    t.is(done(cpu), 1, "up to the bad one");
    t.is(word(cpu, L1 + 8), 1n);
    for (const bits of [3n, 4n, 7n]) t.is(yield* update(cpu, [[entry(1) | bits, 5n]]), -ENOSYS);
    t.is(yield* update(cpu, [[BigInt(ABSENT), 5n]]), -EINVAL);
    t.is(yield* update(cpu, [[1n << 60n, 5n]]), -EINVAL);
    t.is(done(cpu), 0);
    // Whose pages, and whose tables.
    t.is(yield* update(cpu, [[entry(1), 3n]], own), -ESRCH, "its own id does not name it");
    t.is(yield* update(cpu, [[entry(1), 3n]], NOBODY), -ESRCH);
    t.is(yield* update(cpu, [[entry(1), 3n]], 0), -EPERM);
    t.is(yield* update(cpu, [[entry(1), 3n]], DOMID_SELF | (1 << 16)), -EPERM, "domain 0's tables");
    t.is(yield* update(cpu, [[entry(1), 3n]], DOMID_SELF | ((NOBODY + 1) << 16)), -ESRCH);
    t.is(word(cpu, L1 + 8), 1n);
    t.is(yield* update(cpu, [[entry(1), 3n]], DOMID_SELF | ((own + 1) << 16)), 0);
    t.is(word(cpu, L1 + 8), 3n);
    // The list, and where the number of those done goes.
    t.is(yield* hypercall(cpu, MMU_UPDATE, ABSENT, 1, DONE, DOMID_SELF), -EFAULT);
    t.is(yield* hypercall(cpu, MMU_UPDATE, AT, 1, ABSENT, DOMID_SELF), 0, "an unwritable count is ignored, as on Xen");
    t.is(yield* hypercall(cpu, MMU_UPDATE, AT, 1, 0, DOMID_SELF), 0);
  });
});

test.serial("a long mmu_update is done in pieces, to the end", (t) => {
  run(t, function* (cpu) {
    makeTables(cpu);
    const list = 0x12000;
    const entries = Array.from({ length: 2000 }, (_, i): [bigint, bigint] => [
      BigInt(L1 + 8 * (i % 512)),
      BigInt(i + 1),
    ]);
    t.is(yield* update(cpu, entries, DOMID_SELF, list), 0);
    t.is(done(cpu), 2000);
    for (let i = 0; i < 512; i++) {
      const last = Math.floor((1999 - i) / 512) * 512 + i;
      if (word(cpu, L1 + 8 * i) !== BigInt(last + 1)) t.fail(`entry ${i}`);
    }
  });
});

test.serial("update_va_mapping writes the entry of a linear address", (t) => {
  run(t, function* (cpu) {
    const map = function* (va: number | bigint, value: bigint, flags: number | bigint = 0): Steps<number> {
      return yield* hypercall(cpu, UPDATE_VA, va, value, flags);
    };
    t.is(yield* map(VA, 0x5003n), -EINVAL, "no table");
    makeTables(cpu);
    t.is(yield* map(VA, 0x5003n), 0);
    t.is(word(cpu, L1), 0x5003n);
    t.is(yield* map(VA + 4096 * 7 + 123, 0x6003n, xen.UVMF_INVLPG), 0);
    t.is(word(cpu, L1 + 8 * 7), 0x6003n);
    t.is(yield* map(VA, 0n, xen.UVMF_TLB_FLUSH | xen.UVMF_ALL), 0);
    t.is(word(cpu, L1), 0n);
    t.is(yield* map(VA + 2 ** 21, 5n), -EINVAL);
    t.is(yield* map(0x1000, 5n), -EINVAL, "a large page");
    t.is(yield* map(1n << 47n, 5n), -EINVAL, "not canonical");
    setWord(cpu, DONE, 1n);
    t.is(yield* map(VA, 7n, xen.UVMF_INVLPG | DONE), 0, "flushing the vCPUs of a bitmap");
    t.is(yield* map(VA, 8n, xen.UVMF_INVLPG | ABSENT), -EFAULT);
    t.is(word(cpu, L1), 8n, "which is Xen's order");
    // A table that is not the guest's to write: its own shared_info is, absent memory is not.
    setWord(cpu, L2, BigInt(ABSENT) | RIGHTS);
    t.is(yield* map(VA, 5n), -EINVAL);
  });
});

test.serial("mmuext_op flushes and takes pins for done", (t) => {
  run(t, function* (cpu, ids) {
    setWord(cpu, 0xb000, 1n);
    const mask = 0xb000;
    t.is(
      yield* extended(cpu, [
        [xen.MMUEXT_PIN_L4_TABLE, 0],
        [xen.MMUEXT_UNPIN_TABLE, 0],
        [xen.MMUEXT_TLB_FLUSH_LOCAL, 0],
        [xen.MMUEXT_INVLPG_LOCAL, 0],
        [xen.MMUEXT_TLB_FLUSH_ALL, 0],
        [xen.MMUEXT_INVLPG_ALL, 0],
        [xen.MMUEXT_TLB_FLUSH_MULTI, mask],
        [xen.MMUEXT_INVLPG_MULTI, mask],
      ]),
      0,
    );
    t.is(done(cpu), 8);
    t.is(
      yield* extended(cpu, [
        [xen.MMUEXT_TLB_FLUSH_LOCAL, 0],
        [xen.MMUEXT_TLB_FLUSH_MULTI, ABSENT],
      ]),
      -EINVAL,
    );
    t.is(done(cpu), 1);
    for (const cmd of [5, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 999]) {
      t.is(yield* extended(cpu, [[cmd, 0]]), -EOPNOTSUPP, `command ${cmd}`);
    }
    t.is(yield* extended(cpu, [], ids[0]!), -ESRCH);
    t.is(yield* extended(cpu, [], NOBODY), -ESRCH);
    t.is(yield* extended(cpu, [], 0), -EPERM);
    t.is(yield* hypercall(cpu, MMUEXT, ABSENT, 1, 0, DOMID_SELF), -EFAULT);
  });
});

test.serial("its calls work in a multicall, and not from 32-bit code", (t) => {
  run(t, function* (cpu) {
    makeTables(cpu);
    put(cpu.view(AT, xen.MulticallEntry.SIZE), xen.MulticallEntry, { op: UPDATE_VA });
    const args = cpu.view(AT + xen.MulticallEntry.args, 24);
    [BigInt(VA), 0x5003n, BigInt(xen.UVMF_INVLPG)].forEach((arg, i) => args.setBigUint64(8 * i, arg, true));
    t.is(yield* hypercall(cpu, xen.__HYPERVISOR_multicall, AT, 1), 0);
    t.is(word(cpu, AT + xen.MulticallEntry.result), 0n);
    t.is(word(cpu, L1), 0x5003n);
    for (const op of [MMU_UPDATE, UPDATE_VA]) {
      const rax = yield { kind: "hypercall", op, args: [0x1000, 1, 0, DOMID_SELF], compat: true };
      t.is(Number(BigInt.asIntN(32, rax)), -ENOSYS);
    }
  });
});

const REF = 8;
const GRANTED = 20;

function* granter(cpu: GuestCpu, ids: number[], signals: Set<string>): Steps<void> {
  yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, 41);
  setWord(cpu, GRANTED * 4096, 0x1234n);
  for (const ref of [REF, REF + 1]) {
    put(cpu.view(41 * 4096 + ref * gnt.GrantEntryV1.SIZE, 8), gnt.GrantEntryV1, {
      flags: gnt.GTF_permit_access,
      domid: ids[0]!,
      frame: GRANTED,
    });
  }
  signals.add("granted");
  while (!signals.has("done")) yield { kind: "spin", ns: 100_000 };
}

function* mapGrant(
  cpu: GuestCpu,
  host_addr: number,
  dom: number,
  flags = 0,
): Steps<{ status: number; handle: number }> {
  const M = gnt.GnttabMapGrantRef;
  put(cpu.view(AT, M.SIZE), M, { host_addr, flags: gnt.GNTMAP_host_map | flags, ref: REF, dom });
  yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_map_grant_ref, AT, 1);
  const view = cpu.view(AT, M.SIZE);
  return { status: view.getInt16(M.status, true), handle: view.getUint32(M.handle, true) };
}

function* unmapGrant(cpu: GuestCpu, host_addr: number, handle: number): Steps<number> {
  const U = gnt.GnttabUnmapGrantRef;
  put(cpu.view(AT, U.SIZE), U, { host_addr, handle });
  yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_unmap_grant_ref, AT, 1);
  return cpu.view(AT, U.SIZE).getInt16(U.status, true);
}

test.serial("a grant's page-table entry is filled where it is empty, and cleared with the grant", (t) => {
  run(
    t,
    function* (cpu, ids, signals) {
      const dom = ids[1]!;
      while (!signals.has("granted")) yield { kind: "spin", ns: 100_000 };
      const gfn = VA / 4096;
      const none = yield* mapGrant(cpu, VA, dom);
      t.is(none.status, gnt.GNTST_okay, "without a table it is mapped at its guest-physical address alone");
      t.is(yield* load(gfn), 0x1234n);
      t.is(yield* unmapGrant(cpu, VA, none.handle), gnt.GNTST_okay);

      makeTables(cpu);
      const first = yield* mapGrant(cpu, VA, dom);
      t.is(first.status, gnt.GNTST_okay);
      t.is(word(cpu, L1), BigInt(VA) | 0x63n, "present, writable, accessed, dirty");
      t.is(yield* load(gfn), 0x1234n);
      const second = yield* mapGrant(cpu, VA + 4096, dom, gnt.GNTMAP_readonly);
      t.is(word(cpu, L1 + 8), BigInt(VA + 4096) | 0x21n, "read-only");
      t.is(yield* unmapGrant(cpu, VA, second.handle), gnt.GNTST_general_error, "another's handle");
      t.is(word(cpu, L1), BigInt(VA) | 0x63n);
      t.is(yield* unmapGrant(cpu, 0, first.handle), gnt.GNTST_okay, "an address of 0 is ignored");
      t.is(word(cpu, L1), BigInt(VA) | 0x63n);
      t.is(yield* unmapGrant(cpu, VA, first.handle), gnt.GNTST_okay);
      t.is(word(cpu, L1), 0n);
      t.is(yield* unmapGrant(cpu, VA + 4096, second.handle), gnt.GNTST_okay);
      t.is(word(cpu, L1 + 8), 0n);

      // An entry that the guest wrote itself is left alone, before and after.
      setWord(cpu, L1, BigInt(VA) | 3n);
      const third = yield* mapGrant(cpu, VA, dom);
      t.is(word(cpu, L1), BigInt(VA) | 3n);
      t.is(yield* unmapGrant(cpu, VA, third.handle), gnt.GNTST_okay);
      t.is(word(cpu, L1), BigInt(VA) | 3n);
      setWord(cpu, L1, 0n);
      const fourth = yield* mapGrant(cpu, VA, dom);
      setWord(cpu, L1, 0x5003n);
      t.is(yield* unmapGrant(cpu, VA, fourth.handle), gnt.GNTST_okay);
      t.is(word(cpu, L1), 0x5003n, "nor one that it has changed");
      // It ends with one mapped.
      setWord(cpu, L1, 0n);
      t.is((yield* mapGrant(cpu, VA, dom)).status, gnt.GNTST_okay);
      signals.add("done");
    },
    granter,
  );
});

test.serial("a PVH guest's page tables are not touched by its grants", (t) => {
  lab.run(
    t,
    function* (cpu, ids, signals) {
      while (!signals.has("granted")) yield { kind: "spin", ns: 100_000 };
      makeTables(cpu);
      const { status, handle } = yield* mapGrant(cpu, VA, ids[1]!);
      t.is(status, gnt.GNTST_okay);
      t.is(word(cpu, L1), 0n);
      t.is(yield* unmapGrant(cpu, VA, handle), gnt.GNTST_okay);
      signals.add("done");
    },
    granter,
  );
});
