/** The I/O domain as the hypervisor keeps it: its memory by its layout, no privilege, its death and return. */
import test from "ava";
import { EINVAL, EPERM } from "../../../abi/errno.ts";
import {
  Domctl,
  DomctlGetdomaininfo,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_resumedomain,
  XEN_DOMINF_shutdown,
} from "../../../abi/domctl.ts";
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_virq,
  EVTCHNOP_status,
  EVTCHNSTAT_closed,
  EVTCHNSTAT_unbound,
  EvtchnAllocUnbound,
  EvtchnBindInterdomain,
  EvtchnBindVirq,
  EvtchnStatus,
} from "../../../abi/event-channel.ts";
import { DOM0_MAP, DOM0_MODULES } from "../../../abi/domain0-layout.ts";
import {
  GNTCOPY_source_gref,
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_okay,
  GNTTABOP_copy,
  GnttabCopy,
  GrantEntryV1,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_writing,
} from "../../../abi/grant-table.ts";
import {
  IO_CALL_PAGE,
  IO_CONTROL,
  IO_DMA,
  IO_DMA_END,
  IO_DOMAIN,
  IO_GRANT_TABLE,
  IO_MAP,
  IO_MAP_END,
  IO_MMIO,
  IO_RAM_END,
  IO_SHARED_INFO,
  IO_STABLE,
  IO_STABLE_END,
  IO_START_INFO,
} from "../../../abi/io/layout.ts";
import {
  AddToPhysmap,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
  XENMEM_add_to_physmap,
} from "../../../abi/memory.ts";
import {
  SCHEDOP_remote_shutdown,
  SCHEDOP_shutdown,
  SCHEDOP_watchdog,
  SchedRemoteShutdown,
  SchedShutdown,
  SchedWatchdog,
  SHUTDOWN_crash,
  SHUTDOWN_reboot,
} from "../../../abi/sched.ts";
import { SOFTWARE_EXIT_PAGE_FAULT, SOFTWARE_EXIT_TRAP, SoftwareExit } from "../../../abi/software.ts";
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_sysctl,
  CONSOLEIO_read,
  DOMID_SELF,
  VIRQ_DOM_EXC,
} from "../../../abi/xen.ts";
import { HvmStartInfo, XEN_HVM_START_MAGIC_VALUE } from "../../../abi/hvm.ts";
import { addToPhysmap, GRANT_TABLE_GFN, hypercall, type Steps } from "../../sim/call.ts";
import { IoDomain } from "../../sim/io-domain.ts";
import { PAGE } from "../../sim/ram.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { await_, GUEST_FRAMES, Lab, put } from "./lab.ts";
import { Sysctl, SysctlPhysinfo, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_physinfo } from "../../../abi/sysctl.ts";

const IMAGE = Uint8Array.of(0x49, 0x4f);
const SECOND = 1_000_000_000;
/** Crashes within a minute that are followed by a restart. */
const RESTARTS = 5;

async function open(commandLine = ""): Promise<{ lab: Lab; io: IoDomain }> {
  const lab = await Lab.open({ ioImage: IMAGE, commandLine });
  return { lab, io: new IoDomain(lab.machine) };
}

function info(lab: Lab): { result: number; id: number; shutdown: boolean; pages: number } {
  const { result, view } = lab.dom0.domctl(XEN_DOMCTL_getdomaininfo, IO_DOMAIN);
  return {
    result,
    id: view.getUint16(Domctl.domain, true),
    shutdown: (view.getUint32(Domctl.u + DomctlGetdomaininfo.flags, true) & XEN_DOMINF_shutdown) !== 0,
    pages: Number(view.getBigUint64(Domctl.u + DomctlGetdomaininfo.tot_pages, true)),
  };
}

