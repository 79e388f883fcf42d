/** domctl, sysctl and the memory operations of a toolstack, as domain 0 makes them. */
import test from "ava";
import * as domctl from "../../../abi/domctl.ts";
import {
  EACCES,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODATA,
  ENOMEM,
  ENOENT,
  ENOSPC,
  ENOSYS,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
} from "../../../abi/errno.ts";
import { HvmHwCpu, HvmHwLapic, HvmHwLapicRegs, HvmSaveDescriptor, HvmSaveHeader } from "../../../abi/hvm.ts";
import * as mem from "../../../abi/memory.ts";
import { SCHEDOP_block, SCHEDOP_yield } from "../../../abi/sched.ts";
import { DOM0_CALL_PAGE, DOM0_SCRATCH, DOM0_WINDOW_END } from "../../../abi/domain0-layout.ts";
import * as sysctl from "../../../abi/sysctl.ts";
import {
  __HYPERVISOR_domctl as DOMCTL,
  __HYPERVISOR_memory_op as MEMORY,
  __HYPERVISOR_sched_op as SCHED,
  __HYPERVISOR_sysctl as SYSCTL,
  DOMID_SELF,
  VIRQ_DOM_EXC,
  XenctlBitmap,
} from "../../../abi/xen.ts";
import { hypercall, type Steps } from "../../sim/call.ts";
import type { GuestProgram, GuestRequest } from "../../sim/svm-cpu.ts";
import { GUEST_FRAMES, Lab, put, type Values } from "./lab.ts";

const NOBODY = 999;
const U = domctl.Domctl.u;
const BUFFER = DOM0_SCRATCH + 0x20000;
const LIST = DOM0_SCRATCH + 0x10000;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

/** createdomain with two vCPUs and all limits at their defaults, but for what is given. */
function create(values: Values<typeof domctl.DomctlCreatedomain> = {}): { result: number; id: number } {
  const { result: rc, view } = lab.dom0.domctl(domctl.XEN_DOMCTL_createdomain, 0, (v, u) => {
    const all = {
      flags: domctl.XEN_DOMCTL_CDF_hvm | domctl.XEN_DOMCTL_CDF_hap,
      max_vcpus: 2,
      max_evtchn_port: 0x7fffffff,
      max_grant_frames: -1,
      max_maptrack_frames: -1,
      grant_opts: 1,
      arch_emulation_flags: domctl.XEN_X86_EMU_LAPIC,
      ...values,
    };
    put(v, domctl.DomctlCreatedomain, all, u);
  });
  return { result: rc, id: view.getUint16(domctl.Domctl.domain, true) };
}

test.serial("createdomain refuses what cannot be had, and leaves nothing behind", (t) => {
  const before = lab.free;
  const refused: [number, Values<typeof domctl.DomctlCreatedomain>][] = [
    [-EINVAL, { flags: 0 }],
    [-EINVAL, { flags: 0xffffffff }],
    [-EINVAL, { flags: domctl.XEN_DOMCTL_CDF_hvm }],
    [-EOPNOTSUPP, { flags: domctl.XEN_DOMCTL_CDF_hap }], // PVHv1 with a local APIC
    [-EINVAL, { max_vcpus: 0 }],
    [-EINVAL, { max_vcpus: 5000 }],
    [-EINVAL, { grant_opts: 0 }],
    [-EINVAL, { grant_opts: 2 }],
    [-EINVAL, { max_grant_frames: 0 }],
    [-EINVAL, { max_grant_frames: 65 }],
    [-EINVAL, { iommu_opts: 1 }],
    [-EOPNOTSUPP, { arch_emulation_flags: 0x3ff }],
    [-ENOENT, { cpupool_id: 1 }],
  ];
  for (const [errno, values] of refused) t.is(create(values).result, errno, JSON.stringify(values));
  const { id } = create();
  t.is(lab.dom0.domctl(domctl.XEN_DOMCTL_createdomain, id).result, -EEXIST);
  lab.destroy(id);
  t.is(lab.free, before);
});

