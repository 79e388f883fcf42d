/** The scheduler under guests that never let go: fair among them, prompt for one that sleeps. Virtual time, so exact. */
import test from "ava";
import { DomctlGetdomaininfo, Domctl } from "../../abi/domctl.ts";
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../abi/event-channel.ts";
import { SCHEDOP_block } from "../../abi/sched.ts";
import { VCPUOP_set_singleshot_timer, VcpuSetSingleshotTimer } from "../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_vcpu_op,
  SharedInfo,
  VcpuInfo,
} from "../../abi/xen.ts";
import { XENMAPSPACE_shared_info } from "../../abi/memory.ts";
import { addToPhysmap, ARGUMENT_GFN, hypercall, SHARED_INFO_GFN, structured } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import { freeFrames } from "./simulate.ts";
import type { GuestCpu, GuestProgram } from "./svm-cpu.ts";

const SLICE_NS = 10_000_000;
const SLEEP_NS = 20_000_000;

const spinner: GuestProgram = function* () {
  for (;;) yield { kind: "spin", ns: 1_000_000_000 };
};

/** Sleeps again and again; notes how late each wake-up came, ns. */
function sleeper(late: number[]): GuestProgram {
  return function* (cpu: GuestCpu) {
    yield* structured(cpu, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, () => {});
    yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN);
    for (;;) {
      const wake = cpu.machine.now + SLEEP_NS;
      const timer = new DataView(new ArrayBuffer(VcpuSetSingleshotTimer.SIZE));
      timer.setBigUint64(VcpuSetSingleshotTimer.timeout_abs_ns, BigInt(wake), true);
      cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(timer.buffer));
      yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARGUMENT_GFN * PAGE);
      yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_block, 0);
      late.push(cpu.machine.now - wake);
      const shared = cpu.view(SHARED_INFO_GFN * PAGE, PAGE);
      shared.setUint8(VcpuInfo.evtchn_upcall_pending, 0);
      shared.setBigUint64(VcpuInfo.evtchn_pending_sel, 0n, true);
      shared.setBigUint64(SharedInfo.evtchn_pending, 0n, true);
    }
  };
}

function cpuTime(dom0: Dom0, domain: number): number {
  return Number(dom0.info(domain).view.getBigUint64(Domctl.u + DomctlGetdomaininfo.cpu_time, true));
}

test("three guests spin: each gets its share, and a fourth answers its timer within a few slices", async (t) => {
  const machine = new Machine(await hypervisorModule());
  const dom0 = new Dom0(machine);
  const probe = dom0.build(spinner);
  dom0.destroy(probe);
  machine.step(2);
  const before = freeFrames(dom0);

  const spinners = [dom0.build(spinner), dom0.build(spinner), dom0.build(spinner)];
  const late: number[] = [];
  const quick = dom0.build(sleeper(late));
  for (const domain of [...spinners, quick]) dom0.unpause(domain);
  const end = machine.now + 3_000_000_000;
  machine.runUntil(() => machine.now > end, "three seconds of virtual time", 200_000);

  const times = spinners.map((domain) => cpuTime(dom0, domain));
  const share = times.reduce((a, b) => a + b) / 3;
  for (const time of times) t.true(Math.abs(time - share) < 0.1 * share, `CPU times ${times.join(", ")}`);
  t.true(share > 0.25 * 3e9, `three spinners had ${times.join(", ")} ns of 3 s`);
  t.true(late.length > 60, `the sleeper woke ${late.length} times`);
  t.true(Math.max(...late) < 3 * SLICE_NS, `the sleeper was up to ${Math.max(...late)} ns late`);

  for (const domain of [...spinners, quick]) t.is(dom0.destroy(domain), 0);
  machine.step(4);
  t.is(freeFrames(dom0), before);
  t.is(machine.exports.audit(), 0);
});
