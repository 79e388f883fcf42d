/** Grant tables: set-up, mapping, unmapping and copying between two guests, with every status and error. */
import test from "ava";
import { EFAULT, EINVAL, ENOENT, ENOSYS, ENXIO, EPERM, ESRCH } from "../../../abi/errno.ts";
import * as gnt from "../../../abi/grant-table.ts";
import * as mem from "../../../abi/memory.ts";
import {
  __HYPERVISOR_grant_table_op as GRANTS,
  __HYPERVISOR_memory_op as MEMORY,
  DOMID_SELF,
} from "../../../abi/xen.ts";
import { hypercall, load, type Steps, store } from "../../sim/call.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { await_, call, Lab, put, result, type Values } from "./lab.ts";

const NOBODY = 999;
const TABLE_GFN = 41;
const TABLE = TABLE_GFN * 4096;
const LIST = 0xa000;
const ALL_ONES = 0xffffffffffffffffn;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

/** An operation on one element; its status. */
const element = function* <L extends { SIZE: number; status: number }>(
  cpu: GuestCpu,
  op: number,
  layout: L,
  values: Values<L>,
): Steps<{ status: number; view: DataView }> {
  const { result: rc, view } = yield* call(cpu, GRANTS, op, layout, values, 1);
  if (rc !== 0) throw new Error(`grant operation ${op} returned ${rc}`);
  return { status: view.getInt16(layout.status, true), view };
};

function* mapTable(cpu: GuestCpu, index: number): Steps<number> {
  const values = { domid: DOMID_SELF, space: mem.XENMAPSPACE_grant_table, idx: index, gpfn: TABLE_GFN + index };
  return yield* result(cpu, MEMORY, mem.XENMEM_add_to_physmap, mem.AddToPhysmap, values);
}

function entry(cpu: GuestCpu, ref: number, flags: number, domid: number, frame: number): void {
  const bytes = new Uint8Array(gnt.GrantEntryV1.SIZE);
  put(new DataView(bytes.buffer), gnt.GrantEntryV1, { flags, domid, frame });
  cpu.poke(TABLE + ref * gnt.GrantEntryV1.SIZE, bytes);
}

const flagsOf = (cpu: GuestCpu, ref: number): number =>
  cpu.view(TABLE + ref * gnt.GrantEntryV1.SIZE, 8).getUint16(gnt.GrantEntryV1.flags, true);

