/** Debian's Linux as a guest of the boot tests: its modules, its shell, and what it must never say. */
import test, { type ExecutionContext } from "ava";
import { linuxModules } from "../../../scripts/linux/guest.ts";
import type { Machine } from "../../../scripts/machine.ts";
import type { BootModule } from "../../../scripts/modules.ts";
import { COMMAND_MS, GUEST_MS } from "./boot.ts";

/** The prompt of the guest's shell. */
export const SHELL = "linux:/root# ";
/** From `create` to the shell, or a command in it, four vCPUs or Bochs included. */
export const LINUX_MS = GUEST_MS * 2;
/** Ctrl-]: leaves a guest's console. */
export const LEAVE = "\x1d";

function findLinux(): { modules: BootModule[] } | { missing: string } {
  try {
    return { modules: linuxModules() };
  } catch (error) {
    return { missing: (error as Error).message.split("\n").at(-1)! };
  }
}

const linux = findLinux();

/** Kernel and initramfs; none where they cannot be fetched. */
export const modules = "modules" in linux ? linux.modules : [];
/** The test where Linux can be fetched, else a skip; its title is to end with `why`. */
export const withLinux = "modules" in linux ? test.serial : test.skip;
/** Why the tests are skipped, for their titles. */
export const why = "modules" in linux ? "" : ` (${linux.missing})`;

/** The command that makes a guest called `name`, with other options for `create` behind it. */
export function createLinux(name: string, options = ""): string {
  return `create --kernel vmlinuz --ramdisk initrd --cmdline console=hvc0 --memory 256 --name ${name} ${options}`;
}

/** Waits for the shell's first prompt, with the guest's console shown. */
export async function untilShell(machine: Machine): Promise<void> {
  await machine.waitFor(SHELL, LINUX_MS, "the shell");
}

/** A command in the guest's shell; what it printed. */
export async function shell(machine: Machine, command: string): Promise<string> {
  machine.send(`${command}\r`);
  const { before } = await machine.waitFor(`\n${SHELL}`, LINUX_MS, `the shell after: ${command}`);
  return before.replaceAll("\r", "").split("\n").slice(1).join("\n");
}

/** Goes from the guest's shell back to Typevisor's prompt. */
export async function leaveConsole(machine: Machine): Promise<void> {
  machine.send(LEAVE);
  await machine.waitFor("typevisor> ", COMMAND_MS, "the prompt after Ctrl-]");
}

/** The guest's kernel log tells of no defect. */
export function expectCalm(t: ExecutionContext, log: string): void {
  t.notRegex(log, /Call Trace|BUG:|Oops|WARNING:|soft lockup|clocksource.*unstable/);
}
