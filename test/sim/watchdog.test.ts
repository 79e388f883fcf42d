/** SCHEDOP_watchdog of domain 0 measures domain 0: the time for which others kept the CPU from it does not count. */
import test from "ava";
import { Domctl, DomctlGetdomaininfo } from "../../abi/domctl.ts";
import { SCHEDOP_watchdog, SchedWatchdog } from "../../abi/sched.ts";
import { DOM0_SHARED_INFO } from "../../abi/domain0-layout.ts";
import { __HYPERVISOR_sched_op, SharedInfo, VcpuInfo } from "../../abi/xen.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import type { GuestProgram } from "./svm-cpu.ts";

const SECOND = 1_000_000_000;
const SPINNERS = 20;
const EXPIRED = "The watchdog of d0 has expired.";

const spinner: GuestProgram = function* () {
  for (;;) yield { kind: "spin", ns: SECOND };
};

function cpuTime(dom0: Dom0): number {
  return Number(dom0.info(0).view.getBigUint64(Domctl.u + DomctlGetdomaininfo.cpu_time, true));
}

/** Arms domain 0's watchdog for one second. */
function arm(dom0: Dom0): void {
  dom0.structured(__HYPERVISOR_sched_op, SCHEDOP_watchdog, SchedWatchdog.SIZE, (view) => {
    view.setUint32(SchedWatchdog.timeout, 1, true);
  });
}

test("domain 0 is busy among many: its watchdog allows it a second of its own, however long that takes", async (t) => {
  const machine = new Machine(await hypervisorModule());
  const dom0 = new Dom0(machine);
  let used = 0;
  machine.dom0Turn = () => {
    if (machine.output.includes(EXPIRED)) return;
    machine.devices.advance(1_000_000);
    used = cpuTime(dom0);
    // Something is pending at the end of every turn: it never sleeps.
    dom0.write(DOM0_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.evtchn_upcall_pending, Uint8Array.of(1));
  };
  machine.step(4);
  for (let i = 0; i < SPINNERS; i++) dom0.unpause(dom0.build(spinner));
  arm(dom0);
  const [from, fromNs] = [cpuTime(dom0), machine.now];
  machine.runUntil(() => machine.output.includes(EXPIRED), "the watchdog's end", 200_000);
  const own = used - from;
  t.true(own > 0.95 * SECOND && own < 1.1 * SECOND, `it had ${own} ns of ${machine.now - fromNs}`);
});

test("domain 0 sleeps and nothing wakes it: its watchdog does, guests or not", async (t) => {
  const machine = new Machine(await hypervisorModule());
  const dom0 = new Dom0(machine);
  machine.step(4);
  for (let i = 0; i < SPINNERS; i++) dom0.unpause(dom0.build(spinner));
  arm(dom0);
  const from = machine.now;
  machine.runUntil(() => machine.output.includes(EXPIRED), "the watchdog's end", 200_000);
  const ns = machine.now - from;
  t.true(ns > 0.99 * SECOND && ns < 1.2 * SECOND, `after ${ns} ns`);
});
