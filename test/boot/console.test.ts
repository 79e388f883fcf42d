/** The serial console as a person uses it: editing, history, completion, a guest's console, reboot. */
import test from "ava";
import { PROMPT } from "../../scripts/machine.ts";
import { BOOT_MS, bootToPrompt, COMMAND_MS, GUEST_MS, powerOff, startMachine } from "./support/boot.ts";

const LEFT = "\x1b[D";
const UP = "\x1b[A";
const HOME = "\x01";
const CTRL_C = "\x03";
const PROMPT_LINE = "\ntypevisor> ";

test.serial("lines are edited, recalled and completed", async (t) => {
  const machine = await bootToPrompt(t);
  t.regex(await machine.command(`js 2+40${LEFT}${LEFT}\x7f*`, COMMAND_MS), /^80\n?$/, "2*40: '+' rubbed out");
  t.regex(await machine.command(UP, COMMAND_MS), /^80/, "the line before, once more");
  t.regex(await machine.command(`1+1${HOME}js `, COMMAND_MS), /^2\n?$/);
  // A tab within pasted text is a blank; typed by itself it completes.
  machine.send("unpa");
  await machine.waitFor("unpa", COMMAND_MS);
  machine.send("\t");
  await machine.waitFor("unpause ", COMMAND_MS, "the completed command");
  t.regex(await machine.command("7", COMMAND_MS), /unpause: no domain "7"/);
  t.regex(await machine.command(`this is not wanted${CTRL_C}`, COMMAND_MS), /^\s*$/);
  t.regex(await machine.command("\r\r", COMMAND_MS), /^\s*$/);
  await powerOff(t, machine);
});

test.serial("every command of the issue's list explains itself", async (t) => {
  const machine = await bootToPrompt(t);
  const help = await machine.command("help", COMMAND_MS);
  const commands = ["help", "info", "check", "create", "list", "console", "pause", "unpause", "destroy", "xenctx"];
  for (const name of [...commands, "debug-keys", "dmesg", "js", "poweroff", "reboot"]) {
    t.regex(help, new RegExp(`^ *${name}\\b`, "m"), name);
    t.regex(await machine.command(`help ${name}`, COMMAND_MS), new RegExp(`\\b${name}\\b`));
  }
  t.regex(await machine.command("info", COMMAND_MS), /^virtualisation +AMD-V/m);
  t.regex(await machine.command("dmesg", COMMAND_MS), /Typevisor \d/);
  await powerOff(t, machine);
});

test.serial("a guest's console is entered and left; Ctrl-C stops waiting; a paused guest waits", async (t) => {
  const machine = await bootToPrompt(t);
  const options = "--kernel timer --cmdline 'count=100000 limit=1000000'";
  const id = await machine.createDomain(options, COMMAND_MS);
  machine.send(`console ${id}\r`);
  await machine.waitFor(/timer 5: \d+ us late/, GUEST_MS);
  machine.send("\x1d");
  await machine.waitFor(PROMPT_LINE, COMMAND_MS, "the prompt after Ctrl-]");
  await machine.command(`pause ${id}`, COMMAND_MS);
  t.regex(await machine.command("list", COMMAND_MS), new RegExp(`^timer +${id} .* [-r][-b]p--- `, "m"));
  await machine.command(`unpause ${id}`, COMMAND_MS);

  machine.send(`create ${options} --wait\r`);
  await machine.waitFor(/timer 3: \d+ us late/, GUEST_MS);
  machine.send(CTRL_C);
  await machine.waitFor(/no longer waiting for domain \d+ \(timer.*\): it runs on/, COMMAND_MS);
  await machine.waitFor(PROMPT_LINE, COMMAND_MS);
  t.is(((await machine.command("list", COMMAND_MS)).match(/^timer/gm) ?? []).length, 2);
  await powerOff(t, machine);
});

test.serial("reboot restarts the machine", async (t) => {
  const machine = await bootToPrompt(t, { allowReset: true });
  machine.send("reboot\r");
  await machine.waitFor(/Typevisor \d[^]*\ntypevisor> /, BOOT_MS, "the prompt after the reboot");
  t.pass();
  await powerOff(t, machine);
});

test.serial(
  "a byte typed before the start is there; pasted input arrives whole, and long lines are refused in words",
  async (t) => {
    const machine = await startMachine(t);
    // It lies in the port's receiver before the shim runs.
    machine.send("j");
    await machine.waitFor(`\n${PROMPT}`, BOOT_MS, "the first prompt");
    machine.send("s 6*7\r");
    await machine.waitFor(/\n42\r\ntypevisor> $/, COMMAND_MS, "the value of what was typed first");
    const numbers = Array.from({ length: 200 }, (_, i) => i);
    machine.send(numbers.map((i) => `js '<${i}>' + '${"-".repeat(80)}'\r`).join(""));
    const { before } = await machine.waitFor(/"<199>-+"\r\n/, GUEST_MS, "the last line's value");
    const values = [...before.matchAll(/^"<(\d+)>-{80}"\r$/gm)].map((match) => Number(match[1]));
    t.deepEqual(values, numbers.slice(0, -1));
    await machine.waitFor(PROMPT, COMMAND_MS);
    machine.send(`js '${"y".repeat(8180)}'.length\r`);
    await machine.waitFor(/^8180\r$/m, COMMAND_MS, "8 kB in one line");
    machine.send(`js '${"y".repeat(20_000)}'.length\r`);
    await machine.waitFor(/a line of 20012 characters was not run: 8192 are the most\r\ntypevisor> $/, COMMAND_MS);
    await powerOff(t, machine);
  },
);
