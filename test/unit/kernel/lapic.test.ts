/** Local APICs in the kernel: interrupts that get through, timers, INIT and SIPI, and their records in domctl. */
import test from "ava";
import * as domctl from "../../../abi/domctl.ts";
import { EINVAL, ENODEV } from "../../../abi/errno.ts";
import { EvtchnBindIpi, EVTCHNOP_bind_ipi, EVTCHNOP_send, EvtchnSend } from "../../../abi/event-channel.ts";
import {
  HVM_SAVE_CODE_LAPIC,
  HVM_SAVE_CODE_LAPIC_REGS,
  HvmEvtchnUpcallVector,
  HvmHwLapic,
  HvmHwLapicRegs,
  HVMOP_set_evtchn_upcall_vector,
  HvmSaveDescriptor,
} from "../../../abi/hvm.ts";
import { XENMAPSPACE_shared_info } from "../../../abi/memory.ts";
import { SCHEDOP_block } from "../../../abi/sched.ts";
import { DOM0_SCRATCH } from "../../../abi/domain0-layout.ts";
import { VCPUOP_is_up } from "../../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op as EVENT,
  __HYPERVISOR_hvm_op as HVM,
  __HYPERVISOR_sched_op as SCHED,
  __HYPERVISOR_vcpu_op as VCPU,
  SharedInfo,
  VcpuInfo,
} from "../../../abi/xen.ts";
import { addToPhysmap, hypercall, SHARED_INFO_GFN, type Steps } from "../../sim/call.ts";
import { PAGE } from "../../sim/ram.ts";
import { type GuestCpu, GuestException, guestCode } from "../../sim/svm-cpu.ts";
import { GUEST_FRAMES, Lab, put, call } from "./lab.ts";

const BUFFER = DOM0_SCRATCH + 0x20000;
const U = domctl.Domctl.u;

const APIC_BASE = 0x1b;
const TSC_DEADLINE = 0x6e0;
const X2APIC_ON = 0xfee0_0c00n;
const TPR = 0x808;
const EOI = 0x80b;
const SVR = 0x80f;
const ICR = 0x830;
const LVT_TIMER = 0x832;
const INITIAL = 0x838;
const DIVIDE = 0x83e;
const SELF_IPI = 0x83f;
const GP = 13;
const PERIODIC = 0x2_0000n;
const DEADLINE = 0x4_0000n;

// VMCB.
const RFLAGS = 0x570;
const CS_SELECTOR = 0x410;
const CS_BASE = 0x418;
const CR0 = 0x558;
const RIP = 0x578;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open();
});

/** Vectors of the interrupts that come from now on. */
function listen(cpu: GuestCpu): number[] {
  const delivered: number[] = [];
  cpu.handler = (vector) => delivered.push(vector);
  return delivered;
}

/** Vector of the exception that some instructions end in, 0 for none. */
function* trap(steps: Steps<unknown>): Steps<number> {
  try {
    yield* steps;
  } catch (error) {
    if (error instanceof GuestException) return error.vector;
    throw error;
  }
  return 0;
}

function* wrmsr(msr: number, value: bigint): Steps<void> {
  const rdx = value >> 32n;
  yield { kind: "exit", code: 0x7c, info1: 1n, rcx: BigInt(msr), rax: value & 0xffff_ffffn, rdx };
}

/** The low half of an MSR. */
function* rdmsr(msr: number): Steps<bigint> {
  return yield { kind: "exit", code: 0x7c, info1: 0n, rcx: BigInt(msr), rax: 0n, rdx: 0n };
}

/** Into x2APIC mode, enabled. */
function* enable(): Steps<void> {
  yield* wrmsr(APIC_BASE, X2APIC_ON);
  yield* wrmsr(SVR, 0x1ffn);
}

/** Lets what is pending in. */
function* pause(): Steps<void> {
  yield { kind: "spin", ns: 1000 };
  yield { kind: "spin", ns: 1000 };
}

