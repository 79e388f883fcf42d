/** The scheduler with guests that never yield: fair among them, prompt for one that sleeps. Virtual time, so exact. */
import test from "ava";
import {
  Domctl,
  DomctlGetdomaininfo,
  DomctlSchedulerOp,
  XEN_DOMCTL_SCHEDOP_putinfo,
  XEN_DOMCTL_scheduler_op,
  XEN_SCHEDULER_CREDIT2,
} from "../../abi/domctl.ts";
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
import { IO_DOMAIN, IO_SHARED_INFO } from "../../abi/io/layout.ts";
import { addToPhysmap, ARGUMENT_GFN, expect, hypercall, SHARED_INFO_GFN, structured, systemTime } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { IoDomain } from "./io-domain.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import { freeFrames } from "./simulate.ts";
import type { SoftwareCaller } from "./software-caller.ts";
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

test("guests spin: each vCPU gets time in proportion to its domain's weight, from the moment it is set", async (t) => {
  const machine = new Machine(await hypervisorModule());
  const dom0 = new Dom0(machine);
  const weigh = (domain: number, weight: number) =>
    dom0.domctl(XEN_DOMCTL_scheduler_op, domain, (v, u) => {
      v.setUint32(u + DomctlSchedulerOp.sched_id, XEN_SCHEDULER_CREDIT2, true);
      v.setUint32(u + DomctlSchedulerOp.cmd, XEN_DOMCTL_SCHEDOP_putinfo, true);
      v.setUint16(u + DomctlSchedulerOp.u, weight, true);
    }).result;
  const weights = [128, 256, 768];
  const spinners = weights.map(() => dom0.build(spinner));
  weights.forEach((weight, i) => t.is(weigh(spinners[i]!, weight), 0));
  for (const domain of spinners) dom0.unpause(domain);
  const second = (what: string) => {
    const before = spinners.map((domain) => cpuTime(dom0, domain));
    const end = machine.now + 2_000_000_000;
    machine.runUntil(() => machine.now > end, what, 200_000);
    return spinners.map((domain, i) => cpuTime(dom0, domain) - before[i]!);
  };
  const shares = (times: number[], wanted: number[]) => {
    const [all, whole] = [times, wanted].map((numbers) => numbers.reduce((a, b) => a + b)) as [number, number];
    for (const [i, time] of times.entries()) {
      const due = (all * wanted[i]!) / whole;
      t.true(Math.abs(time - due) < 0.05 * all, `CPU times ${times.join(", ")} by weights ${wanted.join(", ")}`);
    }
    t.true(all > 0.9 * 2e9, "nothing is left unused");
  };
  shares(second("two seconds"), weights);
  t.is(weigh(spinners[2]!, 128), 0);
  shares(second("two seconds more"), [128, 256, 128]);
  for (const domain of spinners) t.is(dom0.destroy(domain), 0);
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

/** A software-isolated domain with a timer of its own, whose turns work for `workNs` and then sleep for `sleepNs`. */
class TimedDomain {
  /** How late each turn began after its timer, ns. */
  readonly late: number[] = [];
  private wake = 0n;

  constructor(
    private readonly domain: SoftwareCaller,
    private readonly sharedInfo: number,
    private readonly workNs: number,
    private readonly sleepNs: number,
  ) {
    const bound = domain.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, EvtchnBindVirq.SIZE, () => {});
    const port = bound.view.getUint32(EvtchnBindVirq.port, true);
    domain.structured(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, EvtchnUnmask.SIZE, (v) => {
      v.setUint32(EvtchnUnmask.port, port, true);
    });
    this.arm();
  }

  private get shared(): DataView {
    const page = this.domain.page(this.sharedInfo, true);
    return new DataView(page.buffer, page.byteOffset, PAGE);
  }

  private get now(): bigint {
    return systemTime(BigInt(this.domain.machine.now), this.shared);
  }

  private arm(): void {
    this.wake = this.now + BigInt(this.sleepNs);
    this.domain.hypercall(__HYPERVISOR_set_timer_op, this.wake);
  }

  turn(): void {
    const shared = this.shared;
    shared.setUint8(SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending, 0);
    shared.setBigUint64(SharedInfo.vcpu_info + VcpuInfo.evtchn_pending_sel, 0n, true);
    if (shared.getBigUint64(SharedInfo.evtchn_pending, true) === 0n) return;
    shared.setBigUint64(SharedInfo.evtchn_pending, 0n, true);
    this.late.push(Number(this.now - this.wake));
    this.domain.machine.devices.advance(this.workNs);
    this.arm();
  }
}

function timedDom0(dom0: Dom0, workNs: number, sleepNs: number): TimedDomain {
  const timed = new TimedDomain(dom0, DOM0_SHARED_INFO, workNs, sleepNs);
  dom0.machine.dom0Turn = () => timed.turn();
  return timed;
}

function timedIo(machine: Machine, workNs: number, sleepNs: number): TimedDomain {
  const timed = new TimedDomain(new IoDomain(machine), IO_SHARED_INFO, workNs, sleepNs);
  machine.ioTurn = () => timed.turn();
  return timed;
}

async function busyMachine(
  workNs: number,
  sleepNs: number,
): Promise<{ machine: Machine; dom0: Dom0; busy: TimedDomain; domains: number[] }> {
  const machine = new Machine(await hypervisorModule(), { memory: 64, ioImage: Uint8Array.of(1) });
  const dom0 = new Dom0(machine);
  const domains = Array.from({ length: DOMAINS }, () => dom0.buildWithVcpus(spinnerOnAll(), 48, VCPUS));
  for (const domain of domains) dom0.unpause(domain);
  const all = domains.map((domain) => () => dom0.onlineVcpus(domain) === VCPUS);
  for (const up of all) machine.runUntil(up, "all vCPUs spin", 20_000);
  return { machine, dom0, busy: timedDom0(dom0, workNs, sleepNs), domains };
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

test("1,024 vCPUs spin, domain 0 never sleeps, and the I/O domain gets the CPU at once whenever it wakes", async (t) => {
  const { machine } = await busyMachine(500_000, 0);
  const io = timedIo(machine, 100_000, 1_000_000);
  machine.runUntil(() => io.late.length === 1000, "1,000 turns of the I/O domain", 200_000);
  // Domain 0's simulated turn cannot be preempted in the middle.
  t.true(Math.max(...io.late) < 500_000 + PROMPT_NS, `up to ${Math.max(...io.late)} ns late`);
  t.is(machine.exports.audit(), 0);
});

test("domain 0 and the I/O domain never sleep: each has its share, and the guests have theirs, evenly", async (t) => {
  const { machine, dom0, busy, domains } = await busyMachine(500_000, 0);
  const io = timedIo(machine, 500_000, 0);
  const all = [0, IO_DOMAIN, ...domains];
  const before = all.map((domain) => cpuTime(dom0, domain));
  const begun = machine.now;
  machine.runUntil(() => machine.now > begun + 20_000_000_000, "twenty seconds", 800_000);
  const [own, devices, ...guests] = all.map((domain, i) => (cpuTime(dom0, domain) - before[i]!) / 20e9);
  t.true(own! > 0.35 && own! < 0.55, `domain 0 had ${own}`);
  t.true(devices! > 0.25 && devices! < 0.4, `the I/O domain had ${devices}`);
  const rest = guests.reduce((a, b) => a + b);
  t.true(rest > 0.13, `the guests had ${rest}`);
  for (const share of guests) t.true(Math.abs(share - rest / DOMAINS) < (0.1 * rest) / DOMAINS, guests.join(", "));
  t.true(Math.max(...busy.late) < 6_000_000, `domain 0 was up to ${Math.max(...busy.late)} ns late`);
  t.true(Math.max(...io.late) < 2_500_000, `the I/O domain was up to ${Math.max(...io.late)} ns late`);
});

test("no guest wants the CPU: domain 0 and the I/O domain, neither of which sleeps, share it", async (t) => {
  const machine = new Machine(await hypervisorModule(), { ioImage: Uint8Array.of(1) });
  const dom0 = new Dom0(machine);
  machine.step(4);
  timedDom0(dom0, 500_000, 0);
  timedIo(machine, 500_000, 0);
  const begun = machine.now;
  const before = [cpuTime(dom0, 0), cpuTime(dom0, IO_DOMAIN)];
  machine.runUntil(() => machine.now > begun + 5_000_000_000, "five seconds", 400_000);
  const [own, devices] = [0, IO_DOMAIN].map((domain, i) => (cpuTime(dom0, domain) - before[i]!) / 5e9);
  t.true(own! > 0.4 && devices! > 0.3, `${own} and ${devices}`);
  t.true(own! + devices! > 0.95, `${own} and ${devices}`);
});
