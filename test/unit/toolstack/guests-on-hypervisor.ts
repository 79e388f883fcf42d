/** Simulated guests under both programs that boot: what the tests of the two together have in common. */
import { SCHEDOP_shutdown } from "../../../abi/sched.ts";
import { CONSOLEIO_write, __HYPERVISOR_console_io, __HYPERVISOR_sched_op } from "../../../abi/xen.ts";
import { hypercall, structured } from "../../sim/call.ts";
import { Machine, MachineOff } from "../../sim/machine.ts";
import { hypervisorModule } from "../../sim/module.ts";
import { guestCode, type GuestCpu, type GuestProgram } from "../../sim/svm-cpu.ts";
import { makeElf } from "./make-elf.ts";
import { ControlPlane } from "./on-hypervisor.ts";

const module = hypervisorModule();

/** Page tables where the simulated processor has CR3: the first 2 MiB, identity. */
export function mapFirst2Mib(cpu: GuestCpu): void {
  for (const [at, entry] of [
    [0x1000, 0x2003],
    [0x2000, 0x3003],
    [0x3000, 0x83],
  ] as const) {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(entry);
    cpu.poke(at, bytes);
  }
}

/** A guest that prints through CONSOLEIO_write and shuts down with `code`. */
export function prints(text: string, code: number): GuestProgram {
  return function* (cpu) {
    // The simulated processor starts its guests one request late.
    yield { kind: "spin", ns: 1000 };
    mapFirst2Mib(cpu);
    cpu.poke(0x9000, Buffer.from(text));
    yield* hypercall(cpu, __HYPERVISOR_console_io, CONSOLEIO_write, text.length, 0x9000);
    yield* structured(cpu, __HYPERVISOR_sched_op, SCHEDOP_shutdown, 4, (view) => view.setUint32(0, code, true));
  };
}

export function* forever(): ReturnType<GuestProgram> {
  for (;;) yield { kind: "spin", ns: 1_000_000 };
}

export async function boot(
  commandLine: string,
  programs: Record<string, GuestProgram>,
  year?: number,
): Promise<Machine> {
  const modules = Object.keys(programs).map((name, number) => ({
    name,
    data: makeElf({ segments: [{ address: 0x100000, data: guestCode(number) }] }).bytes,
  }));
  const machine = new Machine(await module, { memory: 32, modules, commandLine, year });
  machine.svm.programs.push(...Object.values(programs));
  await ControlPlane.on(machine);
  return machine;
}

/** Runs to the machine's end; returns its output. */
export function runToEnd(machine: Machine): string {
  try {
    machine.runUntil(() => false, "the machine's end", 20_000);
  } catch (error) {
    if (!(error instanceof MachineOff)) throw error;
  }
  return machine.output.replaceAll("\r\n", "\n");
}

export const exec = (commands: string) => `exec=${encodeURIComponent(commands)}`;

/** Types a line at the prompt of a machine and returns what is shown up to the next prompt. */
export function typed(machine: Machine, line: string): string {
  const from = machine.output.length;
  machine.devices.type(`${line}\r`);
  const atPrompt = () => /\n(\r\x1b\[K)?typevisor> $/.test(machine.output.slice(from + line.length));
  machine.runUntil(atPrompt, `the prompt after: ${line}`);
  return machine.output.slice(from);
}