test.serial("set-up, versions and what is refused", (t) => {
  lab.run(t, function* (cpu) {
    t.is(yield* mapTable(cpu, 0), 0);
    t.is(yield* mapTable(cpu, 4), -EINVAL, "beyond the limit given to createdomain");
    const query = function* (dom: number): Steps<{ status: number; view: DataView }> {
      return yield* element(cpu, gnt.GNTTABOP_query_size, gnt.GnttabQuerySize, { dom });
    };
    const { status, view } = yield* query(DOMID_SELF);
    t.is(status, gnt.GNTST_okay);
    t.is(view.getUint32(gnt.GnttabQuerySize.nr_frames, true), 1);
    t.is(view.getUint32(gnt.GnttabQuerySize.max_nr_frames, true), 4);
    t.is((yield* query(0)).status, gnt.GNTST_permission_denied);
    t.is((yield* query(NOBODY)).status, gnt.GNTST_bad_domain);
    t.is(yield* result(cpu, GRANTS, gnt.GNTTABOP_query_size, gnt.GnttabQuerySize, { dom: DOMID_SELF }, 2), -EINVAL);

    const setup = function* (frames: number): Steps<number> {
      const values = { dom: DOMID_SELF, nr_frames: frames, frame_list: LIST };
      return (yield* element(cpu, gnt.GNTTABOP_setup_table, gnt.GnttabSetupTable, values)).status;
    };
    t.is(yield* setup(2), gnt.GNTST_okay);
    t.is(cpu.view(LIST, 16).getBigUint64(0, true), BigInt(TABLE_GFN));
    t.is(cpu.view(LIST, 16).getBigUint64(8, true), ALL_ONES, "a frame that is mapped nowhere");
    t.is(yield* setup(5), gnt.GNTST_general_error);

    for (const [version, expected] of [
      [1, 0],
      [2, -ENOSYS],
      [3, -EINVAL],
      [0, -EINVAL],
    ] as const) {
      t.is(yield* result(cpu, GRANTS, gnt.GNTTABOP_set_version, gnt.GnttabSetVersion, { version }, 1), expected);
    }
    const version = function* (dom: number): Steps<number> {
      return yield* result(cpu, GRANTS, gnt.GNTTABOP_get_version, gnt.GnttabGetVersion, { dom }, 1);
    };
    t.is(yield* version(DOMID_SELF), 0);
    t.is(yield* version(0), -EPERM);
    t.is(yield* version(NOBODY), -ESRCH);
    for (const [op, layout] of [
      [gnt.GNTTABOP_transfer, gnt.GnttabTransfer],
      [gnt.GNTTABOP_dump_table, gnt.GnttabDumpTable],
      [gnt.GNTTABOP_unmap_and_replace, gnt.GnttabUnmapAndReplace],
      [gnt.GNTTABOP_get_status_frames, gnt.GnttabGetStatusFrames],
      [gnt.GNTTABOP_cache_flush, gnt.GnttabCacheFlush],
    ] as const) {
      t.is(yield* result(cpu, GRANTS, op, layout, {}, 1), -ENOSYS, `sub-operation ${op} is for PV domains`);
    }
    t.is(yield* hypercall(cpu, GRANTS, 13, LIST, 1), -ENOSYS);
    t.is(yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_map_grant_ref, LIST, 0x80000000), -EINVAL, "negative count");
    t.is(yield* hypercall(cpu, GRANTS, 0x1000, LIST, 1), -ENOSYS);
    t.is(yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_map_grant_ref, 0xdead00000000n, 1), -EFAULT);
    t.is(yield* hypercall(cpu, GRANTS, gnt.GNTTABOP_map_grant_ref, 0xdead00000000n, 0), 0);
  });
});

const map = function* (cpu: GuestCpu, gfn: number | bigint, flags: number, ref: number, dom: number) {
  const values = { host_addr: BigInt(gfn) << 12n, flags, ref, dom };
  const { status, view } = yield* element(cpu, gnt.GNTTABOP_map_grant_ref, gnt.GnttabMapGrantRef, values);
  return { status, handle: view.getUint32(gnt.GnttabMapGrantRef.handle, true) };
};
const unmap = function* (cpu: GuestCpu, address: number, handle: number): Steps<number> {
  const values = { host_addr: address, handle };
  return (yield* element(cpu, gnt.GNTTABOP_unmap_grant_ref, gnt.GnttabUnmapGrantRef, values)).status;
};
const reserve = function* (cpu: GuestCpu, op: number, gfn: number): Steps<number> {
  cpu.view(LIST, 8).setBigUint64(0, BigInt(gfn), true);
  const values = { extent_start: LIST, nr_extents: 1, domid: DOMID_SELF };
  return yield* result(cpu, MEMORY, op, mem.MemoryReservation, values);
};
const currentPages = function* (cpu: GuestCpu): Steps<number> {
  return yield* result(cpu, MEMORY, mem.XENMEM_current_reservation, mem.MemoryDomain, { domid: DOMID_SELF });
};

const HOST = gnt.GNTMAP_host_map;
const READONLY = gnt.GNTMAP_readonly;
const ACCESS = gnt.GTF_permit_access;
// Entries of the granting guest.
const WRITABLE = 8;
const READABLE = 9;
const OTHERS = 10;
const NO_PAGE = 11;
const TRANSFER = 12;
const SUB_PAGE = 13;
const TABLE_FRAME = 14;

