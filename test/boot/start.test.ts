/** `npm start` itself, as a process: its options, its exit status, what it leaves behind, the ISO it writes. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { PROMPT } from "../../scripts/machine.ts";
import { BOOT_MS, COMMAND_MS, GUEST_MS, MACHINES, powerOff, startMachine } from "./support/boot.ts";
import { descendants, isRunning, Start } from "./support/start.ts";

const GREETING = /Hello from a Xen PVH guest, domain 1!/;
const AT_PROMPT = /typevisor> $/;

for (const kind of MACHINES) {
  test.serial(`--exec on ${kind}: the guest's greeting, the list, exit status 0`, async (t) => {
    const start = Start.run(t, ["--machine", kind, "--exec", "create --kernel hello --wait; list"]);
    t.is(await start.end(GUEST_MS), 0, start.text);
    t.regex(start.text, GREETING);
    t.regex(start.text, /TYPEVISOR-GUEST: PASS hello\n/);
    t.regex(start.text, /\nName +ID +Mem VCPUs +State +Time\(s\)\nDomain-0 /);
  });
}

test.serial("--exec: a failing command does not stop the next ones, and the exit status tells", async (t) => {
  const start = Start.run(t, ["--exec", "js 6*7; destroy 5; frobnicate; js 'after ' + 'wards'"]);
  t.is(await start.end(GUEST_MS), 1);
  t.regex(start.text, /\n42\ndestroy: no domain "5".*\nfrobnicate: unknown command.*\n"after wards"\n/);
  t.regex(start.text, /2 of 4 commands failed/);
});

test.serial("--exec: a guest that crashes is a command that failed", async (t) => {
  const start = Start.run(t, ["--exec", "create --kernel hostile --cmdline 'rounds=5 end=triple' --wait"]);
  t.is(await start.end(GUEST_MS), 1);
  t.regex(start.text, /create: domain 1 \(hostile\) has ended: crash/);
});

test.serial("--timeout gives up, says what was awaited, and leaves no process", async (t) => {
  const start = Start.run(t, ["--timeout", "6", "--exec", "create --kernel spin --wait"]);
  await start.waitFor(/Typevisor \d/, BOOT_MS);
  const processes = descendants(start.child.pid!);
  t.is(await start.end(GUEST_MS), 1);
  t.regex(start.text, /gave up after 6 s while waiting for the end of the commands/);
  t.deepEqual(processes.filter(isRunning), []);
});

test.serial("options that make no sense are refused in words", async (t) => {
  for (const [args, says] of [
    [["--machine", "vax"], /'vax' is invalid.*Allowed choices are auto, qemu-svm, bochs-vmx, qemu-kvm/],
    [["--memory", "lots"], /expected a positive whole number/],
    [["--module", "k=/nowhere/at/all"], /no file/],
    [["--frob"], /unknown option '--frob'/],
  ] as const) {
    const start = Start.run(t, [...args]);
    t.is(await start.end(COMMAND_MS), 1, args.join(" "));
    t.regex(start.text, says);
  }
  const help = Start.run(t, ["--help"]);
  t.is(await help.end(COMMAND_MS), 0);
  for (const option of ["--machine", "--cpus", "--memory", "--guest", "--module", "--exec", "--timeout", "--iso"]) {
    t.true(help.text.includes(option), option);
  }
});

test.serial("without options: the demo guest, the prompt; poweroff ends it with status 0", async (t) => {
  const start = Start.run(t, [], true);
  // The guest's command is shown behind a prompt too, which may come alone for a moment.
  await start.waitFor(GREETING, BOOT_MS);
  await start.waitFor(AT_PROMPT, BOOT_MS);
  const processes = descendants(start.child.pid!);
  t.true(processes.length > 1, "the emulator runs");
  start.type("poweroff\r");
  t.is(await start.end(COMMAND_MS), 0, start.text);
  t.deepEqual(processes.filter(isRunning), []);
});

test.serial(
  "at the terminal Ctrl-C interrupts a command, and Ctrl-\\ twice ends the machine and every process",
  async (t) => {
    const start = Start.run(t, [], true);
    await start.waitFor(AT_PROMPT, BOOT_MS);
    t.regex(start.text, /Ctrl-C interrupts a command, Ctrl-\\ twice ends the machine/);
    const processes = descendants(start.child.pid!);
    start.type("js print('waiting\\n'), new Promise(() => {})\r");
    await start.waitFor(/^waiting$/m, COMMAND_MS);
    start.type("\x03");
    await start.waitFor(/\^C\njs: no longer waiting for the promise\n[^]*typevisor> $/, COMMAND_MS);
    start.type("js 6*7\r");
    await start.waitFor(/^42\ntypevisor> $/m, COMMAND_MS);
    start.type("\x1c\x1c");
    t.is(await start.end(COMMAND_MS), 130);
    t.deepEqual(processes.filter(isRunning), []);
  },
);

test.serial("piped input: every byte is typed, and its end ends the session with status 0", async (t) => {
  const start = Start.run(t, []);
  start.type(`js 6*7\ncreate --kernel spin\n${"js 'pasted'.length\n".repeat(100)}js 'la' + 'st'\n`);
  start.child.stdin!.end();
  t.is(await start.end(BOOT_MS + GUEST_MS), 0, start.text);
  t.regex(start.text, /^typevisor> .*js 6\*7\n42\ntypevisor> /m);
  t.is(start.text.match(/^6$/gm)?.length, 100);
  t.regex(
    start.text,
    /^"last"\n[^]*domain 2 \(web\), domain 3 \(daytime\), domain 4 \(spin\): `exit` again ends what is there[^]*Powering off/m,
  );
});

test.serial("SIGTERM and SIGINT end the machine and every process", async (t) => {
  for (const [signal, status] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    const start = Start.run(t, ["--exec", "create --kernel spin; js new Promise(() => {})"]);
    await start.waitFor(/^1$/m, BOOT_MS);
    const processes = descendants(start.child.pid!);
    t.true(processes.length > 0, "the emulator runs");
    start.child.kill(signal);
    t.is(await start.end(COMMAND_MS), status, signal);
    t.deepEqual(processes.filter(isRunning), []);
  }
});

test.serial("--iso writes an ISO that boots to the prompt under BIOS and under UEFI", async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-iso-test-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const iso = path.join(folder, "typevisor.iso");
  const start = Start.run(t, ["--iso", iso]);
  t.is(await start.end(GUEST_MS), 0, start.text);
  t.true(existsSync(iso));
  for (const boot of ["iso-bios", "iso-uefi"] as const) {
    const machine = await startMachine(t, { iso, boot });
    await machine.waitFor(new RegExp(`PASS hello[^]*\\n${PROMPT}$`), BOOT_MS, `the prompt after ${boot}`);
    await powerOff(t, machine);
  }
});
