/** VCPUOP_set_periodic_timer: ticks come while the vCPU runs, and one that does not run costs nothing. */
import test from "ava";
import { EVTCHNOP_bind_virq, EvtchnBindVirq } from "../../abi/event-channel.ts";
import { XENMAPSPACE_shared_info } from "../../abi/memory.ts";
import { SCHEDOP_block } from "../../abi/sched.ts";
import { VCPUOP_set_periodic_timer, VCPUOP_up, VcpuSetPeriodicTimer } from "../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_vcpu_op,
  SharedInfo,
} from "../../abi/xen.ts";
import { addToPhysmap, ARGUMENT_GFN, expect, hypercall, SHARED_INFO_GFN, structured, type Steps } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import type { GuestCpu, GuestProgram } from "./svm-cpu.ts";

const PERIOD_NS = 1_000_000;
const VCPUS = 64;

function* setPeriod(cpu: GuestCpu, vcpu: number): Steps<void> {
  const timer = new DataView(new ArrayBuffer(VcpuSetPeriodicTimer.SIZE));
  timer.setBigUint64(VcpuSetPeriodicTimer.period_ns, BigInt(PERIOD_NS), true);
  cpu.poke(ARGUMENT_GFN * PAGE, new Uint8Array(timer.buffer));
  const result = yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, vcpu, ARGUMENT_GFN * PAGE);
  expect(result, 0, "VCPUOP_set_periodic_timer");
}

test("a domain whose vCPUs sleep with periodic timers costs the others nothing", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 32 });
  const dom0 = new Dom0(machine);
  let asleep = 0;
  let first = true;
  const sleepers: GuestProgram = function* (cpu) {
    cpu.interruptsOn = false;
    if (first) {
      first = false;
      for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
        expect(yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_up, vcpu, 0), 0, "VCPUOP_up");
        yield* setPeriod(cpu, vcpu);
      }
    }
    asleep++;
    for (;;) yield* hypercall(cpu, __HYPERVISOR_sched_op, SCHEDOP_block, 0);
  };
  dom0.unpause(dom0.buildWithVcpus(sleepers, 48, VCPUS));
  machine.runUntil(() => asleep === VCPUS, "all vCPUs asleep", 10_000);
  dom0.unpause(
    dom0.build(function* () {
      for (;;) yield { kind: "spin", ns: 1_000_000_000 };
    }, 48),
  );
  machine.step(100);
  const end = machine.now + 1_000_000_000;
  let turns = 0;
  for (; machine.now < end; turns++) machine.step();
  t.true(turns < 50, `${turns} turns of the hypervisor's loop in a second of somebody else's`);
  t.is(machine.exports.audit(), 0);
});

test("ticks come while it runs; none while its domain is paused, and then one at once", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 32 });
  const dom0 = new Dom0(machine);
  const ticks: number[] = [];
  const domain = dom0.build(function* (cpu) {
    yield* addToPhysmap(cpu, XENMAPSPACE_shared_info, SHARED_INFO_GFN);
    const bound = yield* structured(
      cpu,
      __HYPERVISOR_event_channel_op,
      EVTCHNOP_bind_virq,
      EvtchnBindVirq.SIZE,
      () => {},
    );
    expect(bound.result, 0, "EVTCHNOP_bind_virq");
    yield* setPeriod(cpu, 0);
    for (;;) {
      const shared = cpu.view(SHARED_INFO_GFN * PAGE, PAGE);
      if (shared.getBigUint64(SharedInfo.evtchn_pending, true) !== 0n) ticks.push(cpu.machine.now);
      shared.setBigUint64(SharedInfo.evtchn_pending, 0n, true);
      yield { kind: "spin", ns: 10_000 };
    }
  }, 48);
  const rival = dom0.build(function* () {
    for (;;) yield { kind: "spin", ns: 1_000_000_000 };
  }, 48);
  dom0.unpause(domain);
  machine.runUntil(() => ticks.length === 20, "20 ticks");
  const mean = (ticks.at(-1)! - ticks[0]!) / 19;
  t.true(Math.abs(mean - PERIOD_NS) < 0.05 * PERIOD_NS, `a tick each ${mean} ns`);

  dom0.pause(domain);
  dom0.unpause(rival);
  machine.step(20);
  const paused = machine.now;
  let turns = 0;
  for (; machine.now < paused + 1_000_000_000; turns++) machine.step();
  t.is(ticks.length, 20);
  t.true(turns < 50, `${turns} turns of the hypervisor's loop in a second of somebody else's`);

  dom0.pause(rival);
  const resumed = machine.now;
  dom0.unpause(domain);
  machine.runUntil(() => ticks.length === 23, "three more ticks");
  t.true(ticks[20]! - resumed < PERIOD_NS / 2, `the first ${ticks[20]! - resumed} ns after the pause`);
  t.true(ticks[22]! - ticks[20]! > 1.9 * PERIOD_NS, "no burst of those that were missed");
});