/** SCHEDOP_block: waits for an event or interrupt. */
function* block(): Steps<void> {
  yield { kind: "hypercall", op: SCHED, args: [SCHEDOP_block, 0] };
}

test.serial("interrupts come by priority, one after another as they are ended", (t) => {
  lab.run(t, function* (cpu) {
    const delivered = listen(cpu);
    yield* enable();
    cpu.interruptsOn = false;
    for (const vector of [0x41n, 0x92n, 0x95n, 0xe0n]) yield* wrmsr(SELF_IPI, vector);
    yield* pause();
    t.deepEqual(delivered, []);
    cpu.interruptsOn = true;
    yield* pause();
    t.deepEqual(delivered, [0xe0], "the others wait for its EOI");
    yield* wrmsr(EOI, 0n);
    yield* pause();
    t.deepEqual(delivered, [0xe0, 0x95]);
    yield* wrmsr(TPR, 0x90n);
    yield* wrmsr(EOI, 0n);
    yield* pause();
    t.deepEqual(delivered, [0xe0, 0x95], "held back by the task priority");
    yield* wrmsr(TPR, 0n);
    yield* pause();
    yield* wrmsr(EOI, 0n);
    yield* pause();
    t.deepEqual(delivered, [0xe0, 0x95, 0x92, 0x41]);
  });
});

test.serial("the timer wakes a vCPU that waits, in each mode", (t) => {
  lab.run(t, function* (cpu) {
    const delivered = listen(cpu);
    yield* enable();
    yield* wrmsr(DIVIDE, 0xbn);
    yield* wrmsr(LVT_TIMER, 0x50n);
    let from = lab.machine.now;
    yield* wrmsr(INITIAL, 100_000n); // 1 ms
    yield { kind: "halt" };
    yield* pause();
    t.deepEqual(delivered, [0x50]);
    t.true(lab.machine.now - from >= 990_000, "not early");
    yield* wrmsr(EOI, 0n);

    yield* wrmsr(LVT_TIMER, DEADLINE | 0x51n);
    from = lab.machine.now;
    yield* wrmsr(TSC_DEADLINE, BigInt(from + 2_000_000)); // its TSC is the machine's
    yield* block();
    yield* pause();
    t.deepEqual(delivered, [0x50, 0x51]);
    t.true(lab.machine.now - from >= 1_980_000);
    yield* wrmsr(EOI, 0n);
    yield* wrmsr(TSC_DEADLINE, 1n);
    yield* pause();
    t.deepEqual(delivered.splice(0), [0x50, 0x51, 0x51], "a time gone by");
    yield* wrmsr(EOI, 0n);

    yield* wrmsr(LVT_TIMER, PERIODIC | 0x52n);
    yield* wrmsr(INITIAL, 100_000n);
    for (let i = 0; i < 3; i++) {
      yield { kind: "halt" };
      yield* pause();
      yield* wrmsr(EOI, 0n);
    }
    t.deepEqual(delivered, [0x52, 0x52, 0x52]);
    yield* wrmsr(INITIAL, 0n);
  });
});

test.serial("a periodic timer of 10 ns: 100 us apart at least, and none while its interrupt waits", (t) => {
  lab.run(t, function* (cpu) {
    const delivered = listen(cpu);
    yield* enable();
    yield* wrmsr(DIVIDE, 0xbn);
    yield* wrmsr(LVT_TIMER, PERIODIC | 0x52n);
    const from = lab.machine.now;
    yield* wrmsr(INITIAL, 1n);
    while (lab.machine.now < from + 2_000_000) {
      yield { kind: "spin", ns: 10_000 };
      yield* wrmsr(EOI, 0n);
    }
    t.true(delivered.length > 2 && delivered.length <= (lab.machine.now - from) / 100_000, "as often as that");
    // Without an EOI one is in service and one waits: the hypervisor has nothing more to do for it.
    delivered.length = 0;
    const { svm } = lab.machine;
    const enter = svm.enter.bind(svm);
    let entries = 0;
    svm.enter = (vmcb, regs) => {
      entries++;
      enter(vmcb, regs);
    };
    yield { kind: "spin", ns: 20_000_000 };
    svm.enter = enter;
    t.true(delivered.length <= 1);
    t.true(entries < 20, `${entries} entries`);
    yield* wrmsr(INITIAL, 0n);
  });
});