test.serial("mapping: wrong requests, right ones, and an owner that gives the page away", (t) => {
  lab.run(
    t,
    function* granter(cpu, ids, signals) {
      t.is(yield* mapTable(cpu, 0), 0);
      const user = ids[1]!;
      entry(cpu, WRITABLE, ACCESS, user, 20);
      entry(cpu, READABLE, ACCESS | gnt.GTF_readonly, user, 21);
      entry(cpu, OTHERS, ACCESS, 0, 22);
      entry(cpu, NO_PAGE, ACCESS, user, 5000);
      entry(cpu, TRANSFER, gnt.GTF_accept_transfer, user, 20);
      entry(cpu, SUB_PAGE, ACCESS | gnt.GTF_sub_page, user, 20);
      entry(cpu, TABLE_FRAME, ACCESS, user, TABLE_GFN);
      yield* store(20, 0x1111n);
      yield* store(21, 0x2222n);
      signals.add("granted");
      yield* await_(signals, "mapped");
      t.is(flagsOf(cpu, WRITABLE), ACCESS | gnt.GTF_reading | gnt.GTF_writing);
      t.is(flagsOf(cpu, READABLE), ACCESS | gnt.GTF_readonly | gnt.GTF_reading);
      const swap = function* (a: number, b: number): Steps<number> {
        const values = { ref_a: a, ref_b: b };
        return (yield* element(cpu, gnt.GNTTABOP_swap_grant_ref, gnt.GnttabSwapGrantRef, values)).status;
      };
      t.is(yield* swap(WRITABLE, 30), gnt.GNTST_eagain, "in use");
      t.is(yield* swap(OTHERS, 30), gnt.GNTST_okay);
      t.is(cpu.view(TABLE + 30 * 8, 8).getUint32(gnt.GrantEntryV1.frame, true), 22);
      t.is(yield* swap(OTHERS, 1 << 20), gnt.GNTST_bad_gntref);
      t.is(yield* reserve(cpu, mem.XENMEM_decrease_reservation, 20), 1);
      const pages = yield* currentPages(cpu);
      signals.add("given away");
      yield* await_(signals, "unmapped");
      t.is(yield* currentPages(cpu), pages - 1, "the frame is freed by the last unmap");
      t.is(flagsOf(cpu, WRITABLE), ACCESS);
    },
    function* user(cpu, ids, signals) {
      const owner = ids[0]!;
      yield* await_(signals, "granted");
      const refused: [number, number | bigint, number, number, number, string][] = [
        [gnt.GNTST_bad_gntref, 50, 0, WRITABLE, owner, "neither host nor device"],
        [gnt.GNTST_general_error, 50, HOST | gnt.GNTMAP_device_map, WRITABLE, owner, "device"],
        [gnt.GNTST_bad_domain, 50, HOST, WRITABLE, 777, "nobody's"],
        [gnt.GNTST_bad_domain, 50, HOST, WRITABLE, DOMID_SELF, "DOMID_SELF"],
        [gnt.GNTST_bad_gntref, 50, HOST, 1 << 20, owner, "reference beyond the table"],
        [gnt.GNTST_bad_gntref, 50, HOST, 0xffffffff, owner, "wild reference"],
        [gnt.GNTST_general_error, 50, HOST, 100, owner, "empty entry"],
        [gnt.GNTST_general_error, 50, HOST, OTHERS, owner, "granted to another domain"],
        [gnt.GNTST_general_error, 50, HOST, READABLE, owner, "writable mapping of a read-only grant"],
        [gnt.GNTST_bad_page, 50, HOST, NO_PAGE, owner, "nothing there"],
        [gnt.GNTST_general_error, 50, HOST, TRANSFER, owner, "entry for a transfer"],
        [gnt.GNTST_general_error, 50, HOST, SUB_PAGE, owner, "sub-page grants are for copies"],
        [gnt.GNTST_bad_page, 50, HOST, TABLE_FRAME, owner, "a frame of the hypervisor's"],
        [gnt.GNTST_general_error, 1n << 48n, HOST, WRITABLE, owner, "wild address"],
        [gnt.GNTST_general_error, 50, HOST | (1 << 16), WRITABLE, owner, "bits for page-table entries"],
      ];
      for (const [status, gfn, flags, ref, dom, why] of refused) {
        t.is((yield* map(cpu, gfn, flags, ref, dom)).status, status, why);
      }
      const writable = yield* map(cpu, 100, HOST, WRITABLE, owner);
      t.is(writable.status, gnt.GNTST_okay);
      t.is(yield* load(100), 0x1111n);
      yield* store(100, 0x3333n);
      const readable = yield* map(cpu, 101, HOST | READONLY, READABLE, owner);
      t.is(readable.status, gnt.GNTST_okay);
      yield* store(101, 1n);
      t.is(yield* load(101), 0x2222n, "a write to a read-only mapping vanishes");
      t.is((yield* map(cpu, 100, HOST, WRITABLE, owner)).status, gnt.GNTST_general_error, "over a grant");
      const again = yield* map(cpu, 102, HOST | READONLY, WRITABLE, owner);
      const overRam = yield* map(cpu, 22, HOST | READONLY, WRITABLE, owner);
      t.is(overRam.status, gnt.GNTST_okay);
      // A mapped grant goes away by its handle only.
      t.is(yield* reserve(cpu, mem.XENMEM_decrease_reservation, 100), 0);
      t.is(yield* reserve(cpu, mem.XENMEM_populate_physmap, 100), 0);
      const remove = { domid: DOMID_SELF, gpfn: 100 };
      t.is(yield* result(cpu, MEMORY, mem.XENMEM_remove_from_physmap, mem.RemoveFromPhysmap, remove), -ENOENT);
      const shared = { domid: DOMID_SELF, space: mem.XENMAPSPACE_shared_info, gpfn: 100 };
      t.is(yield* result(cpu, MEMORY, mem.XENMEM_add_to_physmap, mem.AddToPhysmap, shared), -ENXIO);
      signals.add("mapped");
      yield* await_(signals, "given away");
      t.is(yield* load(100), 0x3333n, "what the owner gave away is still there for us");

      t.is(yield* unmap(cpu, 100 << 12, 5555), gnt.GNTST_bad_handle);
      t.is(yield* unmap(cpu, 100 << 12, 0xffffffff), gnt.GNTST_bad_handle);
      t.is(yield* unmap(cpu, 101 << 12, writable.handle), gnt.GNTST_general_error, "another mapping's address");
      t.is(yield* unmap(cpu, 0, writable.handle), gnt.GNTST_okay, "no address: nothing done, as on Xen");
      t.is(yield* unmap(cpu, (100 << 12) + 5, writable.handle), gnt.GNTST_okay);
      t.is(yield* unmap(cpu, 100 << 12, writable.handle), gnt.GNTST_bad_handle, "twice");
      t.is(yield* load(100), ALL_ONES);
      t.is(yield* unmap(cpu, 101 << 12, readable.handle), gnt.GNTST_okay);
      t.is(yield* unmap(cpu, 102 << 12, again.handle), gnt.GNTST_okay);
      t.is(yield* unmap(cpu, 22 << 12, overRam.handle), gnt.GNTST_okay);
      signals.add("unmapped");
    },
  );
});

