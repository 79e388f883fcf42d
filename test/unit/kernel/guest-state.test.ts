/** What a guest's own processor state can do to others, and where the hypervisor writes into a guest by its addresses. */
import test from "ava";
import { EINVAL } from "../../../abi/errno.ts";
import { XEN_DOMINF_shutdown, XEN_DOMINF_shutdownmask, XEN_DOMINF_shutdownshift } from "../../../abi/domctl.ts";
import { HVMOP_flush_tlbs } from "../../../abi/hvm.ts";
import { VCPU_HVM_MODE_32B, VcpuHvmContext, VcpuHvmX8632 } from "../../../abi/hvm-vcpu.ts";
import { SCHEDOP_block, SCHEDOP_shutdown, SCHEDOP_shutdown_code, SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import {
  RUNSTATE_running,
  VCPUOP_initialise,
  VCPUOP_register_runstate_memory_area,
  VCPUOP_up,
  VcpuRegisterRunstateMemoryArea,
  VcpuRunstateInfo,
} from "../../../abi/vcpu.ts";
import {
  __HYPERVISOR_hvm_op as HVM,
  __HYPERVISOR_sched_op as SCHED,
  __HYPERVISOR_vcpu_op as VCPU,
} from "../../../abi/xen.ts";
import { ARGUMENT_GFN, hypercall, load, type Steps, store } from "../../sim/call.ts";
import { GUEST_TABLES } from "../../sim/dom0.ts";
import { PAGE } from "../../sim/ram.ts";
import type { GuestCpu } from "../../sim/svm-cpu.ts";
import { await_, GUEST_FRAMES, Lab, put } from "./lab.ts";

const ARGUMENTS = ARGUMENT_GFN * PAGE;
const VMCB_ASID = 0x58;
const VMCB_CPL = 0x4cb;
const ASIDS = 64; // of the simulated processor
const DATA_GFN = 20;
const TURNS_MAX = 60_000;

let lab: Lab;
test.before(async () => {
  lab = await Lab.open({ commandLine: "unchecked-entry" });
});

/** Starts vCPU 1 in a state that no processor enters: CS of 64 bits and of 32 bits at once, in long mode. */
const startImpossible = function* (cpu: GuestCpu): Steps<number> {
  const bytes = new Uint8Array(VcpuHvmContext.SIZE);
  const view = new DataView(bytes.buffer);
  put(view, VcpuHvmContext, { mode: VCPU_HVM_MODE_32B });
  const data = { ds_ar: 0xc93, ss_ar: 0xc93, es_ar: 0xc93, ds_limit: 0xffffffff, ss_limit: 0xffffffff };
  const values = { cr0: 0x80000011, cr4: 0x20, cr3: GUEST_TABLES, efer: 0x500, eflags: 2, cs_limit: 0xffffffff };
  const rest = { ...data, es_limit: 0xffffffff, cs_ar: 0xe9b, tr_ar: 0x8b, tr_limit: 0x67 };
  put(view, VcpuHvmX8632, { ...values, ...rest }, VcpuHvmContext.cpu_regs);
  cpu.poke(ARGUMENTS, bytes);
  const result = yield* hypercall(cpu, VCPU, VCPUOP_initialise, 1, ARGUMENTS);
  yield* hypercall(cpu, VCPU, VCPUOP_up, 1);
  return result;
};

test.serial("a state that no processor enters is refused", async (t) => {
  const strict = await Lab.open();
  let done = false;
  strict.runWith(t, { vcpus: 2 }, function* (cpu) {
    t.is(yield* startImpossible(cpu), -EINVAL);
    done = true;
  });
  t.true(done);
  t.notRegex(strict.machine.output, /crashed|unchecked/);
});

test.serial("an entry that the processor refuses does not swallow the flush for a new round of address spaces", (t) => {
  const before = lab.free;
  const signals = new Set<string>();
  const hostile = lab.dom0.build(
    function* (cpu) {
      yield* await_(signals, "victim ran");
      // Leave a translation of this guest's under every identifier, up to the last.
      do {
        t.is(yield* hypercall(cpu, HVM, HVMOP_flush_tlbs, 0), 0);
        yield* load(DATA_GFN);
      } while (lab.machine.ram.read32(cpu.vmcb + VMCB_ASID) !== ASIDS - 1);
      yield* startImpossible(cpu);
      signals.add("refused");
      for (;;) yield { kind: "hypercall", op: SCHED, args: [SCHEDOP_block, 0] };
    },
    GUEST_FRAMES,
    2,
  );
  const victim = lab.dom0.build(function* (cpu) {
    yield* store(DATA_GFN, 0x5ecn);
    signals.add("victim ran");
    yield* await_(signals, "refused");
    for (let i = 0; i < 8; i++) {
      t.is(yield* load(DATA_GFN), 0x5ecn);
      t.is(yield* hypercall(cpu, HVM, HVMOP_flush_tlbs, 0), 0);
    }
    signals.add("done");
    for (;;) yield { kind: "hypercall", op: SCHED, args: [SCHEDOP_block, 0] };
  }, GUEST_FRAMES);
  for (const id of [hostile, victim]) t.is(lab.dom0.unpause(id), 0);
  lab.machine.runUntil(() => signals.has("done"), "the victim's reading", TURNS_MAX);
  const reason = "guest CS attributes = 0xe9b: L and D are both set in long mode";
  t.true(lab.machine.output.includes(`d${hostile}v1: VM entry failed: ${reason}.`), lab.machine.output.slice(-2000));
  t.true(lab.machine.output.includes(`d${hostile}v1 crashed: the processor refused to enter it`));
  lab.destroy(hostile, victim);
  lab.audit(t);
  t.is(lab.free, before);
});

test.serial("run state is written for a guest's kernel also while its user code runs", (t) => {
  lab.run(
    t,
    function* (cpu) {
      const area = DATA_GFN * PAGE;
      const bytes = new Uint8Array(VcpuRegisterRunstateMemoryArea.SIZE);
      put(new DataView(bytes.buffer), VcpuRegisterRunstateMemoryArea, { addr: area });
      cpu.poke(ARGUMENTS, bytes);
      t.is(yield* hypercall(cpu, VCPU, VCPUOP_register_runstate_memory_area, 0, ARGUMENTS), 0);
      const since = () => cpu.view(area, 16).getBigUint64(VcpuRunstateInfo.state_entry_time, true);
      const first = since();
      // The kernel's pages are not the user's from here on.
      cpu.poke(GUEST_TABLES + PAGE, Uint8Array.of(0x83));
      lab.machine.ram.view.setUint8(cpu.vmcb + VMCB_CPL, 3);
      yield { kind: "spin", ns: 50_000_000 };
      t.is(cpu.view(area, 4).getUint32(0, true), RUNSTATE_running);
      t.true(since() > first, "it was preempted and got the CPU again");
      lab.machine.ram.view.setUint8(cpu.vmcb + VMCB_CPL, 0);
    },
    function* () {
      for (let i = 0; i < 5; i++) yield { kind: "spin", ns: 10_000_000 };
    },
  );
});

test.serial("a shutdown code of 255 is latched as any other", (t) => {
  const id = lab.dom0.build(function* (cpu) {
    for (const [command, reason] of [
      [SCHEDOP_shutdown_code, 255],
      [SCHEDOP_shutdown, SHUTDOWN_poweroff],
    ] as const) {
      cpu.poke(ARGUMENTS, Uint8Array.of(reason, 0, 0, 0));
      yield* hypercall(cpu, SCHED, command, ARGUMENTS);
    }
  }, GUEST_FRAMES);
  lab.dom0.unpause(id);
  lab.machine.step(20);
  const { flags } = lab.dom0.info(id);
  t.is(flags & XEN_DOMINF_shutdown, XEN_DOMINF_shutdown);
  t.is((flags >>> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask, 255);
  lab.destroy(id);
});
