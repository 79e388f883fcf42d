/** Output of guests and domain 0 to the log and a slow serial line: no other domain waits for it. */
import test from "ava";
import { EPERM } from "../../abi/errno.ts";
import { Sysctl, SysctlReadconsole, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_readconsole } from "../../abi/sysctl.ts";
import { __HYPERVISOR_console_io, __HYPERVISOR_sysctl, CONSOLEIO_write } from "../../abi/xen.ts";
import { DOM0_SCRATCH } from "../../abi/domain0-layout.ts";
import { ARGUMENT_GFN, hypercall } from "./call.ts";
import { Dom0 } from "./dom0.ts";
import { Machine } from "./machine.ts";
import { hypervisorModule } from "./module.ts";
import { PAGE } from "./ram.ts";
import type { GuestProgram } from "./svm-cpu.ts";

/** 115,200 baud: 16 bytes in 1.4 ms. */
const UART_SLOW_NS = 1_400_000;
const LOG_BYTES = 0x20000;

/** The whole log. */
function readLog(dom0: Dom0): string {
  const buffer = DOM0_SCRATCH + 4 * PAGE;
  const { result, view } = dom0.structured(__HYPERVISOR_sysctl, null, Sysctl.SIZE, (v) => {
    v.setUint32(Sysctl.cmd, XEN_SYSCTL_readconsole, true);
    v.setUint32(Sysctl.interface_version, XEN_SYSCTL_INTERFACE_VERSION, true);
    v.setUint32(Sysctl.u + SysctlReadconsole.count, LOG_BYTES, true);
    v.setBigUint64(Sysctl.u + SysctlReadconsole.buffer, BigInt(buffer), true);
  });
  if (result !== 0) throw new Error(`readconsole returned ${result}`);
  return Buffer.from(dom0.read(buffer, view.getUint32(Sysctl.u + SysctlReadconsole.count, true))).toString("latin1");
}

/** Writes a page of `line` again and again; `results` are what the hypercalls return, `took` how long each was, ns. */
function flood(line: string, times: number, results: number[], took: number[]): GuestProgram {
  return function* (cpu) {
    cpu.interruptsOn = false;
    const text = Buffer.from(line.repeat(Math.floor(PAGE / line.length)));
    cpu.poke(ARGUMENT_GFN * PAGE, text);
    for (let i = 0; i < times; i++) {
      const begun = cpu.machine.now;
      results.push(yield* hypercall(cpu, __HYPERVISOR_console_io, CONSOLEIO_write, text.length, ARGUMENT_GFN * PAGE));
      took.push(cpu.machine.now - begun);
    }
    for (;;) yield { kind: "halt" };
  };
}

test("a guest that floods the log: what the hypervisor said stays, and nobody waits for the serial line", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 32 });
  const dom0 = new Dom0(machine);
  machine.devices.uartSlowNs = UART_SLOW_NS;
  const results: number[] = [];
  const took: number[] = [];
  const domain = dom0.build(flood(`${"x".repeat(100)}\n`, 200, results, took), 48);
  dom0.unpause(domain);
  machine.runUntil(() => results.length === 200, "200 hypercalls");
  t.true(results.every((result) => result === 0));
  t.true(Math.max(...took) < 5_000_000, `a hypercall took ${Math.max(...took)} ns`);
  const log = readLog(dom0);
  t.regex(log, /^\(TV\) Typevisor /);
  const kept = log.match(/^\(d\d+\) x{100}$/gm) ?? [];
  t.true(kept.length >= 60 && kept.length < 150, `${kept.length} lines of 8,000 kept`);
  t.is(dom0.destroy(domain), 0);
  t.regex(readLog(dom0), new RegExp(`^\\(d${domain}\\) \\d+ lines of this domain were dropped`, "m"));
  t.is(machine.exports.audit(), 0);
});

test("many domains flood the log: their lines push out each other's, not the hypervisor's", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 32 });
  const dom0 = new Dom0(machine);
  const results: number[] = [];
  for (let i = 0; i < 20; i++) dom0.unpause(dom0.build(flood(`${"y".repeat(150)}\n`, 5, results, []), 48));
  machine.runUntil(() => results.length === 100, "100 hypercalls");
  const log = readLog(dom0);
  t.regex(log, /^\(TV\) Typevisor /);
  const bytes = (log.match(/^\(d\d+\) .*\n/gm) ?? []).join("").length;
  t.true(bytes > 8_000 && bytes <= 16_384, `${bytes} bytes of guests' lines`);
});

test("domain 0 writes more than the serial line takes: it sleeps meanwhile, guests run, and every byte comes", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 32 });
  const dom0 = new Dom0(machine);
  let spins = 0;
  dom0.unpause(
    dom0.build(function* () {
      for (;;) {
        spins++;
        yield { kind: "spin", ns: 1_000_000 };
      }
    }, 48),
  );
  machine.devices.uartSlowNs = UART_SLOW_NS;
  const before = machine.output.length;
  const text = Array.from({ length: 4000 }, (_, i) => `line ${i}\n`).join("");
  dom0.write(DOM0_SCRATCH + 4 * PAGE, Buffer.from(text));
  dom0.prepare(__HYPERVISOR_console_io, CONSOLEIO_write, text.length, DOM0_SCRATCH + 4 * PAGE);
  let turns = 0;
  let done = false;
  machine.dom0Turn = () => {
    done = turns++ > 0;
    return !done;
  };
  const begun = machine.now;
  const spun = spins;
  machine.runUntil(() => machine.now > begun + 1_000_000_000, "a second");
  t.false(done, "the serial line cannot have taken it yet");
  t.true(spins - spun > 800, `the guest spun ${spins - spun} ms of a second`);
  machine.devices.uartSlowNs = 0;
  machine.runUntil(() => done && machine.output.length >= before + text.length + 4000, "the rest");
  t.is(machine.output.slice(before).replaceAll("\r", ""), text);
  t.is(dom0.result(), 0);
});

test("guest-log=off: guests' output is refused", async (t) => {
  const machine = new Machine(await hypervisorModule(), { memory: 32, commandLine: "guest-log=off" });
  const dom0 = new Dom0(machine);
  const results: number[] = [];
  dom0.unpause(dom0.build(flood("hello\n", 1, results, []), 48));
  machine.runUntil(() => results.length === 1, "the hypercall");
  t.deepEqual(results, [-EPERM]);
  t.notRegex(readLog(dom0), /hello/);
});
