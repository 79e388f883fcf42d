import test from "ava";
import { CommandError } from "../../../toolstack/api/command-error.ts";
import { parseCount, parseMib, parseOptions } from "../../../toolstack/api/options.ts";
import { splitCommands as split, splitWords } from "../../../toolstack/control/commands/words.ts";

const NAMES = new Set(["js", "list", "help", "destroy"]);
const splitCommands = (line: string) => split(line, (word) => NAMES.has(word));

test("`;` separates commands, except in quotes", (t) => {
  t.deepEqual(splitCommands("a; b ;;c 'x;y' ; d \"p;q\" e\\;f"), ["a", "b", "c 'x;y'", 'd "p;q" e\\;f']);
  t.deepEqual(splitCommands("  ; "), []);
});

test("the argument of js ends at a `;` outside its own brackets and strings", (t) => {
  t.deepEqual(splitCommands("js 1; list"), ["js 1", "list"]);
  t.deepEqual(splitCommands("js (() => { let x = 1; return x })(); list"), [
    "js (() => { let x = 1; return x })()",
    "list",
  ]);
  t.deepEqual(splitCommands("js `a;${1}` + 'it\\'s; fine'; help"), ["js `a;${1}` + 'it\\'s; fine'", "help"]);
});

test("a script goes on behind a `;` unless a command's name follows", (t) => {
  t.deepEqual(splitCommands("js let x = 1; x + 1; list"), ["js let x = 1; x + 1", "list"]);
  t.deepEqual(splitCommands("js a;b;;list;js list.length; c"), ["js a;b;", "list", "js list.length; c"]);
  t.deepEqual(splitCommands("js x = /[;/']/.test('a'); list"), ["js x = /[;/']/.test('a')", "list"]);
  t.deepEqual(splitCommands("js 8 / 2; list; js 1 /* ; list */ + 2"), ["js 8 / 2", "list", "js 1 /* ; list */ + 2"]);
  t.deepEqual(splitCommands("js `${'`;'};list`; list"), ["js `${'`;'};list`", "list"]);
  t.deepEqual(splitCommands("js 'open; list"), ["js 'open; list"]);
});

test("words: quotes group and are taken off, a backslash takes the next character", (t) => {
  t.deepEqual(splitWords(`create --cmdline 'console=hvc0 a="b"' --name "x y" a\\ b "" ''`), [
    "create",
    "--cmdline",
    'console=hvc0 a="b"',
    "--name",
    "x y",
    "a b",
    "",
    "",
  ]);
  t.deepEqual(splitWords(`'a\\b' "c\\"d" e'f'"g"`), ["a\\b", 'c"d', "efg"]);
});

test("an open quote is an error", (t) => {
  for (const line of ["a 'b", 'a "b', "a \"b'"]) {
    t.throws(() => splitCommands(line), { instanceOf: CommandError, message: /not closed/ });
    t.throws(() => splitWords(line), { instanceOf: CommandError, message: /not closed/ });
  }
});

const SPECS = { kernel: { value: "NAME", required: true }, memory: { value: "MiB" }, wait: {} };

test("options: values behind a blank or =, switches, plain words", (t) => {
  const parsed = parseOptions(["--kernel", "k", "--memory=64", "--wait", "x"], SPECS, ["ID"]);
  t.deepEqual(
    [...parsed.values],
    [
      ["kernel", "k"],
      ["memory", "64"],
    ],
  );
  t.deepEqual([...parsed.switches], ["wait"]);
  t.deepEqual(parsed.rest, ["x"]);
  t.is(parseOptions(["--kernel", "--wait"], SPECS).values.get("kernel"), "--wait");
});

const wrong: [string[], RegExp][] = [
  [[], /--kernel NAME is missing/],
  [["--kernel"], /--kernel needs a value: NAME/],
  [["--kernel", "k", "--kernel", "l"], /given twice/],
  [["--kernel", "k", "--wait=1"], /takes no value/],
  [["--kernel", "k", "--wat"], /unknown option --wat; known: --kernel --memory --wait/],
  [["--kernel", "k", "-w"], /unknown option -w/],
  [["--kernel", "k", "--__proto__"], /unknown option/],
  [["--kernel", "k", "extra"], /one word too many: "extra"/],
];
for (const [words, message] of wrong) {
  test(`refused: ${words.join(" ") || "nothing"}`, (t) => {
    t.throws(() => parseOptions(words, SPECS), { instanceOf: CommandError, message });
  });
}

test("counts are whole numbers within bounds", (t) => {
  t.is(parseCount("--vcpus", "64", 1, 64), 64);
  for (const text of ["", "0", "65", "-1", "1.5", "1e1", "0x10", "abc", "99999999999999999999"]) {
    t.throws(() => parseCount("--vcpus", text, 1, 64), { message: /--vcpus: ".*" is not a whole number from 1 to 64/ });
  }
});

test("sizes are whole MiB, with or without a unit", (t) => {
  for (const [text, mib] of [
    ["512", 512],
    ["512M", 512],
    ["512MiB", 512],
    ["2G", 2048],
    ["1.5g", 1536],
    ["0.5GB", 512],
    ["65536K", 64],
    ["1T", 1048576],
  ] as const) {
    t.is(parseMib("--memory", text, 1, 1048576), mib, text);
  }
  for (const text of ["", "0", "1.5", "1K", "2P", "G", "-1G", "0x10", "1e3", "2 G", "2T", "1..5G"]) {
    t.throws(
      () => parseMib("--memory", text, 1, 1048576),
      { message: /--memory: ".*" is not a whole number of MiB/ },
      text,
    );
  }
});

test("the last argument may be given several times", (t) => {
  t.deepEqual(parseOptions(["1", "2", "x"], {}, ["ID..."]).rest, ["1", "2", "x"]);
  t.throws(() => parseOptions([], {}, ["ID..."]), { message: /^ID is missing$/ });
});

test("letters stand for options; an unknown one, and several in one word, are refused", (t) => {
  const specs = { delay: { value: "SECONDS", short: "d" }, full: { short: "f" } };
  const parsed = parseOptions(["-d", "3", "-f", "x", "-1"], specs, ["A", "B"]);
  t.deepEqual([parsed.values.get("delay"), parsed.switches.has("full"), parsed.rest], ["3", true, ["x", "-1"]]);
  for (const [words, message] of [
    [["-x"], /^unknown option -x; known: --delay --full$/],
    [["-fd"], /^unknown option -fd/],
    [["-d"], /^--delay needs a value: SECONDS$/],
    [["-f", "--full"], /^--full is given twice$/],
  ] as const)
    t.throws(() => parseOptions([...words], specs, ["[A]"]), { instanceOf: CommandError, message });
});