test.serial("an upcall by the vCPU's own vector goes through its APIC", (t) => {
  lab.run(t, function* (cpu) {
    const delivered = listen(cpu);
    yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN);
    const bound = yield* call(cpu, EVENT, EVTCHNOP_bind_ipi, EvtchnBindIpi, { vcpu: 0 });
    const port = bound.view.getUint32(EvtchnBindIpi.port, true);
    yield* call(cpu, HVM, HVMOP_set_evtchn_upcall_vector, HvmEvtchnUpcallVector, { vcpu: 0, vector: 0x60 });
    yield* call(cpu, EVENT, EVTCHNOP_send, EvtchnSend, { port });
    yield* pause();
    t.deepEqual(delivered, [], "the APIC is off");
    yield* enable();
    yield* pause();
    t.deepEqual(delivered, [0x60], "an upcall that waits comes when it is switched on");
    yield* wrmsr(EOI, 0n);
    yield* pause();
    t.deepEqual(delivered, [0x60], "a message, not a level");
    // The guest takes the event; the next one is another message.
    cpu.poke(SHARED_INFO_GFN * PAGE + SharedInfo.evtchn_pending, new Uint8Array(8));
    cpu.poke(SHARED_INFO_GFN * PAGE + VcpuInfo.evtchn_pending_sel, new Uint8Array(8));
    cpu.poke(SHARED_INFO_GFN * PAGE + VcpuInfo.evtchn_upcall_pending, new Uint8Array(1));
    yield* call(cpu, EVENT, EVTCHNOP_send, EvtchnSend, { port });
    yield* pause();
    t.deepEqual(delivered, [0x60, 0x60]);
  });
});

/** A second vCPU's program, placed at guest-physical 0 for the SIPI that names it. */
function place(cpu: GuestCpu, program: (cpu: GuestCpu) => Steps<void>): void {
  cpu.poke(0, guestCode(lab.machine.svm.program(program)));
}

