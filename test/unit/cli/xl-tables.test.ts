/** docs/xl.md is up to date, and true: a file with each of the keys is read. */
import { readFileSync } from "node:fs";
import test from "ava";
import { fromRoot } from "../../../scripts/paths.ts";
import { xlPage } from "../../../scripts/xl-page.ts";
import { ConfigError, formatProblem } from "../../../toolstack/cli/config/problems.ts";
import { readXlConfig, READ_KEYS } from "../../../toolstack/cli/config/xl-cfg.ts";
import { XL_COMMANDS } from "../../../toolstack/cli/config/xl-commands.ts";
import { XL_KEYS } from "../../../toolstack/cli/config/xl-keys.ts";

const keys = Object.values(XL_KEYS).flat();
const commands = Object.values(XL_COMMANDS).flat();

test("the page is what `npm run docs` writes", (t) => {
  t.is(readFileSync(fromRoot("docs/xl.md"), "utf8"), xlPage(), "run `npm run docs`");
});

test("the page has a row for every key and command, and says of each what is done", (t) => {
  const rows = xlPage().split("\n");
  for (const { key, verdict, note } of keys) {
    const state = { supported: "supported", idle: "without effect", refused: "refused" }[verdict];
    t.true(
      rows.some((row) => row.startsWith(`| \`${key}\` | ${state} | ${note}`)),
      key,
    );
  }
  for (const { command, verdict, implemented } of commands) {
    const state = verdict === "refused" ? "refused" : implemented ? "supported" : "not implemented yet";
    t.true(
      rows.some((row) => row.startsWith(`| \`${command}\` | ${state} |`)),
      command,
    );
  }
});

test("each key and command is there once", (t) => {
  for (const names of [keys.map(({ key }) => key), commands.map(({ command }) => command)]) {
    t.deepEqual(
      names.filter((name, i) => names.indexOf(name) !== i),
      [],
    );
  }
  // xl_cmdtable.c of Xen 4.17 has 92, and xl has `help` besides; xl_parse.c reads 158 keys.
  t.is(commands.length, 93);
  t.is(keys.length, 158);
});

test("what is refused or without effect says why", (t) => {
  t.deepEqual(
    [...keys, ...commands.map(({ command: key, ...rest }) => ({ key, ...rest }))]
      .filter(({ verdict, note }) => verdict !== "supported" && note === "")
      .map(({ key }) => key),
    [],
  );
  t.deepEqual(
    commands.filter(({ verdict, implemented }) => verdict === "refused" && implemented),
    [],
  );
});

test("the supported keys are those that are read", (t) => {
  t.deepEqual(
    keys
      .filter(({ verdict }) => verdict === "supported")
      .map(({ key }) => key)
      .sort(),
    [...READ_KEYS].sort(),
  );
});

/** What a file with a line for a key says of it: faults or notes, and nothing else. */
function said(line: string): { faults: string[]; notes: string[] } {
  try {
    const { notes } = readXlConfig(`type = "pvh"; name = "x"; kernel = "k"\n${line}\n`, "x.cfg");
    return { faults: [], notes: notes.map(formatProblem) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { faults: error.problems.map(formatProblem), notes: [] };
  }
}

for (const { key, verdict, note, except } of keys) {
  if (verdict === "supported") continue;
  test(`${key} is ${verdict}`, (t) => {
    for (const value of ['"something"', "17", '["something"]']) {
      const { faults, notes } = said(`${key} = ${value}`);
      const lines = verdict === "idle" ? notes : faults;
      t.deepEqual([faults.length, notes.length], verdict === "idle" ? [0, 1] : [1, 0], value);
      t.true(lines[0].startsWith(`x.cfg:2: ${key}: `) && lines[0].includes(note), lines[0]);
    }
    for (const value of verdict === "refused" ? [...except.map((one) => `"${one}"`), "[]"] : []) {
      const { faults, notes } = said(`${key} = ${value}`);
      t.deepEqual(faults, []);
      t.is(notes.length, 1);
      t.true(notes[0].startsWith(`x.cfg:2: ${key}: accepted: `), notes[0]);
    }
  });
}