function shutDown(lab: Lab, reason: number): void {
  const { result } = lab.dom0.structured(
    __HYPERVISOR_sched_op,
    SCHEDOP_remote_shutdown,
    SchedRemoteShutdown.SIZE,
    (v) => put(v, SchedRemoteShutdown, { domain_id: IO_DOMAIN, reason }),
  );
  if (result !== 0) throw new Error(`remote_shutdown returned ${result}`);
  lab.machine.step(3);
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1").replace(/\0.*/s, "");

test("it is made unless the command line says io=off, and is not a domain that ids are counted from", async (t) => {
  const { lab, io } = await open("first io=on");
  t.deepEqual({ ...info(lab), pages: 0 }, { result: 0, id: IO_DOMAIN, shutdown: false, pages: 0 });
  t.deepEqual([...io.read(0, 3)], [...IMAGE, 0], "its memory is the image");
  const start = new DataView(io.read(IO_START_INFO, HvmStartInfo.SIZE).buffer);
  t.is(start.getUint32(HvmStartInfo.magic, true), XEN_HVM_START_MAGIC_VALUE);
  t.is(start.getUint32(HvmStartInfo.nr_modules, true), 0);
  t.is(text(io.read(Number(start.getBigUint64(HvmStartInfo.cmdline_paddr, true)), 16)), "first io=on");
  const guest = lab.dom0.build(function* () {}, GUEST_FRAMES);
  t.true(guest < 10);
  lab.destroy(guest);
  lab.audit(t);

  const { lab: without } = await open("io=off first");
  t.not(info(without).result, 0);
  without.audit(t);
});

test("it has memory where its layout says, and nowhere else", async (t) => {
  const { lab, io } = await open();
  const there = [0x1000, IO_RAM_END - PAGE, IO_CALL_PAGE, IO_SHARED_INFO, IO_START_INFO, IO_CONTROL, IO_STABLE];
  for (const address of [...there, IO_STABLE_END - PAGE]) t.true(io.canTouch(address), address.toString(16));
  const absent = [IO_RAM_END, IO_CALL_PAGE - PAGE, IO_GRANT_TABLE, IO_DMA, IO_MMIO, IO_MAP, IO_STABLE - PAGE];
  for (const address of [...absent, IO_STABLE_END, 0xc0000000]) t.false(io.canTouch(address), address.toString(16));

  const given = (address: number, order = 0): number => io.reserve(address, order).done;
  t.is(given(IO_RAM_END - 2 * PAGE), 1);
  for (const address of [IO_RAM_END, IO_CALL_PAGE, IO_SHARED_INFO, IO_CONTROL, IO_GRANT_TABLE, IO_MMIO, IO_MAP]) {
    t.is(given(address), 0, address.toString(16));
  }
  t.is(given(IO_STABLE), 0);
  t.is(given(IO_DMA_END - PAGE, 1), 0, "it would reach beyond the region");
  t.is(io.release(IO_CALL_PAGE), 0, "the hypervisor writes there");
  t.is(io.release(IO_SHARED_INFO), 0);
  t.is(io.release(IO_RAM_END - 2 * PAGE), 1);
  lab.audit(t);
});

test("it is promised its image and a little more, not all the memory that it may have", async (t) => {
  const promised = (lab: Lab): number => {
    const { view } = lab.sysctl(XEN_SYSCTL_physinfo);
    return Number(view.getBigUint64(Sysctl.u + SysctlPhysinfo.outstanding_pages, true));
  };
  const { lab } = await open();
  const { lab: without } = await open("io=off");
  const more = promised(lab) - promised(without);
  t.true(more > 0 && more < 512, `${more} frames`);
});

test("memory for devices is contiguous, of up to 2 MiB, and it is told the frames", async (t) => {
  const { lab, io } = await open();
  const before = lab.free;
  for (const [address, order] of [
    [IO_DMA, 0],
    [IO_DMA + 8 * PAGE, 3],
    [IO_DMA + 512 * PAGE, 9],
  ] as const) {
    const { done, entry } = io.reserve(address, order);
    t.is(done, 1);
    const first = Number(entry);
    t.is(first % 2 ** order, 0);
    for (let i = 0; i < 2 ** order; i++) {
      t.is(lab.machine.space(2).get(address / PAGE + i)?.mfn, first + i);
    }
    t.is(io.reserve(address, order).done, 0, "there is something already");
  }
  t.is(io.reserve(IO_DMA + 1024 * PAGE, 10).done, 0);
  t.is(io.reserve(IO_DMA + 1025 * PAGE, 1).done, 0, "not aligned");
  const ram = io.reserve(0x200000);
  t.deepEqual(ram, { done: 1, entry: 0x200n }, "of its other memory it is not told");
  lab.audit(t);
  for (const [address, order] of [
    [IO_DMA, 0],
    [IO_DMA + 8 * PAGE, 3],
    [IO_DMA + 512 * PAGE, 9],
    [0x200000, 0],
  ] as const) {
    t.is(io.release(address, order), 1);
  }
  t.true(before - lab.free <= 5, `${before - lab.free} frames more: page tables and the tests' buffers`);
});

test("it may not act on others, nor on the machine", async (t) => {
  const { lab, io } = await open();
  const guest = lab.dom0.build(function* () {}, GUEST_FRAMES);
  const question = { cmd: XEN_SYSCTL_physinfo, interface_version: XEN_SYSCTL_INTERFACE_VERSION };
  t.is(io.structured(__HYPERVISOR_sysctl, null, Sysctl.SIZE, (v) => put(v, Sysctl, question)).result, -EPERM);
  t.is(
    io.structured(36, null, Domctl.SIZE, (v) =>
      put(v, Domctl, { cmd: XEN_DOMCTL_destroydomain, interface_version: 0x15, domain: guest }),
    ).result,
    -EPERM,
  );
  t.is(io.hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 4, 0x200000), -EPERM);
  const remote = { dom: guest, remote_dom: 0 };
  t.is(
    io.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) =>
      put(v, EvtchnAllocUnbound, remote),
    ).result,
    -EPERM,
  );
  const remoteShutdown = (domain_id: number): number =>
    io.structured(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, SchedRemoteShutdown.SIZE, (v) =>
      put(v, SchedRemoteShutdown, { domain_id, reason: SHUTDOWN_crash }),
    ).result;
  t.is(remoteShutdown(0), -EPERM);
  t.is(remoteShutdown(guest), -EPERM);

  t.is(io.addToPhysmap(XENMAPSPACE_grant_table, 0, IO_GRANT_TABLE), 0);
  t.is(io.addToPhysmap(XENMAPSPACE_grant_table, 0, IO_CALL_PAGE), -EPERM);
  t.is(io.addToPhysmap(XENMAPSPACE_shared_info, 0, 0x300000), -EPERM);
  t.is(io.addToPhysmap(XENMAPSPACE_gmfn, IO_CALL_PAGE / PAGE, 0x300000), -EPERM);
  lab.destroy(guest);
  lab.audit(t);
});

