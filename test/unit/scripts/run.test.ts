/** What `npm start` makes of its options before a machine runs, and of the machine's output after. */
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { PassThrough, Writable } from "node:stream";
import test from "ava";
import fc from "fast-check";
import { ExecOutput, execution } from "../../../scripts/exec.ts";
import { type Machine, plainText, PROMPT } from "../../../scripts/machine.ts";
import { packModules, parseModule } from "../../../scripts/modules.ts";
import { END_KEY, EndKeys, sendInput, showOutput, terminalWord } from "../../../scripts/terminal.ts";
import { Transcript } from "../../../scripts/transcript.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-test-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

test("exec= survives every loader: only harmless characters, and decoding gives the commands back", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (commands) => {
      const [word, id] = execution(commands).words.split(" ") as [string, string];
      return (
        /^exec=[A-Za-z0-9._%-]*$/.test(word) && decodeURIComponent(word.slice(5)) === commands && /^exec-id=/.test(id)
      );
    }),
  );
  t.throws(() => execution("x".repeat(4000)), { message: /too many/ });
  t.pass();
});

test("--exec shows every line but the protocol's own, however the output is cut", (t) => {
  const printed = "one\r\nTYPEVISOR-EXEC: 2 ok, 0 failed 1a\r\nTYPEVISOR-EXEC: 2 ok, 0 failed 1b\r\ntwo\r\nlast";
  for (let cut = 0; cut <= printed.length; cut++) {
    let shown = "";
    const output = new ExecOutput((text) => (shown += text), "1a");
    output.push(printed.slice(0, cut));
    output.push(printed.slice(cut));
    output.finish();
    t.is(shown, "one\nTYPEVISOR-EXEC: 2 ok, 0 failed 1b\ntwo\nlast\n", "a guest's line is shown");
  }
});

test("modules in a container are page-aligned and keep name, size and bytes", (t) => {
  const files = [Buffer.alloc(4097, 1), Buffer.alloc(0), Buffer.from("three")];
  const modules = files.map((data, index) => {
    const file = path.join(folder, `m${index}`);
    writeFileSync(file, data);
    return { name: `name${index}`, file };
  });
  const packed = packModules(modules);
  t.is(packed.toString("latin1", 0, 8), "TVMODS1\0");
  t.is(packed.readUInt32LE(8), 3);
  files.forEach((data, index) => {
    const record = 16 + index * 128;
    const offset = Number(packed.readBigUInt64LE(record));
    t.is(offset % 4096, 0);
    t.is(Number(packed.readBigUInt64LE(record + 8)), data.length);
    t.is(packed.toString("latin1", record + 16, record + 22), `name${index}\0`);
    t.deepEqual(packed.subarray(offset, offset + data.length), data);
  });
});

test("--module says what is wrong with it", (t) => {
  const file = path.join(folder, "exists");
  writeFileSync(file, "");
  t.deepEqual(parseModule(`k=${file}`), { name: "k", file });
  t.throws(() => parseModule("nothing"), { message: /NAME=FILE/ });
  t.throws(() => parseModule(`a b=${file}`), { message: /characters/ });
  t.throws(() => parseModule(`k=${folder}/absent`), { message: /no file/ });
});

test("error messages show the console without terminal control sequences", (t) => {
  t.is(plainText("\x1b[2J\x1b[01;01Hready\r\n\x1b[?25l\x1b[0mok"), "ready\nok");
});

test("Ctrl-\\ twice within a second ends the machine; Ctrl-C and single ones are for the console", (t) => {
  t.false(new EndKeys().ends("x\x03\x03\x03", 0));
  t.true(new EndKeys().ends(END_KEY.repeat(2), 0));
  const slow = new EndKeys();
  for (let at = 0; at < 20_000; at += 1500) t.false(slow.ends(END_KEY, at));
  const fast = new EndKeys();
  t.deepEqual(
    [0, 800].map((at) => fast.ends(END_KEY, at)),
    [false, true],
  );
});

test("domain 0 is told the terminal's size where there is one", (t) => {
  t.deepEqual(terminalWord({ isTTY: true, columns: 132, rows: 43 }, false), ["terminal=132x43"]);
  t.deepEqual(terminalWord({ isTTY: true, columns: 132, rows: 43 }, true), ["terminal=132x43,safe"]);
  t.deepEqual(terminalWord({ isTTY: true, columns: 0, rows: 0 }, false), []);
  t.deepEqual(terminalWord({ columns: 80, rows: 24 }, false), []);
  t.deepEqual(terminalWord({}, true), ["terminal=safe"]);
});