test.serial("INIT and SIPI: a vCPU starts in real mode, once; INIT takes it down again", (t) => {
  const before = lab.free;
  const seen: string[] = [];
  const id = lab.dom0.build(
    function* (cpu) {
      yield* enable();
      let starts = 0;
      place(cpu, function* () {
        starts++;
        yield* enable();
        for (;;) yield* block();
      });
      const up = () => hypercall(cpu, VCPU, VCPUOP_is_up, 1, 0);
      t.is(yield* up(), 0);
      const INIT = 0x2_0000_4500n;
      const SIPI = 0x2_0000_4600n;
      yield* wrmsr(ICR, INIT);
      t.is(yield* up(), 0);
      yield* wrmsr(ICR, SIPI);
      t.is(yield* up(), 1);
      yield { kind: "spin", ns: 30_000_000 };
      t.is(starts, 1);
      yield* wrmsr(ICR, SIPI);
      yield { kind: "spin", ns: 30_000_000 };
      t.is(starts, 1, "it does not wait for a SIPI");
      yield* wrmsr(ICR, 0x2_0000_8500n);
      t.is(yield* up(), 1, "the INIT that takes back its line does nothing");
      for (let i = 2; i < 5; i++) {
        yield* wrmsr(ICR, INIT);
        t.is(yield* up(), 0);
        yield* wrmsr(ICR, SIPI);
        yield { kind: "spin", ns: 30_000_000 };
        t.is(starts, i);
      }
      // SMI, ExtINT and the reserved kinds are ignored.
      for (const kind of [2n, 3n, 7n]) yield* wrmsr(ICR, 0x2_0000_4040n | (kind << 8n));
      t.is(yield* up(), 1);
      seen.push("done");
      // The last INIT takes the domain with it.
      yield* wrmsr(ICR, INIT);
      yield* wrmsr(ICR, 0x4_4500n);
      seen.push("unreachable");
    },
    GUEST_FRAMES,
    2,
  );
  t.is(lab.dom0.unpause(id), 0);
  lab.machine.runUntil(() => (lab.dom0.info(id).flags & domctl.XEN_DOMINF_shutdown) !== 0, "its end", 60_000);
  t.deepEqual(seen, ["done"]);
  lab.destroy(id);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("a SIPI's vector is where the vCPU starts", (t) => {
  const id = lab.dom0.build(
    function* () {
      yield* enable();
      yield* wrmsr(ICR, 0x2_0000_469an);
      for (;;) yield { kind: "spin", ns: 1_000_000 };
    },
    GUEST_FRAMES,
    2,
  );
  lab.dom0.unpause(id);
  const started: bigint[] = [];
  const ram = lab.machine.ram;
  const enter = lab.machine.svm.enter.bind(lab.machine.svm);
  lab.machine.svm.enter = (vmcb, regs) => {
    const fields = [CS_BASE, RIP, CR0, RFLAGS].map((field) => ram.read64(vmcb + field));
    if (ram.view.getUint16(vmcb + CS_SELECTOR, true) === 0x9a00 && started.length === 0) started.push(...fields);
    enter(vmcb, regs);
  };
  lab.machine.runUntil(() => started.length > 0, "the second vCPU", 60_000);
  lab.machine.svm.enter = enter;
  t.deepEqual(started, [0x9a000n, 0n, 0x10n, 2n]);
  lab.destroy(id);
  lab.audit(t);
});

test.serial("a domain without local APICs has none", (t) => {
  lab.dom0.emulation = 0;
  lab.run(t, function* () {
    t.is((yield* rdmsr(APIC_BASE)) & 0xfffff800n, 0xfee00000n, "off");
    for (const msr of [TSC_DEADLINE, EOI, 0x802]) t.is(yield* trap(rdmsr(msr)), GP);
    t.is(yield* trap(wrmsr(APIC_BASE, 0xfee00900n)), GP);
  });
  lab.dom0.emulation = domctl.XEN_X86_EMU_LAPIC;
});

test.serial("the APICs' records: what was saved is what is restored", (t) => {
  const { dom0 } = lab;
  const context = (id: number, command: number, size: number, buffer: number): number =>
    dom0.domctl(command, id, (v, u) => put(v, domctl.DomctlHvmcontext, { size, buffer }, u)).result;
  const sizeOf = (id: number): number => {
    const { view } = dom0.domctl(domctl.XEN_DOMCTL_gethvmcontext, id, (v, u) =>
      put(v, domctl.DomctlHvmcontext, { size: 0, buffer: 0 }, u),
    );
    return view.getUint32(U + domctl.DomctlHvmcontext.size, true);
  };
  let ready = false;
  const id = dom0.build(function* (cpu) {
    yield* enable();
    cpu.interruptsOn = false;
    yield* wrmsr(TPR, 0x20n);
    yield* wrmsr(DIVIDE, 0x3n);
    yield* wrmsr(LVT_TIMER, PERIODIC | 0x1_0042n);
    yield* wrmsr(INITIAL, 0xffff_ffffn);
    yield* wrmsr(SELF_IPI, 0xa1n);
    ready = true;
    for (;;) yield* block();
  }, GUEST_FRAMES);
  dom0.unpause(id);
  lab.machine.runUntil(() => ready, "the guest", 60_000);
  dom0.pause(id);
  const size = sizeOf(id);
  t.is(context(id, domctl.XEN_DOMCTL_gethvmcontext, size, BUFFER), 0);
  const saved = Uint8Array.from(dom0.read(BUFFER, size));
  const records = new Map<number, { at: number; length: number }>();
  const view = new DataView(saved.buffer);
  for (let at = 0; at < size;) {
    const length = view.getUint32(at + HvmSaveDescriptor.length, true);
    at += HvmSaveDescriptor.SIZE;
    records.set(view.getUint16(at - HvmSaveDescriptor.SIZE + HvmSaveDescriptor.typecode, true), { at, length });
    at += length;
  }
  const hidden = records.get(HVM_SAVE_CODE_LAPIC)!;
  const regs = records.get(HVM_SAVE_CODE_LAPIC_REGS)!;
  t.deepEqual([hidden.length, regs.length], [HvmHwLapic.SIZE, HvmHwLapicRegs.SIZE]);
  t.is(view.getBigUint64(hidden.at + HvmHwLapic.apic_base_msr, true), X2APIC_ON);
  t.is(view.getUint32(hidden.at + HvmHwLapic.disabled, true), 0);
  t.is(view.getUint32(hidden.at + HvmHwLapic.timer_divisor, true), 16);
  const register = (offset: number) => view.getUint32(regs.at + offset, true);
  t.deepEqual([register(0x20), register(0x80), register(0xf0), register(0x250)], [0, 0x20, 0x1ff, 2]);
  t.is(register(0x320), 0x3_0042);
  t.is(register(0x380), 0xffff_ffff);

  // Into another domain, and out of it again: the same except for the counter, which keeps running.
  const copy = dom0.create(1);
  dom0.maxVcpus(copy, 1);
  t.is(context(copy, domctl.XEN_DOMCTL_sethvmcontext, size, BUFFER), 0);
  t.is(context(copy, domctl.XEN_DOMCTL_gethvmcontext, size, BUFFER), 0);
  const again = Uint8Array.from(dom0.read(BUFFER, size));
  const page = (bytes: Uint8Array) => bytes.slice(regs.at, regs.at + regs.length).fill(0, 0x390, 0x394);
  t.deepEqual(page(again), page(saved));
  t.deepEqual(again.slice(hidden.at, hidden.at + hidden.length), saved.slice(hidden.at, hidden.at + hidden.length));
  const current = new DataView(again.buffer).getUint32(regs.at + 0x390, true);
  t.true(current > 0 && current <= register(0x390));

  // Senseless ones.
  const restore = (change: (v: DataView) => void, into = copy): number => {
    const bytes = Uint8Array.from(saved);
    change(new DataView(bytes.buffer));
    dom0.write(BUFFER, bytes);
    return context(into, domctl.XEN_DOMCTL_sethvmcontext, size, BUFFER);
  };
  const base = (value: bigint) => (v: DataView) => v.setBigUint64(hidden.at, value, true);
  t.is(restore(base(0xfee0_0400n)), -EINVAL, "x2APIC mode while disabled");
  t.is(restore(base(0xfed0_0800n)), -EINVAL, "a page elsewhere");
  t.is(restore(base(0xfee0_0c01n)), -EINVAL);
  const length = (at: number, value: number) => (v: DataView) => v.setUint32(at - 4, value, true);
  t.is(restore(length(regs.at, 1000)), -EINVAL);
  t.is(restore(length(hidden.at, 8)), -EINVAL);
  t.is(
    restore((v) => v.setUint16(hidden.at - 6, 5, true)),
    -EINVAL,
    "no such vCPU",
  );
  // All ones: what no guest could have written is dropped, and nothing breaks.
  t.is(
    restore((v) => {
      for (let at = 0; at < regs.length; at += 4) v.setUint32(regs.at + at, 0xffff_ffff, true);
      v.setBigUint64(hidden.at, 0xfee0_0800n, true);
    }),
    0,
  );
  dom0.unpause(copy);
  lab.machine.step(20);
  lab.audit(t);

  dom0.emulation = 0;
  const without = dom0.create(1);
  dom0.emulation = domctl.XEN_X86_EMU_LAPIC;
  dom0.maxVcpus(without, 1);
  t.is(
    restore(() => {}, without),
    -ENODEV,
  );
  t.is(sizeOf(without), size - hidden.length - regs.length - 2 * HvmSaveDescriptor.SIZE);
  t.is(dom0.info(without).view.getUint32(U + domctl.DomctlGetdomaininfo.arch_config_emulation_flags, true), 0);
  lab.destroy(id, copy, without);
  lab.audit(t);
});
