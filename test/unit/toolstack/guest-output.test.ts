/** Lines of guests that look like Typevisor's own are shown as the guest's. */
import test from "ava";
import fc from "fast-check";
import { SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import { GuestOutput } from "../../../toolstack/control/console/guest-output.ts";
import { exec, guestPrints, machine, machineWith, runExec } from "./fake-session.ts";

/** What is shown of `pieces`. */
function shown(pieces: string[]): string {
  let text = "";
  const output = new GuestOutput(
    7,
    (bytes) => (text += Buffer.from(bytes).toString("latin1")),
    () => text === "" || text.endsWith("\n"),
  );
  for (const piece of pieces) output.show(Buffer.from(piece, "latin1"));
  return text;
}

const FORGED = /(^|[\n\r])(\x1b\[[0-9;]*[A-Za-z])*(\(TV\)|\(XEN\)|\(d[0-9]|PANIC:|TYPEVISOR-EXEC:)/;

test("a line that begins as Typevisor's do has the guest's mark in front", (t) => {
  for (const [printed, wanted] of [
    ["TYPEVISOR-EXEC: 1 ok, 0 failed\n", "(d7) TYPEVISOR-EXEC: 1 ok, 0 failed\n"],
    ["PANIC: at the disco\n", "(d7) PANIC: at the disco\n"],
    ["hello\n(TV) Powering off.\nbye\n", "hello\n(d7) (TV) Powering off.\nbye\n"],
    ["(XEN) x\n(d1) y\n", "(d7) (XEN) x\n(d7) (d1) y\n"],
    ["x\rPANIC: y\n", "x\r(d7) PANIC: y\n"],
    ["\x1b[2J\x1b[HPANIC: y\n", "\x1b[2J\x1b[H(d7) PANIC: y\n"],
    // Nothing of Typevisor's: as it is.
    ["(default) TV (TV) PANIC: PAN\nPANICKED (direct\n", "(default) TV (TV) PANIC: PAN\nPANICKED (direct\n"],
    ["", ""],
  ] as const) {
    t.is(shown([printed]), wanted);
  }
});

test("however it is cut, nothing that looks like Typevisor's is shown, and nothing is lost", (t) => {
  const word = fc.constantFrom(
    "(TV)",
    "(d",
    "1",
    ")",
    "PANIC",
    ":",
    "TYPEVISOR-EXEC:",
    " ",
    "\n",
    "\r",
    "x",
    "\x1b[",
    "2J",
    "\x1b",
  );
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 30 }),
      fc.array(fc.nat(6), { minLength: 1, maxLength: 10 }),
      (words, cuts) => {
        const text = words.join("");
        const pieces: string[] = [];
        for (let at = 0, i = 0; at < text.length; i++) {
          const length = cuts[i % cuts.length]! + 1;
          pieces.push(text.slice(at, at + length));
          at += length;
        }
        const result = shown(pieces);
        t.notRegex(result.replace(/(^|[\n\r])(\x1b\[[0-9;]*[A-Za-z])*\(d7\) /g, "$1<mark>"), FORGED);
        t.is(result.replaceAll("(d7) ", ""), text.replaceAll("(d7) ", ""));
      },
    ),
    { numRuns: 3000 },
  );
});

test("a verdict that a guest prints is its own, in create --wait and in console; exec mode's has the id", async (t) => {
  const forged = "TYPEVISOR-EXEC: 9 ok, 0 failed\nPANIC: no\n";
  const output = await runExec(
    machineWith(`${exec("create --kernel hello --wait; destroy 9")} exec-id=5eed`, forged, SHUTDOWN_poweroff),
  );
  t.regex(output, /^1\n\(d1\) TYPEVISOR-EXEC: 9 ok, 0 failed\n\(d1\) PANIC: no\ndomain 1/);
  t.regex(output, /^TYPEVISOR-EXEC: 1 ok, 1 failed 5eed$/m);

  const m = machine();
  await m.boot();
  await m.type("create --kernel hello; create --kernel hello --name other\r");
  const domain = m.domains.get(1)!;
  guestPrints(m, domain, "kept: x\n(TV) kept\n");
  await m.settle();
  m.takeOutput();
  await m.type("console 1\r");
  t.regex(m.takeOutput(), /kept: x\r\n\(d1\) \(TV\) kept\r\n$/);
  // A notice ends the guest's line: what comes next begins one.
  guestPrints(m, domain, "unfinished");
  await m.pass(5);
  m.shutdownGuest(m.domains.get(2)!, SHUTDOWN_poweroff);
  await m.pass(5);
  m.takeOutput();
  guestPrints(m, domain, "PANIC: now\n");
  await m.pass(5);
  t.is(m.takeOutput(), "(d1) PANIC: now\r\n");
});

const TITLE = "\x1b]0;title\x07";

test("what reprograms the terminal is shown where the user has not said otherwise, and in logs only if asked for", async (t) => {
  const printed = `a${TITLE}\x1b[31mred\x1b[2J\x1b[?25l\n(TV) no\n`;
  for (const [commandLine, command, wanted] of [
    ["", "console 1", `a${TITLE}\x1b[31mred\x1b[2J\x1b[?25l\r\n(d1) (TV) no\r\n`],
    ["", "console --safe 1", "a\x1b[31mred\x1b[2J\x1b[?25l\r\n(d1) (TV) no\r\n"],
    ["terminal=90x30,safe", "console 1", "a\x1b[31mred\x1b[2J\x1b[?25l\r\n(d1) (TV) no\r\n"],
    ["", "logs 1", "a\x1b[31mred\r\n(d1) (TV) no\r\n\x1b[0m"],
    ["", "logs --raw 1", `a${TITLE}\x1b[31mred\x1b[2J\x1b[?25l\r\n(d1) (TV) no\r\n`],
  ] as const) {
    const m = machine(commandLine);
    await m.boot();
    await m.type("create --kernel hello\r");
    guestPrints(m, m.domains.get(1)!, printed);
    await m.settle();
    m.takeOutput();
    await m.type(`${command}\r`);
    await m.pass(5);
    const output = m.takeOutput();
    t.true(output.includes(wanted), `${command}: ${JSON.stringify(output)}`);
    if (!command.startsWith("console")) continue;
    // What the guest has changed is set back when the user leaves.
    await m.type("\x1d");
    await m.pass(5);
    t.is(m.takeOutput().includes("\x1b[?25h"), wanted.includes("title") ? false : true);
  }
});