test("domain 0 can neither destroy nor resume it", async (t) => {
  const { lab } = await open();
  t.is(lab.dom0.domctl(XEN_DOMCTL_destroydomain, IO_DOMAIN).result, -EINVAL);
  t.is(lab.dom0.domctl(XEN_DOMCTL_resumedomain, IO_DOMAIN).result, -EINVAL);
  t.is(info(lab).result, 0);
  // As Xen, it is asked of any domain.
  t.is(lab.dom0.pause(IO_DOMAIN), 0);
  t.is(lab.dom0.unpause(IO_DOMAIN), 0);
  lab.audit(t);
});

test("domain 0 grants it pages of a boot module for reading, and no more, also over domain 0's restart", async (t) => {
  const data = Uint8Array.from({ length: 2 * PAGE }, (_, i) => i % 251);
  const lab = await Lab.open({ ioImage: IMAGE, modules: [{ name: "disk", data }] });
  const { dom0 } = lab;
  const io = new IoDomain(lab.machine);
  const TABLE = DOM0_MAP + 0x100000;
  const READ = GNTMAP_host_map | GNTMAP_readonly;
  const offer = (ref: number, page: number, flags: number) => {
    const entry = new Uint8Array(GrantEntryV1.SIZE);
    const frame = DOM0_MODULES / PAGE + page;
    put(new DataView(entry.buffer), GrantEntryV1, { flags, domid: IO_DOMAIN, frame });
    dom0.write(TABLE + ref * GrantEntryV1.SIZE, entry);
  };
  const mapTable = () =>
    dom0.structured(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, AddToPhysmap.SIZE, (v) =>
      put(v, AddToPhysmap, { domid: DOMID_SELF, space: XENMAPSPACE_grant_table, idx: 0, gpfn: TABLE / PAGE }),
    ).result;
  t.is(mapTable(), 0);
  offer(8, 1, GTF_permit_access | GTF_readonly);
  t.is(io.mapGrant(0, 8, IO_MAP, READ).status, GNTST_bad_page, "a page that domain 0 has not touched is not there");
  dom0.read(DOM0_MODULES + PAGE, 1);
  t.is(io.mapGrant(0, 8).status, GNTST_general_error, "not for writing");
  offer(9, 1, GTF_permit_access);
  t.is(io.mapGrant(0, 9).status, GNTST_bad_page, "not even when domain 0 says so");
  offer(10, 2, GTF_permit_access | GTF_readonly);
  t.is(io.mapGrant(0, 10, IO_MAP, READ).status, GNTST_bad_page, "behind the module there is nothing");

  const { status, handle } = io.mapGrant(0, 8, IO_MAP, READ);
  t.is(status, GNTST_okay);
  t.deepEqual(io.read(IO_MAP, PAGE), data.slice(PAGE));
  t.false(io.canTouch(IO_MAP));
  lab.audit(t);

  const ended = dom0.structured(__HYPERVISOR_sched_op, SCHEDOP_shutdown, SchedShutdown.SIZE, (v) =>
    put(v, SchedShutdown, { reason: SHUTDOWN_crash }),
  );
  t.is(ended.result, 0);
  lab.machine.runUntil(() => lab.machine.output.includes("is restarted"), "the restart of domain 0");
  lab.audit(t);
  t.deepEqual(io.read(IO_MAP, PAGE), data.slice(PAGE), "it stays mapped");
  t.is(mapTable(), 0);
  dom0.read(DOM0_MODULES + PAGE, 1);
  offer(8, 1, GTF_permit_access | GTF_readonly);
  const second = io.mapGrant(0, 8, IO_MAP + PAGE, READ);
  t.is(second.status, GNTST_okay, "granted again under the same reference");
  lab.audit(t);
  t.is(io.unmapGrant(handle, IO_MAP), GNTST_okay);
  t.is(io.unmapGrant(second.handle, IO_MAP + PAGE), GNTST_okay);
  t.deepEqual(dom0.read(DOM0_MODULES + PAGE, PAGE), data.slice(PAGE));
  lab.audit(t);
});