test.serial("a domain's life, as far as domctl tells and makes it", (t) => {
  const { dom0 } = lab;
  const { id } = create();
  t.is(dom0.domctl(domctl.XEN_DOMCTL_destroydomain, 0).result, -EINVAL, "oneself");
  t.is(dom0.domctl(domctl.XEN_DOMCTL_pausedomain, 0).result, -EINVAL);
  t.is(dom0.domctl(domctl.XEN_DOMCTL_pausedomain, DOMID_SELF).result, -ESRCH);
  t.is(dom0.domctl(999, id).result, -ENOSYS);
  t.is(dom0.domctl(domctl.XEN_DOMCTL_iomem_permission, id).result, -EPERM);
  t.is(dom0.domctl(domctl.XEN_DOMCTL_get_address_size, id).result, -EOPNOTSUPP);
  t.is(dom0.maxVcpus(id, 1), -EINVAL, "fixed by createdomain");
  t.is(dom0.maxVcpus(id, 2), 0);
  t.is(dom0.maxVcpus(id, 2), 0, "again");
  t.is(dom0.info(id).flags & domctl.XEN_DOMINF_paused, domctl.XEN_DOMINF_paused);
  t.is(dom0.unpause(id), 0);
  t.is(dom0.unpause(id), -EINVAL, "not paused");
  t.is(dom0.pause(id), 0);
  const vcpu = (n: number): number =>
    dom0.domctl(domctl.XEN_DOMCTL_getvcpuinfo, id, (v, u) => put(v, domctl.DomctlGetvcpuinfo, { vcpu: n }, u)).result;
  t.is(vcpu(1), 0);
  t.is(vcpu(2), -EINVAL);
  t.is(dom0.populate(id, [1]), 0, "no memory before max_mem");
  t.is(dom0.maxMem(id, 2000), 0);
  t.is(dom0.populate(id, [1, 2, 3]), 3);
  const many = Array.from({ length: 500 }, (_, i) => 10 + i);
  t.is(dom0.populate(id, many), 500);
  t.is(dom0.info(id).pages, 503);
  lab.audit(t);
  lab.destroy(id);
  lab.audit(t);
});

test.serial("weights and affinities are kept as they were set, and nothing else is", (t) => {
  const { dom0 } = lab;
  const { id } = create();
  dom0.maxVcpus(id, 2);
  const S = domctl.DomctlSchedulerOp;
  const C = domctl.DomctlSchedCredit2;
  const sched = (cmd: number, weight = 0, cap = 0, sched_id = domctl.XEN_SCHEDULER_CREDIT2) => {
    const { result: rc, view } = dom0.domctl(domctl.XEN_DOMCTL_scheduler_op, id, (v, u) => {
      put(v, S, { sched_id, cmd }, u);
      v.setUint16(u + S.u + C.weight, weight, true);
      v.setUint16(u + S.u + C.cap, cap, true);
    });
    return [rc, view.getUint16(U + S.u + C.weight, true), view.getUint16(U + S.u + C.cap, true)];
  };
  const { XEN_DOMCTL_SCHEDOP_getinfo: GET, XEN_DOMCTL_SCHEDOP_putinfo: PUT } = domctl;
  t.deepEqual(sched(GET), [0, 256, 0]);
  t.is(sched(PUT, 512)[0], 0);
  t.is(sched(PUT, 0, 0xffff)[0], 0, "neither is changed");
  t.is(sched(PUT, 1000, 50)[0], -EOPNOTSUPP, "a cap");
  t.is(sched(PUT, 1000, 0, domctl.XEN_SCHEDULER_CREDIT)[0], -EINVAL, "another scheduler's");
  t.deepEqual(sched(GET), [0, 512, 0]);
  t.is(lab.sysctl(sysctl.XEN_SYSCTL_sched_id).view.getUint32(sysctl.Sysctl.u, true), domctl.XEN_SCHEDULER_CREDIT2);

  const A = domctl.DomctlVcpuaffinity;
  const affinity = (cmd: number, flags: number, hard = 0n, soft = 0n, vcpu = 1) => {
    const bits = new DataView(new ArrayBuffer(16));
    bits.setBigUint64(0, hard, true);
    bits.setBigUint64(8, soft, true);
    dom0.write(BUFFER, new Uint8Array(bits.buffer));
    const rc = dom0.domctl(cmd, id, (v, u) => {
      put(v, A, { vcpu, flags }, u);
      for (const [at, buffer] of [
        [A.cpumap_hard, BUFFER],
        [A.cpumap_soft, BUFFER + 8],
      ] as const) {
        put(v, XenctlBitmap, { bitmap: buffer, nr_bits: 64 }, u + at);
      }
    }).result;
    const found = new DataView(Uint8Array.from(dom0.read(BUFFER, 16)).buffer);
    return [rc, found.getBigUint64(0, true), found.getBigUint64(8, true)];
  };
  const { XEN_VCPUAFFINITY_HARD: HARD, XEN_VCPUAFFINITY_SOFT: SOFT } = domctl;
  const { XEN_DOMCTL_getvcpuaffinity: ASK, XEN_DOMCTL_setvcpuaffinity: SET } = domctl;
  const all = (1n << 64n) - 1n;
  t.deepEqual(affinity(ASK, HARD | SOFT), [0, 1n, all]);
  t.deepEqual(affinity(SET, HARD | SOFT, 5n, 3n), [0, 1n, 1n], "what is in effect");
  t.is(affinity(SET, HARD, 4n)[0], -EINVAL, "no CPU that is used");
  t.is(affinity(SET, SOFT, 0n, 0n)[0], -EINVAL);
  t.is(affinity(SET, HARD, 1n, 0n, 2)[0], -EINVAL, "no such vCPU");
  t.deepEqual(affinity(ASK, HARD | SOFT), [0, 5n, 3n]);
  t.deepEqual(affinity(ASK, HARD | SOFT, 0n, 0n, 0), [0, 1n, all], "the other vCPU's");
  lab.destroy(id);
});

