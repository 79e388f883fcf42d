/** What `npm start` makes of its options before a machine runs, and of the machine's output after. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import fc from "fast-check";
import { ExecOutput, execWord } from "../../../scripts/exec.ts";
import { CTRL_C, Interrupts } from "../../../scripts/interrupt.ts";
import { plainText } from "../../../scripts/machine.ts";
import { packModules, parseModule } from "../../../scripts/modules.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-test-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

test("exec= survives every loader: only harmless characters, and decoding gives the commands back", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (commands) => {
      const word = execWord(commands);
      return /^exec=[A-Za-z0-9._%-]*$/.test(word) && decodeURIComponent(word.slice(5)) === commands;
    }),
  );
  t.throws(() => execWord("x".repeat(4000)), { message: /too many/ });
  t.pass();
});

test("--exec shows every line but the protocol's own, however the output is cut", (t) => {
  const printed = "one\r\nTYPEVISOR-EXEC: 2 ok, 0 failed\r\ntwo\r\nlast";
  for (let cut = 0; cut <= printed.length; cut++) {
    let shown = "";
    const output = new ExecOutput((text) => (shown += text));
    output.push(printed.slice(0, cut));
    output.push(printed.slice(cut));
    output.finish();
    t.is(shown, "one\ntwo\nlast\n");
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

test("Ctrl-C ends the machine; where a guest's console is shown it is the guest's, but for three in a row", (t) => {
  const prompt = "typevisor> ";
  const guest = `${prompt}console linux\r\n[domain 1 (linux): Ctrl-] leaves]\r\nlinux:/root# `;
  t.true(new Interrupts().ends(CTRL_C, "", 0), "while it boots");
  t.true(new Interrupts().ends(`x${CTRL_C}`, prompt, 0));
  t.true(new Interrupts().ends(CTRL_C, `${guest}\r\n${prompt}`, 0), "the console was left");
  t.false(new Interrupts().ends("x", prompt, 0));
  t.true(new Interrupts().ends(CTRL_C.repeat(3), guest, 0));

  const slow = new Interrupts();
  for (let at = 0; at < 20_000; at += 1500) t.false(slow.ends(CTRL_C, guest, at));
  const fast = new Interrupts();
  t.deepEqual(
    [0, 800, 1600].map((at) => fast.ends(CTRL_C, guest, at)),
    [false, false, true],
  );
});
