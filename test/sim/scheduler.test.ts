/** The scheduler with guests that never yield: fair among them, prompt for one that sleeps. Virtual time, so exact. */
import test from "ava";
import { DomctlGetdomaininfo, Domctl } from "../../abi/domctl.ts";
import { EVTCHNOP_bind_virq, EVTCHNOP_unmask, EvtchnBindVirq, EvtchnUnmask } from "../../abi/event-channel.ts";
import { SCHEDOP_block } from "../../abi/sched.ts";
import { VCPUOP_set_singleshot_timer, VCPUOP_up, VcpuSetSingleshotTimer } from "../../abi/vcpu.ts";
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_vcpu_op,
  SharedInfo,
  VcpuInfo,
} from "../../abi/xen.ts";
import { XENMAPSPACE_shared_info } from "../../abi/memory.ts";
import { DOM0_SHARED_INFO } from "../../abi/domain0-layout.ts";
import { addToPhysmap, ARGUMENT_GFN, expect, hypercall, SHARED_INFO_GFN, structured, systemTime } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import { freeFrames } from "./simulate.ts";
import type { GuestCpu, GuestProgram } from "./svm-cpu.ts";

const SLICE_NS = 10_000_000;
const SLEEP_NS = 20_000_000;
/** What domain 0 waits for at most when its budget is used up, and what it may take to switch to it. */
const REST_NS = 2_500_000;
const PROMPT_NS = 500_000;

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

const DOMAINS = 8;
const VCPUS = 128;

/** Spins on every vCPU: the one that the builder left up starts the others. */
function spinnerOnAll(): GuestProgram {
  let first = true;
  return function* (cpu: GuestCpu) {
    if (first) {
      first = false;
      for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
        expect(yield* hypercall(cpu, __HYPERVISOR_vcpu_op, VCPUOP_up, vcpu, 0), 0, "VCPUOP_up");
      }
    }
    yield* spinner(cpu);
  };
}

/** Domain 0 with a timer of its own, whose turns work for `workNs` and then sleep for `sleepNs`. */
class TimedDom0 {
  /** How late each turn began after its timer, ns. */
  readonly late: number[] = [];
  private wake = 0n;

  constructor(
    private readonly dom0: Dom0,
    private readonly workNs: number,
    private readonly sleepNs: number,
  ) {
    const bound = dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, () => {});
    const port = bound.view.getUint32(EvtchnBindVirq.port, true);
    dom0.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, EvtchnUnmask.SIZE, (v) => {
      v.setUint32(EvtchnUnmask.port, port, true);
    });
    this.arm();
    dom0.machine.dom0Turn = () => {
      this.turn();
    };
  }

  private get shared(): DataView {
    const page = this.dom0.page(DOM0_SHARED_INFO, true);
    return new DataView(page.buffer, page.byteOffset, PAGE);
  }

  private get now(): bigint {
    return systemTime(BigInt(this.dom0.machine.now), this.shared);
  }

  private arm(): void {
    this.wake = this.now + BigInt(this.sleepNs);
    this.dom0.hypercall(__HYPERVISOR_set_timer_op, this.wake);
  }

  private turn(): void {
    const shared = this.shared;
    shared.setUint8(SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending, 0);
    shared.setBigUint64(SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel, 0n, true);
    if (shared.getBigUint64(SharedInfo.evtchn_pending, true) === 0n) return;
    shared.setBigUint64(SharedInfo.evtchn_pending, 0n, true);
    this.late.push(Number(this.now - this.wake));
    this.dom0.machine.devices.advance(this.workNs);
    this.arm();
  }
}

async function busyMachine(
  workNs: number,
  sleepNs: number,
): Promise<{ machine: Machine; dom0: Dom0; busy: TimedDom0; domains: number[] }> {
  const machine = new Machine(await hypervisorModule(), { memory: 64 });
  const dom0 = new Dom0(machine);
  const domains = Array.from({ length: DOMAINS }, () => dom0.buildWithVcpus(spinnerOnAll(), 48, VCPUS));
  for (const domain of domains) dom0.unpause(domain);
  const all = domains.map((domain) => () => dom0.onlineVcpus(domain) === VCPUS);
  for (const up of all) machine.runUntil(up, "all vCPUs spin", 20_000);
  return { machine, dom0, busy: new TimedDom0(dom0, workNs, sleepNs), domains };
}

test("1,024 vCPUs spin, and domain 0 gets the CPU at once whenever it wakes", async (t) => {
  const { machine, busy } = await busyMachine(200_000, 3_000_000);
  machine.runUntil(() => busy.late.length === 500, "500 turns of domain 0", 200_000);
  t.true(Math.max(...busy.late) < PROMPT_NS, `up to ${Math.max(...busy.late)} ns late`);
  t.is(machine.exports.audit(), 0);
});

test("domain 0 never sleeps: it waits some ms at most, and 1,024 spinning vCPUs share half the CPU evenly", async (t) => {
  const { machine, dom0, busy, domains } = await busyMachine(500_000, 0);
  const before = domains.map((domain) => cpuTime(dom0, domain));
  const begun = machine.now;
  machine.runUntil(() => machine.now > begun + 20_000_000_000, "twenty seconds", 400_000);
  t.true(busy.late.length > 10_000, `${busy.late.length} turns`);
  t.true(Math.max(...busy.late) < REST_NS + PROMPT_NS, `up to ${Math.max(...busy.late)} ns late`);
  const times = domains.map((domain, i) => cpuTime(dom0, domain) - before[i]!);
  const all = times.reduce((a, b) => a + b);
  t.true(all > 0.3 * 20e9 && all < 0.6 * 20e9, `the guests had ${all} ns of twenty seconds`);
  for (const time of times) t.true(Math.abs(time - all / DOMAINS) < (0.1 * all) / DOMAINS, times.join(", "));
});