test.serial("the register records of sethvmcontext", (t) => {
  const { dom0 } = lab;
  const { id } = create();
  dom0.maxVcpus(id, 2);
  const context = (command: number, size: number, buffer: number): { result: number; size: number } => {
    const { result: rc, view } = dom0.domctl(command, id, (v, u) =>
      put(v, domctl.DomctlHvmcontext, { size, buffer }, u),
    );
    return { result: rc, size: view.getUint32(U + domctl.DomctlHvmcontext.size, true) };
  };
  const save = (size: number, at: number) => context(domctl.XEN_DOMCTL_gethvmcontext, size, at);
  const restore = (size: number, at = BUFFER): number => context(domctl.XEN_DOMCTL_sethvmcontext, size, at).result;
  const head = HvmSaveDescriptor.SIZE;
  const vcpu = HvmHwCpu.SIZE + HvmHwLapic.SIZE + HvmHwLapicRegs.SIZE;
  const size = head + HvmSaveHeader.SIZE + 2 * (3 * head + vcpu) + head;
  t.deepEqual(save(0, 0), { result: 0, size }, "a null buffer asks for the size");
  t.is(save(size - 1, BUFFER).result, -ENOSPC);
  t.is(save(size, BUFFER).result, 0);
  t.is(restore(10), -ENODATA);
  t.is(restore(0), -ENODATA);
  t.is(restore(size - head), -ENODATA, "no END record");
  t.is(restore(size, BUFFER + 8), -ENODATA, "no HEADER record");
  t.is(restore(size, 0xffff0000), -EFAULT);
  lab.destroy(id);
});