/** A guest that grants its frame 9 to the I/O domain by entry 8, and waits to be told to end. */
function granter(marker: bigint) {
  return function* (cpu: GuestCpu, _ids: number[], signals: Set<string>): Steps<void> {
    yield* addToPhysmap(cpu, XENMAPSPACE_grant_table, GRANT_TABLE_GFN);
    cpu.view(9 * PAGE, 8).setBigUint64(0, marker, true);
    put(cpu.view(GRANT_TABLE_GFN * PAGE + 8 * GrantEntryV1.SIZE, GrantEntryV1.SIZE), GrantEntryV1, {
      flags: GTF_permit_access,
      domid: IO_DOMAIN,
      frame: 9,
    });
    signals.add("granted");
    yield* await_(signals, "end");
    const flags = cpu.view(GRANT_TABLE_GFN * PAGE + 8 * GrantEntryV1.SIZE, 2).getUint16(0, true);
    if ((flags & (GTF_reading | GTF_writing)) !== 0) throw new Error("the grant is still in use");
  };
}

/** Runs a guest until it has signalled `name`; returns its id. */
function begin(lab: Lab, program: ReturnType<typeof granter>, signals: Set<string>, name: string): number {
  const id = lab.dom0.build(function* (cpu) {
    yield* program(cpu, [], signals);
    signals.add("ended");
    yield* await_(signals, "never");
  }, GUEST_FRAMES);
  lab.dom0.unpause(id);
  lab.machine.runUntil(() => signals.has(name), name);
  return id;
}

function end(lab: Lab, id: number, signals: Set<string>): void {
  signals.add("end");
  lab.machine.runUntil(() => signals.has("ended"), "the guest's end");
  lab.destroy(id);
}

test("it maps grants only in their region, and is told the machine's address", async (t) => {
  const { lab, io } = await open();
  const signals = new Set<string>();
  const guest = begin(lab, granter(0x1234n), signals, "granted");
  for (const address of [0x300000, IO_CALL_PAGE, IO_CONTROL, IO_DMA, IO_MMIO, IO_STABLE, IO_MAP_END]) {
    t.is(io.mapGrant(guest, 8, address).status, GNTST_general_error, address.toString(16));
  }
  const { status, handle, busAddress } = io.mapGrant(guest, 8, IO_MAP_END - PAGE);
  t.is(status, GNTST_okay);
  t.is(lab.machine.ram.view.getBigUint64(busAddress, true), 0x1234n);
  t.is(new DataView(io.read(IO_MAP_END - PAGE, 8).buffer).getBigUint64(0, true), 0x1234n);
  t.is(io.unmapGrant(handle, IO_MAP_END - PAGE), GNTST_okay);
  end(lab, guest, signals);
  lab.audit(t);
});