test.serial("copying", (t) => {
  lab.run(
    t,
    function* granter(cpu, ids, signals) {
      t.is(yield* mapTable(cpu, 0), 0);
      entry(cpu, READABLE, ACCESS | gnt.GTF_readonly, ids[1]!, 21);
      cpu.poke(21 << 12, Buffer.from("readonly"));
      signals.add("granted");
      yield* await_(signals, "copied");
      t.is(flagsOf(cpu, READABLE), ACCESS | gnt.GTF_readonly, "no trace of the copies");
    },
    function* user(cpu, ids, signals) {
      const owner = ids[0]!;
      yield* await_(signals, "granted");
      const copy = function* (values: Values<typeof gnt.GnttabCopy>): Steps<number> {
        return (yield* element(cpu, gnt.GNTTABOP_copy, gnt.GnttabCopy, values)).status;
      };
      const good = {
        source_u_ref: READABLE,
        source_domid: owner,
        dest_u_gmfn: 24,
        dest_domid: DOMID_SELF,
        len: 8,
        flags: gnt.GNTCOPY_source_gref,
      };
      const text = (offset: number, length: number): string =>
        Buffer.from(cpu.peek((24 << 12) + offset, length)).toString("latin1");
      cpu.poke(24 << 12, new Uint8Array(16));
      t.is(yield* copy({ ...good, dest_offset: 4 }), gnt.GNTST_okay);
      t.is(text(0, 16), "\0\0\0\0readonly\0\0\0\0");
      t.is(yield* copy({ ...good, flags: 0 }), gnt.GNTST_permission_denied, "a frame of another domain by number");
      t.is(yield* copy({ ...good, source_domid: NOBODY }), gnt.GNTST_bad_domain);
      t.is(yield* copy({ ...good, source_offset: 4090 }), gnt.GNTST_bad_copy_arg);
      t.is(yield* copy({ ...good, dest_offset: 65535, len: 65535 }), gnt.GNTST_bad_copy_arg);
      t.is(yield* copy({ ...good, dest_u_gmfn: 7777 }), gnt.GNTST_bad_page);
      t.is(yield* copy({ ...good, dest_u_gmfn: 1n << 50n }), gnt.GNTST_bad_page);
      t.is(yield* copy({ ...good, source_u_ref: 99999 }), gnt.GNTST_bad_gntref);
      const back = {
        source_u_gmfn: 24,
        source_domid: DOMID_SELF,
        dest_u_ref: READABLE,
        dest_domid: owner,
        len: 4,
        flags: gnt.GNTCOPY_dest_gref,
      };
      t.is(yield* copy(back), gnt.GNTST_general_error, "into a read-only grant");
      const within = { source_u_gmfn: 24, source_domid: DOMID_SELF, dest_u_gmfn: 24, dest_domid: DOMID_SELF };
      cpu.poke(24 << 12, Buffer.from("0123456789abcdef"));
      t.is(yield* copy({ ...within, dest_offset: 2, len: 10 }), gnt.GNTST_okay);
      t.is(text(0, 16), "010123456789cdef", "overlapping, upwards");
      const pattern = Buffer.alloc(4096, 0).map((_, i) => i * 7);
      cpu.poke(24 << 12, pattern);
      t.is(yield* copy({ ...within, dest_offset: 96, len: 4000 }), gnt.GNTST_okay);
      t.true(Buffer.from(cpu.peek((24 << 12) + 96, 4000)).equals(pattern.subarray(0, 4000)));
      cpu.poke(24 << 12, pattern);
      t.is(yield* copy({ ...within, source_offset: 96, len: 4000 }), gnt.GNTST_okay);
      t.true(Buffer.from(cpu.peek(24 << 12, 4000)).equals(pattern.subarray(96)), "and downwards");
      signals.add("copied");
    },
  );
});

test.serial("a stranger's guesses leave no trace in the owner's table", (t) => {
  lab.run(
    t,
    function* granter(cpu, _ids, signals) {
      t.is(yield* mapTable(cpu, 0), 0);
      yield* await_(signals, "guessed");
      t.is(cpu.view(TABLE, 4096).getBigUint64(100 * 8, true), 0n);
    },
    function* stranger(cpu, ids, signals) {
      const guess = function* (ref: number): Steps<void> {
        t.is((yield* map(cpu, 50, HOST, ref, ids[0]!)).status, gnt.GNTST_general_error);
      };
      yield* guess(0); // makes the stranger's own table of handles
      const before = lab.free;
      for (let ref = 1; ref < 512; ref += 7) yield* guess(ref);
      t.is(lab.free, before);
      signals.add("guessed");
    },
  );
});
