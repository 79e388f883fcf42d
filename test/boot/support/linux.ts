/** Debian's Linux in the boot tests: how it is started, and its shell. */
import type { ExecutionContext } from "ava";
import { LinuxShell } from "../../../scripts/linux/shell.ts";
import type { Machine } from "../../../scripts/machine.ts";
import { GUEST_MS } from "./boot.ts";

/** From `create` to the shell, or a command in it, four vCPUs or Bochs included. */
export const LINUX_MS = GUEST_MS * 2;

/** Starts a guest, with other options for `create`; its shell, which is to be entered, and its number. */
export async function startLinux(
  machine: Machine,
  name: string,
  options = "--memory 256",
): Promise<{ shell: LinuxShell; id: string }> {
  const all = `--kernel vmlinuz --ramdisk initrd --cmdline console=hvc0 --name ${name} ${options}`;
  const id = await machine.createDomain(all, LINUX_MS);
  return { shell: new LinuxShell(machine, name, LINUX_MS), id };
}

/** A guest's kernel log that tells of no defect. */
export function expectCalm(t: ExecutionContext, log: string): void {
  t.notRegex(log, /Call Trace|BUG:|Oops|WARNING:|soft lockup|clocksource.*unstable/);
}
