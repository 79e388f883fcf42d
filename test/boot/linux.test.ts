/** Debian's own Linux kernel, unmodified, as a PVH guest: to its shell, what it finds there, and how it ends. */
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, COMMAND_MS, evaluate, powerOff, settle } from "./support/boot.ts";
import { expectFrames, framesWarm } from "./support/frames.ts";
import { expectCalm, LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const MEMORY_MIB = 640;
const ROUNDS = 10;

const { modules, test, why } = packageTests(() => linuxModules());

for (const { kind, vcpus } of [
  { kind: "qemu-svm", vcpus: 1 },
  { kind: "qemu-svm", vcpus: 4 },
  { kind: "bochs-vmx", vcpus: 1 },
] as const) {
  const title = `Debian's Linux with ${vcpus} vCPU${vcpus === 1 ? "" : "s"} on ${kind}: its shell, and what it finds`;
  test(`${title}${why}`, async (t) => {
    t.timeout(LINUX_MS * 6);
    const machine = await bootToPrompt(t, { kind, memoryMib: MEMORY_MIB, modules });
    const { shell } = await startLinux(machine, "linux", `--memory 256 --vcpus ${vcpus}`);
    await shell.enter();
    const log = await shell.run("dmesg");
    t.regex(log, /Hypervisor detected: Xen HVM/);
    t.regex(log, /Booting kernel on Xen PVH|PVH entry|Xen PVH/i);
    t.regex(log, /xen:events: Using FIFO-based ABI/);
    expectCalm(t, log);
    t.notRegex(log, /mce: Unable to init MCE device/);
    t.is((await shell.run("nproc")).trim(), String(vcpus));
    const clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    t.is((await shell.run(`cat ${clock}`)).trim(), "xen");
    // The processors of the MADT that the DSDT describes too.
    t.is((await shell.run("ls -d /sys/bus/acpi/devices/ACPI0007:*/physical_node | wc -l")).trim(), String(vcpus));
    t.notRegex(log, /ACPI (Error|Warning|BIOS)/);
    await shell.leave();
    await powerOff(t, machine);
  });
}

test(`Linux reboots, crashes and powers off: each ends as its policy says${why}`, async (t) => {
  t.timeout(LINUX_MS * 6);
  const machine = await bootToPrompt(t, { memoryMib: MEMORY_MIB, modules });
  const { shell } = await startLinux(machine, "linux", "--memory 256 --vcpus 2 --on-crash restart");
  await shell.enter();

  const lives = async (command: string, reason: string, next: number) => {
    machine.send(`${command}\r`);
    await machine.waitFor(`domain ${next - 1} (linux) has ended: ${reason}`, LINUX_MS, `the end after: ${command}`);
    await machine.waitFor(`linux was restarted: it is domain ${next} now`, LINUX_MS, `the next life after: ${command}`);
    await settle(machine);
    await shell.enter();
  };
  await lives("reboot", "reboot", 2);
  await lives("reboot -f", "reboot", 3);
  await lives("echo c > /proc/sysrq-trigger", "crash", 4);

  machine.send("poweroff\r");
  await machine.waitFor("domain 4 (linux) has ended: poweroff", LINUX_MS, "the end after: poweroff");
  await settle(machine);
  t.deepEqual(await evaluate(machine, "domains.all().map((d) => d.name)"), []);

  // From the other side: asked by name, and a crash that is kept to be looked at.
  const asked = (await startLinux(machine, "asked", "--memory 256 --vcpus 1 --max-vcpus 2 --on-crash preserve")).shell;
  await asked.enter();
  // It starts with both of its vCPUs, and finds in the store that it is to use one.
  await asked.run("until [ $(nproc) = 1 ]; do sleep 0.1; done");
  t.is((await asked.run("cat /sys/devices/system/cpu/possible")).trim(), "0-1");
  await asked.leave();
  // What it is asked to have it has after a while, as itself and as the hypervisor see it.
  const has = async (vcpus: number, mib: number) => {
    await machine.command(`vcpu-set asked ${vcpus}; mem-set asked ${mib}`, COMMAND_MS);
    await asked.enter();
    await asked.run(`until [ $(nproc) = ${vcpus} ]; do sleep 0.1; done`);
    await asked.leave();
    const listed = new RegExp(`^asked +5 +${mib} +${vcpus} `, "m");
    while (!listed.test(await machine.command("list", COMMAND_MS))) await machine.command("js sleep(100)", COMMAND_MS);
  };
  await has(1, 192);
  await has(2, 256);
  t.regex(await machine.command("reboot asked", LINUX_MS), /waiting for domain 5 \(asked\) to reboot/);
  await machine.command("js (async () => { while (!domains.find(6)) await sleep(20); })()", LINUX_MS);
  await settle(machine);
  await asked.enter();
  // Debian's kernel keeps the keys that dump and crash from everybody but root, who may open them.
  await asked.run("echo 1 > /proc/sys/kernel/sysrq");
  await asked.leave();
  await machine.command("sysrq asked c", COMMAND_MS);
  await machine.command("js (async () => { while (!domains.find(6).ended) await sleep(20); })()", LINUX_MS);
  await settle(machine);
  t.is(await evaluate(machine, "domains.find(6).ended"), "crash");
  // A crashing Linux takes its other vCPU down.
  t.regex(await machine.command("list", COMMAND_MS), /^asked +6 +256 +1 +---sc- /m);
  t.regex(await machine.command("xenctx asked", COMMAND_MS), /RIP|rip/);
  t.is(await machine.command("destroy asked", COMMAND_MS), "");
  await powerOff(t, machine);
});

test(`Linux suspends to RAM and goes on where it was when it is woken, again and again${why}`, async (t) => {
  t.timeout(LINUX_MS * 6);
  const machine = await bootToPrompt(t, { memoryMib: MEMORY_MIB, modules });
  const { shell } = await startLinux(machine, "linux", "--memory 256 --vcpus 2");
  await shell.enter();
  t.is((await shell.run("cat /sys/power/mem_sleep")).trim(), "s2idle [deep]");
  await shell.run("here=kept");
  for (let round = 1; round <= 2; round++) {
    machine.send("echo mem > /sys/power/state\r");
    await machine.waitFor("domain 1 (linux) sleeps (ACPI S3)", LINUX_MS, "the guest's sleep");
    await shell.leave();
    t.regex(await machine.command("list", COMMAND_MS), /^linux +1 +256 +\d+ +---ss- /m);
    t.is(await machine.command("trigger linux s3resume", COMMAND_MS), "");
    await shell.enter();
    t.is((await shell.run("echo $here $(nproc)")).trim(), "kept 2");
    const log = await shell.run("dmesg");
    t.is(log.match(/Waking up from system sleep state S3/g)?.length, round);
    t.is(log.match(/PM: suspend exit/g)?.length, round);
    expectCalm(t, log);
    t.notRegex(log, /ACPI (Error|Warning|BIOS)/);
  }
  // Its clock and its timers go on.
  await shell.run("sleep 1");
  await shell.leave();
  await machine.command("shutdown linux", LINUX_MS);
  await powerOff(t, machine);
});

test(`ten lives of Linux leave no frame, event channel, grant or store node behind${why}`, async (t) => {
  t.timeout(LINUX_MS * 12);
  const machine = await bootToPrompt(t, { memoryMib: MEMORY_MIB, modules });
  /** All nodes of the store, and what the hypervisor says of every domain's event channels and grants. */
  const held = async () => {
    const list = "store.list(p.slice(0, -1) || '/') ?? []";
    const walk = `(function walk(p) { return [p, ...(${list}).flatMap((c) => walk(p + c + '/'))]; })('/')`;
    const nodes = await evaluate<string[]>(machine, walk);
    const dump = await machine.command("js sysctl.debugKeys('eg'); dmesg", COMMAND_MS);
    // An event may be on its way at this very moment.
    const lines = dump.split("\n").map((line) => line.replace(", pending", ""));
    return { nodes, ports: lines.slice(lines.findLastIndex((line) => /event channels\.$/.test(line))) };
  };
  const round = async () => {
    const { shell } = await startLinux(machine, "round", "--memory 256 --vcpus 2");
    await shell.enter();
    await shell.leave();
    await machine.command("shutdown round", LINUX_MS);
    await machine.command("js (async () => { while (domains.all().length) await sleep(20); })()", LINUX_MS);
    await settle(machine);
  };
  await round(); // page tables and heap pages for domain 0's own window stay from the first on
  const before = await framesWarm(machine);
  const first = await held();
  t.regex(first.ports.join("\n"), /port 1 VIRQ/);
  for (let i = 0; i < ROUNDS; i++) await round();
  t.deepEqual(await held(), first);
  await expectFrames(t, machine, before, `after ${ROUNDS} rounds`);
  await powerOff(t, machine);
});