test.serial("foreign memory in domain 0's window, and a domain that dies under it", (t) => {
  const { dom0, machine } = lab;
  const extent = new DataView(new ArrayBuffer(8));
  extent.setBigUint64(0, 1024n, true);
  dom0.write(LIST, new Uint8Array(extent.buffer));
  const before = lab.free;
  const { id } = create();
  dom0.maxVcpus(id, 2);
  dom0.maxMem(id, 1000);
  const superpage = dom0.structured(MEMORY, mem.XENMEM_populate_physmap, mem.MemoryReservation.SIZE, (v) =>
    put(v, mem.MemoryReservation, { extent_start: LIST, nr_extents: 1, extent_order: 9, domid: id }),
  );
  t.is(superpage.result, 1);
  const address = dom0.mapForeign(id, 1030);
  t.true(address > 0, "a frame in the middle of a superpage");
  dom0.write(address, Buffer.from("abc"));
  t.is(dom0.mapForeign(id, 1030, address), -ENXIO, "over a foreign frame");
  t.is(dom0.mapForeign(id, 99999), -EINVAL, "nothing there");
  t.is(dom0.mapForeign(0, 1), -EPERM, "one's own");
  t.is(dom0.mapForeign(NOBODY, 1), -ESRCH);
  for (const place of [0x1000, DOM0_CALL_PAGE, DOM0_WINDOW_END]) {
    t.is(dom0.mapForeign(id, 1030, place), -EINVAL, "not a place for mappings");
  }

  t.is(dom0.destroy(id), 0);
  machine.step(2);
  t.is(dom0.info(id).view.getUint16(domctl.Domctl.domain, true), id, "it stays while its frame is mapped");
  t.is(dom0.info(id).flags & domctl.XEN_DOMINF_dying, domctl.XEN_DOMINF_dying);
  t.is(Buffer.from(dom0.read(address, 3)).toString(), "abc");
  t.is(dom0.populate(id, [5000]), 0);
  t.is(dom0.maxVcpus(id, 2), -EINVAL);
  t.is(dom0.mapForeign(id, 1030), -EINVAL);
  // Nothing that only a living domain would give back.
  const map = { domid: id, map_nr_entries: 1, map_buffer: LIST };
  const setMap = dom0.structured(MEMORY, mem.XENMEM_set_memory_map, mem.ForeignMemoryMap.SIZE, (v) =>
    put(v, mem.ForeignMemoryMap, map),
  );
  t.is(setMap.result, -EINVAL);
  const claim = dom0.structured(MEMORY, mem.XENMEM_claim_pages, mem.MemoryReservation.SIZE, (v) =>
    put(v, mem.MemoryReservation, { nr_extents: 50, domid: id }),
  );
  t.is(claim.result, -EINVAL);
  const handler = dom0.domctl(domctl.XEN_DOMCTL_set_virq_handler, id, (v, u) =>
    v.setUint32(u + domctl.DomctlSetVirqHandler.virq, VIRQ_DOM_EXC, true),
  );
  t.is(handler.result, -EINVAL);
  lab.audit(t);
  t.is(dom0.unmapForeign(address), 0);
  machine.step(3);
  t.is(dom0.domctl(domctl.XEN_DOMCTL_pausedomain, id).result, -ESRCH, "now it is gone");
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("a guest's grant table in domain 0's window", (t) => {
  const { dom0 } = lab;
  const { id } = create();
  const place = 0xd0100000;
  const gfn = new DataView(new ArrayBuffer(8));
  gfn.setBigUint64(0, BigInt(place / 4096), true);
  dom0.write(LIST, new Uint8Array(gfn.buffer));
  const acquire = (values: Values<typeof mem.MemAcquireResource>) =>
    dom0.structured(MEMORY, mem.XENMEM_acquire_resource, mem.MemAcquireResource.SIZE, (v) => {
      const all = { domid: id, type: mem.XENMEM_resource_grant_table, nr_frames: 1, frame_list: LIST, ...values };
      put(v, mem.MemAcquireResource, all);
    });
  const size = acquire({ nr_frames: 0, frame_list: 0 });
  t.is(size.view.getUint32(mem.MemAcquireResource.nr_frames, true), 64);
  t.is(acquire({}).result, 0);
  dom0.write(place, Buffer.from("entry"));
  t.is(acquire({ domid: 0 }).result, -EPERM);
  t.is(acquire({ domid: NOBODY }).result, -ESRCH);
  t.is(acquire({ id: mem.XENMEM_resource_grant_table_id_status }).result, -EINVAL);
  t.is(acquire({ frame: 1n << 40n }).result, -EINVAL);
  t.is(acquire({ frame: 64 }).result, -EINVAL);
  t.is(acquire({ type: 9 }).result, -EOPNOTSUPP);
  lab.audit(t);
  t.is(dom0.unmapForeign(place), 0);
  lab.destroy(id);
  lab.audit(t);
});

test.serial("claims keep memory for the domain that has them", (t) => {
  const { dom0 } = lab;
  const first = create().id;
  const second = create().id;
  const claim = (domid: number, pages: number): number =>
    dom0.structured(MEMORY, mem.XENMEM_claim_pages, mem.MemoryReservation.SIZE, (v) =>
      put(v, mem.MemoryReservation, { nr_extents: pages, domid }),
    ).result;
  const most = lab.free;
  dom0.maxMem(first, most);
  dom0.maxMem(second, most);
  t.is(claim(first, most + 1), -EINVAL, "more than it may have");
  t.is(claim(first, most), -ENOMEM, "some of it is promised to domain 0 and the hypervisor");
  const { view } = lab.sysctl(sysctl.XEN_SYSCTL_physinfo);
  const all = lab.free - Number(view.getBigUint64(sysctl.Sysctl.u + sysctl.SysctlPhysinfo.outstanding_pages, true));
  t.is(claim(first, all - 8), 0);
  t.is(claim(first, all - 8), -EINVAL, "a claim stands");
  t.is(
    dom0.populate(
      second,
      Array.from({ length: 100 }, (_, i) => i),
    ) < 9,
    true,
    "the rest is the other's",
  );
  t.is(
    dom0.populate(
      first,
      Array.from({ length: 100 }, (_, i) => i),
    ),
    100,
  );
  lab.audit(t);
  t.is(claim(first, 0), 0, "given up");
  t.is(
    dom0.populate(
      second,
      Array.from({ length: 100 }, (_, i) => 1000 + i),
    ),
    100,
  );
  lab.destroy(first, second);
  lab.audit(t);
});

/** All counters of perfc_op by name. */
function perfCounters(): Map<string, number[]> {
  const P = sysctl.SysctlPerfcOp;
  const D = sysctl.SysctlPerfcDesc;
  const u = sysctl.Sysctl.u;
  const query = { cmd: sysctl.XEN_SYSCTL_PERFCOP_query };
  const sizes = lab.sysctl(sysctl.XEN_SYSCTL_perfc_op, (v, at) => put(v, P, query, at));
  const counters = sizes.view.getUint32(u + P.nr_counters, true);
  const values = sizes.view.getUint32(u + P.nr_vals, true);
  const buffers = { ...query, desc: BUFFER, val: BUFFER + 8192 };
  lab.dom0.write(BUFFER + 8192 + 4 * values, Buffer.alloc(4, 0x5a));
  const filled = lab.sysctl(sysctl.XEN_SYSCTL_perfc_op, (v, at) => put(v, P, buffers, at));
  if (sizes.result !== 0 || filled.result !== 0) throw new Error("perfc_op failed");
  const word = (at: number) => Buffer.from(lab.dom0.read(at, 4)).readUInt32LE(0);
  const result = new Map<string, number[]>();
  let at = BUFFER + 8192;
  for (let i = 0; i < counters; i++) {
    const bytes = Buffer.from(lab.dom0.read(BUFFER + i * D.SIZE, D.SIZE));
    const count = bytes.readUInt32LE(D.nr_vals);
    const from = at;
    result.set(
      bytes.toString("latin1", 0, bytes.indexOf(0)),
      Array.from({ length: count }, (_, n) => word(from + 4 * n)),
    );
    at += 4 * count;
  }
  if (at !== BUFFER + 8192 + 4 * values) throw new Error("not as many values as were announced");
  if (word(at) !== 0x5a5a5a5a) throw new Error("more values than were announced");
  return result;
}

test.serial("sysctl describes the machine", (t) => {
  const u = sysctl.Sysctl.u;
  const frames = perfCounters();
  const parts = [...frames].filter(([name]) => name.startsWith("frames.") && name !== "frames.total");
  t.is(
    parts.reduce((sum, [, [n]]) => sum + n!, 0),
    frames.get("frames.total")![0],
    "memory by use sums to the machine's",
  );

  const C = sysctl.SysctlReadconsole;
  const read = (values: Values<typeof C>): { text: string; index: number } => {
    const { view } = lab.sysctl(sysctl.XEN_SYSCTL_readconsole, (v, at) => put(v, C, { buffer: BUFFER, ...values }, at));
    const text = Buffer.from(lab.dom0.read(BUFFER, view.getUint32(u + C.count, true))).toString();
    return { text, index: view.getUint32(u + C.index, true) };
  };
  const all = read({ count: 16384 }).text;
  t.true(all.startsWith("(TV) Typevisor"));
  const start = read({ count: 40 });
  t.is(start.text + read({ count: 40, incremental: 1, index: start.index }).text, all.slice(0, 80));

  for (const command of [
    sysctl.XEN_SYSCTL_sched_id,
    sysctl.XEN_SYSCTL_availheap,
    sysctl.XEN_SYSCTL_cputopoinfo,
    sysctl.XEN_SYSCTL_numainfo,
    sysctl.XEN_SYSCTL_getcpuinfo,
    sysctl.XEN_SYSCTL_physinfo,
  ]) {
    t.is(lab.sysctl(command).result, 0);
  }
  t.is(lab.sysctl(sysctl.XEN_SYSCTL_tbuf_op).result, -ENOSYS);
  t.is(lab.sysctl(999).result, -ENOSYS);
  const keys = Buffer.from("aegmq?");
  lab.dom0.write(BUFFER, keys);
  const pressed = lab.sysctl(sysctl.XEN_SYSCTL_debug_keys, (v, at) =>
    put(v, sysctl.SysctlDebugKeys, { keys: BUFFER, nr_keys: keys.length }, at),
  );
  t.is(pressed.result, 0);
});

test.serial("exits are counted for each domain by reason", (t) => {
  const CPUIDS = 7;
  const YIELDS = 11;
  const yielding = { kind: "hypercall", op: SCHED, args: [SCHEDOP_yield, 0] } as const;
  const blocking = { kind: "hypercall", op: SCHED, args: [SCHEDOP_block, 0] } as const;
  let ended = 0;
  const program = (request: GuestRequest, times: number): GuestProgram =>
    function* () {
      for (let i = 0; i < times; i++) yield { ...request };
      ended++;
      for (;;) yield { ...blocking, args: [...blocking.args] };
    };
  const asking = lab.dom0.build(program({ kind: "exit", code: 0x72, rax: 0n }, CPUIDS), GUEST_FRAMES);
  const calling = lab.dom0.build(program({ ...yielding, args: [...yielding.args] }, YIELDS), GUEST_FRAMES);
  for (const id of [asking, calling]) t.is(lab.dom0.unpause(id), 0);
  lab.machine.runUntil(() => ended === 2, "the end of both programs", 10_000);
  lab.machine.step(4);
  const counters = perfCounters();
  const ids = counters.get("domains")!;
  t.deepEqual(ids, [0, asking, calling]);
  const count = (reason: string, id: number) => counters.get(`exits.${reason}`)![ids.indexOf(id)]!;
  t.is(count("cpuid", asking), CPUIDS);
  t.is(count("hypercall", asking), 1, "its last one blocks");
  t.is(count("cpuid", calling), 0);
  t.is(count("hypercall", calling), YIELDS + 1);
  for (const [name, values] of counters) if (name.startsWith("exits.")) t.is(values[0], 0, `domain 0: ${name}`);
  lab.destroy(asking, calling);
  lab.audit(t);
});

test.serial("a guest may call none of it", (t) => {
  lab.run(t, function* (cpu) {
    const D = domctl.Domctl;
    const S = sysctl.Sysctl;
    const version = domctl.XEN_DOMCTL_INTERFACE_VERSION;
    const at = 0x9000;
    const guestDomctl = function* (values: Values<typeof D>): Steps<number> {
      put(cpu.view(at, D.SIZE), D, values);
      return yield* hypercall(cpu, DOMCTL, at);
    };
    t.is(yield* guestDomctl({ cmd: domctl.XEN_DOMCTL_pausedomain, domain: 0 }), -EACCES, "wrong version");
    t.is(yield* guestDomctl({ cmd: domctl.XEN_DOMCTL_pausedomain, interface_version: version, domain: 0 }), -EPERM);
    t.is(
      yield* guestDomctl({ cmd: domctl.XEN_DOMCTL_pausedomain, interface_version: version, domain: NOBODY }),
      -ESRCH,
    );
    put(cpu.view(at, S.SIZE), S, { cmd: sysctl.XEN_SYSCTL_physinfo, interface_version: version });
    t.is(yield* hypercall(cpu, SYSCTL, at), -EPERM);
  });
});