function ioPorts(
  io: IoDomain,
  op: number,
  layout: { SIZE: number },
  values: object,
): { result: number; view: DataView } {
  return io.structured(__HYPERVISOR_event_channel_op, op, layout.SIZE, (v) => put(v, layout as never, values));
}

test("it copies from a grant to its RAM and its stable memory, touched or not, and to nothing else", async (t) => {
  const { lab, io } = await open();
  const signals = new Set<string>();
  const guest = begin(lab, granter(0xcafen), signals, "granted");
  const copyTo = (address: number): number =>
    io
      .structured(
        __HYPERVISOR_grant_table_op,
        GNTTABOP_copy,
        GnttabCopy.SIZE,
        (v) => {
          v.setUint32(GnttabCopy.source_u_ref, 8, true);
          v.setUint16(GnttabCopy.source_domid, guest, true);
          v.setBigUint64(GnttabCopy.dest_u_gmfn, BigInt(Math.floor(address / PAGE)), true);
          v.setUint16(GnttabCopy.dest_domid, DOMID_SELF, true);
          v.setUint16(GnttabCopy.dest_offset, address % PAGE, true);
          v.setUint16(GnttabCopy.len, 8, true);
          v.setUint16(GnttabCopy.flags, GNTCOPY_source_gref, true);
        },
        1,
      )
      .view.getInt16(GnttabCopy.status, true);
  io.write(0x300000, Uint8Array.of(1));
  io.write(IO_STABLE + 2 * PAGE, Uint8Array.of(1));
  for (const address of [0x300008, 0x301008, IO_STABLE + 2 * PAGE + 8, IO_STABLE + 3 * PAGE + 8]) {
    t.is(copyTo(address), GNTST_okay, address.toString(16));
    t.is(new DataView(io.read(address, 8).buffer).getBigUint64(0, true), 0xcafen, address.toString(16));
  }
  for (const address of [IO_SHARED_INFO, IO_DMA, IO_MMIO, IO_MAP, IO_STABLE_END, 2 ** 44]) {
    t.is(copyTo(address), GNTST_bad_page, address.toString(16));
  }
  end(lab, guest, signals);
  lab.audit(t);
});

