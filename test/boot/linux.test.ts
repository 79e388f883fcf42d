/** Debian's own Linux kernel, unmodified, as a PVH guest: to its shell, and what it finds there. */
import test from "ava";
import type { Machine } from "../../scripts/machine.ts";
import type { BootModule } from "../../scripts/modules.ts";
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, COMMAND_MS, GUEST_MS, powerOff } from "./support/boot.ts";

const SHELL = "linux:/root# ";
const LINUX_MS = GUEST_MS * 2;

function findLinux(): { modules: BootModule[] } | { missing: string } {
  try {
    return { modules: linuxModules() };
  } catch (error) {
    return { missing: (error as Error).message.split("\n").at(-1)! };
  }
}

const linux = findLinux();
const modules = "modules" in linux ? linux.modules : [];
const withLinux = "modules" in linux ? test.serial : test.skip;
const why = "modules" in linux ? "" : ` (${linux.missing})`;

/** A command in the guest's shell; what it printed. */
async function shell(machine: Machine, command: string): Promise<string> {
  machine.send(`${command}\r`);
  const { before } = await machine.waitFor(`\n${SHELL}`, LINUX_MS, `the shell after: ${command}`);
  return before.replaceAll("\r", "").split("\n").slice(1).join("\n");
}

for (const { kind, vcpus } of [
  { kind: "qemu-svm", vcpus: 1 },
  { kind: "qemu-svm", vcpus: 4 },
  { kind: "bochs-vmx", vcpus: 1 },
] as const) {
  withLinux(
    `Debian's Linux with ${vcpus} vCPU${vcpus === 1 ? "" : "s"} on ${kind}: its shell, and what it finds${why}`,
    async (t) => {
      t.timeout(LINUX_MS * 6);
      const machine = await bootToPrompt(t, { kind, memoryMib: 640, modules });
      const options = `--cmdline console=hvc0 --vcpus ${vcpus} --memory 256 --name linux`;
      machine.send(`create --kernel vmlinuz --ramdisk initrd ${options}; console linux\r`);
      await machine.waitFor(SHELL, LINUX_MS, "the shell");
      const log = await shell(machine, "dmesg");
      t.regex(log, /Hypervisor detected: Xen HVM/);
      t.regex(log, /Booting kernel on Xen PVH|PVH entry|Xen PVH/i);
      t.regex(log, /xen:events: Using FIFO-based ABI/);
      t.notRegex(log, /Call Trace|BUG:|Oops|WARNING:/);
      t.is((await shell(machine, "nproc")).trim(), String(vcpus));
      const clock = "cat /sys/devices/system/clocksource/clocksource0/current_clocksource";
      t.regex(await shell(machine, clock), /^xen$/m); // the echo of a long line goes over two
      machine.send("\x1d");
      await machine.waitFor("typevisor> ", COMMAND_MS, "the prompt after Ctrl-]");
      await powerOff(t, machine);
    },
  );
}