/** A machine's console with nothing behind it. */
class Console extends EventEmitter {
  output = "";
  sent = "";
  takes = true;
  paused = false;

  get machine(): Machine {
    return this as unknown as Machine;
  }

  print(text: string): void {
    this.output += text;
    this.emit("output", text);
  }

  send(data: string | Buffer): boolean {
    this.sent += data.toString();
    return this.takes;
  }

  pauseOutput(): void {
    this.paused = true;
  }

  resumeOutput(): void {
    this.paused = false;
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("piped input goes to the prompt from its first byte on, no faster than it is taken, and its end ends the session", async (t) => {
  const console = new Console();
  const input = new PassThrough();
  sendInput(console.machine, input, () => t.fail());
  input.write("list\r");
  await nextTurn();
  console.print("firmware and hypervisor\r\n");
  await nextTurn();
  t.is(console.sent, "", "the machine does not listen yet");
  console.takes = false;
  console.print(PROMPT);
  await nextTurn();
  t.is(console.sent, "list\r");
  input.write("more\r");
  await nextTurn();
  t.is(console.sent, "list\r", "the emulator has enough");
  console.takes = true;
  console.emit("taken");
  await nextTurn();
  t.is(console.sent, "list\rmore\r");
  input.end();
  await nextTurn();
  t.is(console.sent, "list\rmore\r\x04\x04");
});

test("piped input that ends within a guest's console: the console is left, once", async (t) => {
  const console = new Console();
  const input = new PassThrough();
  sendInput(console.machine, input, () => t.fail());
  console.print(PROMPT);
  input.end("console 1\r");
  await nextTurn();
  t.is(console.sent, "console 1\r\x04\x04");
  console.print("console 1\r\n[domain 1 (linux): Ctrl-] leaves]\r\n");
  console.print("linux:/root# ");
  t.is(console.sent, "console 1\r\x04\x04\x1d\x04\x04");
  console.print(`\r\n${PROMPT}`);
  t.is(console.sent.length, "console 1\r\x04\x04\x1d\x04\x04".length);
});

test("at a terminal Ctrl-C is the machine's, and the end keys end it at any time", (t) => {
  const console = new Console();
  const input = Object.assign(new PassThrough(), { isTTY: true });
  let ends = 0;
  sendInput(console.machine, input, () => ends++);
  input.emit("data", Buffer.from("early\x03"));
  console.print(PROMPT);
  t.is(console.sent, "early\x03");
  input.emit("data", Buffer.from(END_KEY));
  t.is(console.sent, `early\x03${END_KEY}`);
  input.emit("data", Buffer.from(END_KEY));
  t.is(ends, 1);
});

test("a machine that prints faster than its output is taken waits", async (t) => {
  const console = new Console();
  let take: (() => void) | null = null;
  const slow = new Writable({ highWaterMark: 10, write: (_chunk, _encoding, done) => (take = done) });
  showOutput(console.machine, slow);
  console.print("x".repeat(20));
  t.true(console.paused);
  take!();
  await nextTurn();
  t.false(console.paused);
});

test("--exec keeps no more of a line than it must", (t) => {
  let shown = "";
  const output = new ExecOutput((text) => (shown += text), "1a");
  for (let i = 0; i < 100; i++) output.push("x".repeat(10_000));
  t.true(shown.length > 900_000);
  output.finish();
  t.is(shown.length, 1_000_001);
});

test("of a machine that prints without end the latest is kept, and what was not read stays unread", (t) => {
  const transcript = new Transcript(100);
  let printed = "";
  for (let i = 0; i < 1000; i++) {
    const text = `line ${i}\n`;
    printed += text;
    transcript.add(text);
    t.true(transcript.text.length >= Math.min(100, printed.length) && transcript.text.length <= 200);
    t.true(printed.endsWith(transcript.text));
    if (i % 7 === 0) {
      t.true(transcript.rest.endsWith(text));
      transcript.position += transcript.rest.length;
      t.is(transcript.rest, "");
    }
  }
});