test("a restart takes all it had but its stable memory, and domain 0 is told", async (t) => {
  const { lab, io } = await open();
  const signals = new Set<string>();
  const guest = begin(lab, granter(0x5678n), signals, "granted");
  const { dom0, machine } = lab;
  dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, (v) =>
    put(v, EvtchnBindVirq, { virq: VIRQ_DOM_EXC }),
  );
  // A channel between the two, as the control channel is set up.
  const port = dom0
    .structured(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound.SIZE, (v) =>
      put(v, EvtchnAllocUnbound, { dom: IO_DOMAIN, remote_dom: DOMID_SELF }),
    )
    .view.getUint32(EvtchnAllocUnbound.port, true);
  const own = dom0
    .structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, EvtchnBindInterdomain.SIZE, (v) =>
      put(v, EvtchnBindInterdomain, { remote_dom: IO_DOMAIN, remote_port: port }),
    )
    .view.getUint32(EvtchnBindInterdomain.local_port, true);
  io.write(0x300000, Uint8Array.of(1));
  io.write(IO_STABLE + 0x5678, Uint8Array.of(7, 8, 9));
  t.is(io.mapGrant(guest, 8).status, GNTST_okay);
  t.is(io.reserve(IO_DMA, 4).done, 1);
  const control = dom0.mapForeign(IO_DOMAIN, IO_CONTROL / PAGE);
  t.true(control > 0, "domain 0 maps a page that it has not touched");
  io.write(IO_CONTROL, Uint8Array.of(0x77));
  t.is(dom0.read(control, 1)[0], 0x77);

  const resets = machine.resets.get(2)!;
  shutDown(lab, SHUTDOWN_reboot);
  t.is(machine.resets.get(2), resets + 1);
  t.deepEqual([...io.read(0, 2)], [...IMAGE]);
  t.is(io.read(0x300000, 1)[0], 0);
  t.is(io.read(IO_CONTROL, 1)[0], 0, "a new page");
  t.is(dom0.read(control, 1)[0], 0x77, "domain 0 still has the old one");
  t.deepEqual([...io.read(IO_STABLE + 0x5678, 3)], [7, 8, 9]);
  t.false(io.canTouch(IO_MAP));
  t.false(io.canTouch(IO_DMA));
  const closed = () => ioPorts(io, EVTCHNOP_status, EvtchnStatus, { dom: DOMID_SELF, port }).view;
  t.is(closed().getUint32(EvtchnStatus.status, true), EVTCHNSTAT_closed);
  t.is(closed().getUint16(EvtchnStatus.u_interdomain_dom, true), 0, "what it was bound to is still told");
  t.is(closed().getUint32(EvtchnStatus.u_interdomain_port, true), own);
  const status = dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_status, EvtchnStatus.SIZE, (v) =>
    put(v, EvtchnStatus, { dom: DOMID_SELF, port: own }),
  ).view;
  t.is(status.getUint32(EvtchnStatus.status, true), EVTCHNSTAT_unbound);
  t.is(status.getUint16(EvtchnStatus.u_unbound_dom, true), IO_DOMAIN, "for it to bind again");
  t.is(ioPorts(io, EVTCHNOP_bind_interdomain, EvtchnBindInterdomain, { remote_dom: 0, remote_port: own }).result, 0);
  t.is(dom0.unmapForeign(control), 0);
  end(lab, guest, signals);
  lab.audit(t);
});

test("a page of its stable memory can be granted, and stays granted to its user over a restart", async (t) => {
  const { lab, io } = await open();
  const signals = new Set<string>();
  const entry = (): void => {
    t.is(io.addToPhysmap(XENMAPSPACE_grant_table, 0, IO_GRANT_TABLE), 0);
    const bytes = new Uint8Array(GrantEntryV1.SIZE);
    put(new DataView(bytes.buffer), GrantEntryV1, {
      flags: GTF_permit_access,
      domid: guest,
      frame: IO_STABLE / PAGE + 3,
    });
    io.write(IO_GRANT_TABLE + 9 * GrantEntryV1.SIZE, bytes);
  };
  const STATE_GFN = 50;
  let seen = 0n;
  let mapped = -1;
  const guest = begin(
    lab,
    function* (cpu, _ids, all) {
      all.add("waits");
      yield* await_(all, "ready");
      const values = new DataView(new ArrayBuffer(32));
      values.setBigUint64(0, BigInt(STATE_GFN) << 12n, true);
      values.setUint32(8, 2, true); // GNTMAP_host_map
      values.setUint32(12, 9, true);
      values.setUint16(16, IO_DOMAIN, true);
      cpu.poke(8 * PAGE, new Uint8Array(values.buffer));
      yield* hypercall(cpu, 20, 0, 8 * PAGE, 1);
      mapped = cpu.view(8 * PAGE + 18, 2).getInt16(0, true);
      all.add("mapped");
      yield* await_(all, "look");
      seen = (yield { kind: "access", gpa: STATE_GFN * PAGE, write: false }) as bigint;
      all.add("looked");
      yield* await_(all, "end");
    },
    signals,
    "waits",
  );
  io.canTouch(IO_STABLE + 3 * PAGE);
  entry();
  signals.add("ready");
  lab.machine.runUntil(() => signals.has("mapped"), "the guest maps it");
  t.is(mapped, GNTST_okay);
  shutDown(lab, SHUTDOWN_crash);
  t.is(io.addToPhysmap(XENMAPSPACE_grant_table, 0, IO_GRANT_TABLE), 0);
  const table = new DataView(io.read(IO_GRANT_TABLE, PAGE).buffer);
  for (let ref = 0; ref < PAGE / GrantEntryV1.SIZE; ref++) {
    const flags = ref === 9 ? GTF_reading | GTF_writing : 0;
    t.is(table.getUint32(ref * GrantEntryV1.SIZE, true), flags, "blank, but for what is in use");
  }
  io.write(IO_STABLE + 3 * PAGE, Uint8Array.of(0x99));
  entry();
  lab.audit(t);
  signals.add("look");
  lab.machine.runUntil(() => signals.has("looked"), "the guest looks");
  t.is(seen, 0x99n, "the same page, before and after");
  end(lab, guest, signals);
  lab.audit(t);
});

