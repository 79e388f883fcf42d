/**
 * Machines for the boot tests: started up to the prompt, and stopped when the test is over, however
 * it ends. Every wait is for text and has a limit; the limits are for a busy computer and do not test speed.
 */
import type { ExecutionContext } from "ava";
import type { MachineOptions } from "../../../scripts/emulators.ts";
import { Machine, PROMPT } from "../../../scripts/machine.ts";
import { withOwnGuests, type BootModule } from "../../../scripts/modules.ts";

/** The machines every promise is tested on: one for each vendor's virtualisation. */
export const MACHINES = ["qemu-svm", "bochs-vmx"] as const;

/** From the emulator's start to Typevisor's prompt; firmware and, in Bochs, a GRUB ISO included. */
export const BOOT_MS = 120_000;
/** A command that does not wait for a guest. */
export const COMMAND_MS = 90_000;
/** A guest that runs its course: the self-test, an attack, some seconds of timers. */
export const GUEST_MS = 240_000;
/** The watchdog's ten seconds, and what an emulator on a busy computer makes of them. */
export const WATCHDOG_MS = 120_000;

/** What a test may choose of its machine; the rest is as `npm start` has it. */
export interface BootOptions extends Partial<Omit<MachineOptions, "modules">> {
  /** Boot modules beside our own guests. */
  modules?: BootModule[];
}

/** Starts a machine that the end of the test stops. */
export async function startMachine(t: ExecutionContext, options: BootOptions = {}): Promise<Machine> {
  const machine = await Machine.start({
    kind: "qemu-svm",
    cpus: 1,
    memoryMib: 512,
    commandLine: "",
    ...options,
    modules: withOwnGuests(options.modules ?? []),
  });
  t.teardown(() => machine.stop());
  return machine;
}

/** Starts a machine and waits for its prompt. */
export async function bootToPrompt(t: ExecutionContext, options: BootOptions = {}): Promise<Machine> {
  const machine = await startMachine(t, options);
  await machine.waitFor(`\n${PROMPT}`, BOOT_MS, "the first prompt");
  return machine;
}

/** The value of a JavaScript expression in the live control plane; it must survive JSON. */
export async function evaluate<T>(machine: Machine, expression: string): Promise<T> {
  const printed = await machine.command(`js JSON.stringify(${expression})`, COMMAND_MS);
  const line = printed.split("\n").findLast((text) => text.startsWith('"'));
  if (line === undefined) throw new Error(`${expression} did not give a value but: ${printed}`);
  return JSON.parse(JSON.parse(line) as string) as T;
}

/** Output of a guest's console, whose latest lines are shown on attaching; back at the prompt afterwards. */
export async function consoleSays(
  machine: Machine,
  domain: string,
  wanted: RegExp,
  timeoutMs: number,
): Promise<RegExpExecArray> {
  machine.send(`console ${domain}\r`);
  const { match } = await machine.waitFor(wanted, timeoutMs, `what ${domain} says: ${wanted}`);
  machine.send("\x1d");
  await machine.waitFor(PROMPT, COMMAND_MS, "the prompt after Ctrl-]");
  await settle(machine);
  return match;
}

/** Sends domain 0 into an endless loop, behind other commands, and waits for its successor's prompt. */
export async function hangDomain0(machine: Machine, before = ""): Promise<void> {
  machine.send(`${before}js while (true) {}\r`);
  await machine.waitFor(/domain 0 .*watchdog/i, WATCHDOG_MS, "the watchdog's report");
  await machine.waitFor(PROMPT, COMMAND_MS, "the new domain 0's prompt");
  await settle(machine);
}

let settled = 0;

/** Waits for a prompt behind everything said so far: a notice, which may come at any moment, draws one of its own. */
export async function settle(machine: Machine): Promise<void> {
  const marker = `settled ${++settled}`;
  machine.send(`js "${marker}"\r`);
  await machine.waitFor(`\n"${marker}"`, COMMAND_MS, "what was typed after the notices");
  await machine.waitFor(`\n${PROMPT}`, COMMAND_MS, "the prompt after the notices");
}

/** Switches the machine off by command and waits for its end. */
export async function powerOff(t: ExecutionContext, machine: Machine): Promise<void> {
  machine.send("poweroff\r");
  await machine.waitForEnd(COMMAND_MS);
  t.true(machine.endedWell(), `poweroff: ${machine.describeEnd()}${machine.tail()}`);
}
