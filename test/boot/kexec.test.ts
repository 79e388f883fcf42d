/** Debian's Linux starts another Debian's Linux by kexec-tools: in the same domain, with its memory and its console. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { makeCpio } from "../../scripts/linux/cpio.ts";
import { debianInitramfs, linuxModules } from "../../scripts/linux/guest.ts";
import { fromRoot } from "../../scripts/paths.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";
import { expectCalm, LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

/** The tools' initramfs, and behind it an archive with what they are to start: Linux unpacks both. */
const { modules, test, why } = packageTests(() => {
  const [kernel, tools] = linuxModules(["kexec-tools"]);
  const next = makeCpio([
    { kind: "file", path: "root/vmlinuz", mode: 0o644, data: readFileSync(kernel!.file) },
    { kind: "file", path: "root/initrd", mode: 0o644, data: readFileSync(debianInitramfs()) },
  ]);
  const file = path.join(fromRoot("build/linux"), "initrd+kexec.cpio");
  writeFileSync(file, Buffer.concat([readFileSync(tools!.file), next]));
  return [kernel!, { ...tools!, file }];
});

test(`kexec: the new kernel runs in the old one's domain, with as many processors${why}`, async (t) => {
  t.timeout(LINUX_MS * 4);
  const machine = await bootToPrompt(t, { memoryMib: 1024, modules });
  const { shell, id } = await startLinux(machine, "linux", "--memory 512 --vcpus 2");
  await shell.enter();
  const memory = await shell.run("awk '/MemTotal/ { print $2 }' /proc/meminfo");
  // A kernel that was not started by the PVH entry looks for the ACPI tables where a PC has them; kexec-tools knows of none.
  const rsdp = /ACPI: RSDP (0x[0-9A-F]+)/.exec(await shell.run("dmesg"))![1];
  const load = `kexec -l /root/vmlinuz --initrd=/root/initrd --append='console=hvc0 acpi_rsdp=${rsdp} second'`;
  t.is((await shell.run(`${load}; echo status $?`)).trim(), "status 0");
  machine.send("kexec -e\r");
  await machine.waitFor(`domain ${id} (linux) has started another kernel`, LINUX_MS, "the soft reset");
  machine.send("\x1d");
  await machine.waitFor("\ntypevisor> ", COMMAND_MS, "the prompt after Ctrl-]");
  await shell.enter();
  t.regex(await shell.run("cat /proc/cmdline"), /second/);
  t.is((await shell.run("nproc")).trim(), "2");
  const now = await shell.run("awk '/MemTotal/ { print $2 }' /proc/meminfo");
  t.true(Math.abs(Number(now) - Number(memory)) < 4096, `${memory} KiB before, ${now} KiB now`);
  const log = await shell.run("dmesg");
  t.regex(log, /Hypervisor detected: Xen HVM/);
  expectCalm(t, log);
  await shell.leave();
  t.regex(await machine.command("list", COMMAND_MS), new RegExp(`^linux +${id} +512 +2 `, "m"));
  await machine.command("shutdown linux", LINUX_MS);
  await powerOff(t, machine);
});
