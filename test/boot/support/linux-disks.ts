/** Linux guests with volumes: what the tests of their disks have in common. */
import type { ExecutionContext } from "ava";
import { LinuxShell } from "../../../scripts/linux/shell.ts";
import type { Machine } from "../../../scripts/machine.ts";
import { COMMAND_MS } from "./boot.ts";
import { LINUX_MS } from "./linux.ts";

/** Of e2fsprogs, what makes and checks ext4. */
export const E2FSPROGS = { name: "e2fsprogs", files: /^(usr\/sbin\/(mke2fs|mkfs\.ext4|e2fsck)|etc\/mke2fs\.conf)$/ };
export const MIB = 1 << 20;

export type Listed = Record<string, unknown>;

export async function listed(machine: Machine, command: string): Promise<Listed[]> {
  return JSON.parse((await machine.command(`${command} --json`, COMMAND_MS)).trim()) as Listed[];
}

/** Runs a command that prints nothing. */
export async function quietly(t: ExecutionContext, machine: Machine, command: string): Promise<void> {
  t.is((await machine.command(command, COMMAND_MS)).trim(), "", command);
}

/** Starts a guest; its shell, which is to be entered. */
export async function start(machine: Machine, name: string, ramdisk: string, options: string): Promise<LinuxShell> {
  const all = `--kernel vmlinuz --ramdisk ${ramdisk} --cmdline console=hvc0 --name ${name} ${options}`;
  await machine.createDomain(all, LINUX_MS);
  return new LinuxShell(machine, name, LINUX_MS);
}

/** Runs a command in a guest that has to succeed; what it printed. */
export async function succeed(
  t: ExecutionContext,
  shell: LinuxShell,
  command: string,
  timeoutMs = LINUX_MS,
): Promise<string> {
  const printed = await shell.run(`{ ${command}; } 2>&1; echo "status $?"`, timeoutMs);
  t.regex(printed, /^status 0\b/m, `${command}\n${printed}`);
  return printed;
}
