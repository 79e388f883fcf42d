/** Which machine is meant, and keys. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { findTarget } from "../../../toolstack/cli/connection/connect.ts";
import { makeKey, readKey, writeKey } from "../../../toolstack/cli/connection/key.ts";
import {
  freeMachineName,
  keyFileOf,
  listMachines,
  recordMachine,
  removeMachine,
  runtimeFolder,
} from "../../../toolstack/cli/connection/machines.ts";
import { runChaos } from "../../../toolstack/cli/chaos/program.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-test-"));
process.env.XDG_RUNTIME_DIR = folder;
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

/** A process id that no process has. */
const NOBODY = 2 ** 22 + 1;

const record = (name: string, pid = process.pid) =>
  recordMachine({ name, address: "127.0.0.1", port: 4170, keyFile: keyFileOf(name), pid });

test("keys: their owner's alone, never overwritten, refused when others can read them or they are none", (t) => {
  const file = path.join(folder, "a.key");
  const key = makeKey("operator");
  writeKey(file, key);
  t.is(statSync(file).mode & 0o777, 0o600);
  t.deepEqual(readKey(file), key);
  t.throws(() => writeKey(file, makeKey("other")), { code: "EEXIST" });
  t.notDeepEqual(makeKey("operator").key, key.key);
  chmodSync(file, 0o640);
  t.throws(() => readKey(file), { message: /can be read by others.*chmod 600/ });
  for (const text of [
    "",
    "operator",
    "operator 1234\n",
    `two words ${"0".repeat(64)}\n`,
    `x ${"0".repeat(64)}\nmore`,
  ]) {
    const bad = path.join(folder, "bad.key");
    writeFileSync(bad, text, { mode: 0o600 });
    t.throws(() => readKey(bad), { message: /is no key: one line/ }, JSON.stringify(text));
  }
  t.throws(() => readKey(path.join(folder, "nowhere")), { message: /cannot be read: ENOENT/ });
});

test.serial("machines: the only one, one of several, an address; stale records go", (t) => {
  t.is(statSync(runtimeFolder()).mode & 0o777, 0o700);
  t.throws(() => findTarget(undefined, undefined), { message: /no machine runs here: `npm start`/ });
  record("one");
  record("gone", NOBODY);
  writeKey(keyFileOf("gone"), makeKey("gone"));
  t.deepEqual(
    listMachines().map(({ name }) => name),
    ["one"],
  );
  t.false(existsSync(keyFileOf("gone")));
  t.is(findTarget(undefined, undefined).name, "one");
  record("two");
  t.throws(() => findTarget(undefined, undefined), { message: /several machines run here \(one, two\): say which/ });
  t.like(findTarget("two", undefined), { name: "two", port: 4170, keyFile: keyFileOf("two") });
  t.is(freeMachineName("one"), "one-2");
  t.throws(() => findTarget("three", undefined), {
    message: /no machine three \(here run: one, two\); for an address, --key/,
  });
  t.throws(() => findTarget("10.1.1.1", undefined), { message: /--key FILE is missing/ });
  t.like(findTarget("10.1.1.1:99", "k"), { address: "10.1.1.1", port: 99, keyFile: "k" });
  t.like(findTarget("[fe80::1]", "k"), { address: "fe80::1", port: 4170 });
  t.throws(() => findTarget("a:b:c", "k"), { message: /neither a machine's name nor ADDRESS/ });
  removeMachine("one");
  removeMachine("two");
  t.deepEqual(listMachines(), []);
});

test.serial("chaos: errors are one line and status 1; what comes later says so", async (t) => {
  const { write } = process.stderr;
  let said = "";
  process.stderr.write = ((text: string) => (said += text)) as never;
  try {
    for (const [words, expected] of [
      [["list"], /^chaos: no machine runs here/],
      [["mem-set", "web", "x"], /^chaos: SIZE: "x" is not a whole number of MiB/],
      [["migrate", "web", "there"], /^chaos: not there yet/],
      [
        ["create", "--kernel", "k", "--on-crash", "explode"],
        /^chaos: --on-crash: "explode" is none of destroy, restart, preserve/,
      ],
      [["key", path.join(folder, "c.key"), "--name", "a b"], /^chaos: --name/],
    ] as const) {
      said = "";
      t.is(await runChaos([...words]), 1);
      t.regex(said, expected);
      t.regex(said, /^[^\n]*\n$/);
    }
  } finally {
    process.stderr.write = write;
  }
  t.is(await runChaos(["key", path.join(folder, "c.key")]), 0);
  t.regex(readFileSync(path.join(folder, "c.key"), "utf8"), /^operator [0-9a-f]{64}\n$/);
});