test("it traps, faults, hangs, shuts itself down: it is restarted; too often, and it stays down until it is asked for", async (t) => {
  const { lab, io } = await open();
  const { machine } = lab;
  const resets = (): number => machine.resets.get(2)!;
  let failing: (record: DataView) => number | boolean | void = () => {};
  machine.ioTurn = (record) => {
    const once = failing;
    failing = () => {};
    return once(record);
  };
  /** Lets it run once: something is pending for it. */
  const fail = (what: typeof failing): void => {
    failing = what;
    wake();
    machine.step(6);
  };
  const wake = (): void => {
    // An event wakes it, as any would.
    const port = ioPorts(io, EVTCHNOP_alloc_unbound, EvtchnAllocUnbound, { dom: DOMID_SELF, remote_dom: DOMID_SELF });
    const own = port.view.getUint32(EvtchnAllocUnbound.port, true);
    ioPorts(io, EVTCHNOP_bind_interdomain, EvtchnBindInterdomain, { remote_dom: DOMID_SELF, remote_port: own });
  };
  const first = resets();
  fail((record) => {
    record.setBigUint64(SoftwareExit.trap, 1n, true);
    return SOFTWARE_EXIT_TRAP;
  });
  t.is(resets(), first + 1);
  fail((record) => {
    record.setBigUint64(SoftwareExit.address, BigInt(IO_MMIO), true);
    record.setBigUint64(SoftwareExit.write, 1n, true);
    return SOFTWARE_EXIT_PAGE_FAULT;
  });
  t.is(resets(), first + 2);
  const shutdown = new Uint8Array(SchedShutdown.SIZE);
  put(new DataView(shutdown.buffer), SchedShutdown, { reason: SHUTDOWN_reboot });
  fail(() => {
    io.write(0x200000, shutdown);
    io.prepare(__HYPERVISOR_sched_op, SCHEDOP_shutdown, 0x200000);
    return true;
  });
  t.is(resets(), first + 3);
  // Its watchdog.
  io.structured(__HYPERVISOR_sched_op, SCHEDOP_watchdog, SchedWatchdog.SIZE, (v) =>
    put(v, SchedWatchdog, { timeout: 1 }),
  );
  const until = machine.now + 2 * SECOND;
  machine.runUntil(() => machine.now > until, "two seconds");
  t.is(resets(), first + 4);
  t.regex(machine.output, /The watchdog of d32751 has expired/);

  const trap = (record: DataView): number => {
    record.setBigUint64(SoftwareExit.trap, 4n, true);
    return SOFTWARE_EXIT_TRAP;
  };
  for (let crashes = 4; crashes < RESTARTS; crashes++) fail(trap);
  t.false(info(lab).shutdown);
  fail(trap);
  t.true(info(lab).shutdown, "one too many within a minute");
  t.regex(machine.output, /Domain 32751 remains shut down: it has crashed too often/);
  t.is(info(lab).pages, 0, "it has given back all it had");
  lab.audit(t);
  const before = resets();
  machine.step(10);
  t.is(resets(), before);

  shutDown(lab, SHUTDOWN_reboot);
  t.false(info(lab).shutdown);
  t.is(resets(), before + 1);
  fail(trap);
  t.false(info(lab).shutdown, "its earlier crashes are forgotten");
  lab.audit(t);
});

test("restarts that domain 0 asks for are not counted", async (t) => {
  const { lab } = await open();
  const free = lab.free;
  for (let i = 0; i < 20; i++) shutDown(lab, SHUTDOWN_reboot);
  t.false(info(lab).shutdown);
  t.is(lab.machine.resets.get(2), 21);
  t.is(lab.free, free);
  lab.audit(t);
  for (let i = 0; i <= RESTARTS; i++) shutDown(lab, SHUTDOWN_crash);
  t.true(info(lab).shutdown, "those with SHUTDOWN_crash are");
});
