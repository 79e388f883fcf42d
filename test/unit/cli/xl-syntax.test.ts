/** The syntax of xl.cfg, as Xen 4.17's libxlu has it. */
import fc from "fast-check";
import test from "ava";
import { ConfigError } from "../../../toolstack/cli/config/problems.ts";
import { parseXlSettings, type XlSetting, type XlValue } from "../../../toolstack/cli/config/xl-syntax.ts";
import { xlString } from "./print.ts";
import { faultsOf } from "./refused.ts";

type Plain = string | Plain[];

function plain(value: XlValue): Plain {
  return value.kind === "atom" ? value.text : value.items.map(plain);
}

function settings(text: string): [string, string, Plain][] {
  return parseXlSettings(text, "x.cfg").map(({ key, adds, value }) => [key, adds ? "+=" : "=", plain(value)]);
}

for (const [text, ...expected] of [
  [""],
  ["\n\n ; \t;\n"],
  ["# a comment at the end of the file"],
  ["a=1", ["a", "=", "1"]],
  ["a = 1 # one\nb='2'", ["a", "=", "1"], ["b", "=", "2"]],
  ["a=1;b=2;;c=3;", ["a", "=", "1"], ["b", "=", "2"], ["c", "=", "3"]],
  ["\t a_1.b\t=\t0x1f ", ["a_1.b", "=", "0x1f"]],
  // What a number is, is found out when it is read as one.
  ["a=08\nb=1x2", ["a", "=", "08"], ["b", "=", "1x2"]],
  [`a="it's"\nb='say "x"'`, ["a", "=", "it's"], ["b", "=", 'say "x"']],
  [String.raw`a='\a\b\f\n\r\t\v\\\'\"'`, ["a", "=", "\x07\b\f\n\r\t\v\\'\""]],
  [`a='# no comment; no end'`, ["a", "=", "# no comment; no end"]],
  ["a=[]", ["a", "=", []]],
  ["a=[ ]\nb=[\n# nothing\n\n]", ["a", "=", []], ["b", "=", []]],
  ["a=['x']", ["a", "=", ["x"]]],
  ["a=['x',]", ["a", "=", ["x"]]],
  ["a = [ 'x', 5,\n # two\n [ 'y', ['z'] ]\n,\n]\n", ["a", "=", ["x", "5", ["y", ["z"]]]]],
  ["a=[\n'x'\n,\n'y' # y\n]", ["a", "=", ["x", "y"]]],
  ["a+='x'\na += ['y']", ["a", "+=", "x"], ["a", "+=", ["y"]]],
  ["a='ü€😀'", ["a", "=", "ü€😀"]],
] as [string, ...[string, string, Plain][]][]) {
  test(`${JSON.stringify(text)} is read`, (t) => {
    t.deepEqual(settings(text), expected);
  });
}

for (const [text, said] of [
  ["a", 'x.cfg:1: the end where "+=" or "=" should be'],
  ["a=", 'x.cfg:1: the end where a string in quotes, a number or "[" should be'],
  ["a=1\n\nb\n= 2", 'x.cfg:3: the end of the line where "+=" or "=" should be'],
  ["a=\n1", 'x.cfg:1: the end of the line where a string in quotes, a number or "[" should be'],
  ["a=x", 'x.cfg:1: "x" where a string in quotes, a number or "[" should be; text has quotes: name = "web"'],
  [
    "\nName='x'",
    'x.cfg:2: "N" where the end of the line, ";", a key in lower case or the end should be; xl\'s keys are in lower case',
  ],
  ["a=1 b=2", 'x.cfg:1: "b" where the end of the line, ";" or the end should be'],
  ["a=0x1F", 'x.cfg:1: "F" where the end of the line, ";" or the end should be'],
  ["a=[1 2]", 'x.cfg:1: "2" where the end of the line, "," or "]" should be'],
  ["a=[,]", 'x.cfg:1: "," where the end of the line, a string in quotes, a number, "[" or "]" should be'],
  ["a=['x',,]", 'x.cfg:1: "," where the end of the line, a string in quotes, a number, "[" or "]" should be'],
  ["a=[\n'x'\n", 'x.cfg:3: the end where the end of the line, "," or "]" should be'],
  [
    "a='x\ny'",
    'x.cfg:1: "\'" where a string in quotes, a number or "[" should be; a string is closed on the line where it begins',
  ],
  [
    "b=1\na='\\x41'",
    "x.cfg:2: a character by its number (\\x) in a string: xl 4.17 drops it; write the character itself",
  ],
  ["a='\\101'", "x.cfg:1: a character by its number (\\1) in a string: xl 4.17 drops it; write the character itself"],
  ["a='\\q'", "x.cfg:1: \\q in a string: a backslash may be followed by \\ \" ' a b f n r t v"],
  ["a=1\r\n", "x.cfg:1: the line ends in CR LF, as on Windows; xl wants LF alone: `dos2unix` changes it"],
  [
    "a=(1,)",
    'x.cfg:1: "(" where a string in quotes, a number or "[" should be; this looks like Python, of which xl takes no expressions',
  ],
  [
    "a='x'+'y'",
    'x.cfg:1: "+" where the end of the line, ";" or the end should be; this looks like Python, of which xl takes no expressions',
  ],
  [`a=${"[".repeat(200_000)}`, "x.cfg: lists are nested too deeply"],
] as [string, string][]) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused: ${said}`, (t) => {
    t.deepEqual(
      faultsOf(t, () => parseXlSettings(text, "x.cfg")),
      [said],
    );
  });
}

test("an argument of the command line has no line", (t) => {
  t.deepEqual(
    faultsOf(t, () => parseXlSettings("a=x", "argument a=x", false)),
    ['argument a=x: "x" where a string in quotes, a number or "[" should be; text has quotes: name = "web"'],
  );
});

/** Values and settings with where they are written. */
interface Written {
  key: string;
  adds: boolean;
  value: Plain;
}

const key = fc
  .tuple(fc.constantFrom(..."abz"), fc.string({ unit: fc.constantFrom(..."az09._"), maxLength: 8 }))
  .map((k) => k.join(""));
const number = fc.oneof(
  fc.nat().map(String),
  fc.nat().map((n) => `0x${n.toString(16)}`),
  fc.nat().map((n) => `0${n.toString(8)}`),
);
const atom = fc.oneof(number, fc.string(), fc.string({ unit: "binary" }));
const { value } = fc.letrec<{ value: Plain; list: Plain[] }>((tie) => ({
  value: fc.oneof({ depthSize: "small" }, atom, tie("list")),
  list: fc.array(tie("value"), { maxLength: 4 }),
}));
const written: fc.Arbitrary<Written[]> = fc.array(fc.record({ key, adds: fc.boolean(), value }), { maxLength: 12 });

/** Draws from random numbers how a file is laid out. */
class Layout {
  private at = 0;

  constructor(private readonly draws: readonly number[]) {}

  pick<T>(...choices: T[]): T {
    return choices[this.draws[this.at++ % this.draws.length] % choices.length];
  }

  value(value: Plain): string {
    if (typeof value === "string") {
      const bare = /^[0-9][0-9a-fx]*$/.test(value) && this.pick(true, false);
      return bare ? value : xlString(value, this.pick("'", '"'));
    }
    const items = value.map((item) => `${this.gap()}${this.value(item)}${this.gap()}`);
    return `[${items.join(",")}${items.length > 0 ? this.pick("", ",") : ""}${this.gap()}]`;
  }

  gap(): string {
    return this.pick("", " ", "\t", "\n", " # [ it's\n  ", "\n\n");
  }

  setting({ key, adds, value }: Written): string {
    const blank = this.pick("", " ", "\t ");
    const before = this.pick("", "", "\n", "# comment = 'x'\n", " ; ");
    return `${before}${blank}${key}${blank}${adds ? "+=" : "="}${blank}${this.value(value)}${blank}`;
  }

  file(settings: Written[]): string {
    return settings.map((setting) => this.setting(setting) + this.pick("\n", ";", " # end\n", "\n\n")).join("");
  }
}

test("what is written in any layout is read", (t) => {
  fc.assert(
    fc.property(written, fc.array(fc.nat(1000), { minLength: 1, maxLength: 50 }), (settings, draws) => {
      const text = new Layout(draws).file(settings);
      const read = parseXlSettings(text, "x.cfg");
      t.deepEqual(
        read.map(({ key, adds, value }) => ({ key, adds, value: plain(value) })),
        settings,
      );
      // Each key is in the line that is told.
      const lines = text.split("\n");
      for (const { key, place } of read)
        t.true(lines[place.line! - 1].includes(key), `${key} is not in line ${place.line}`);
    }),
    { numRuns: 1000 },
  );
});

test("whatever a file has, it is read or refused with a line of it", (t) => {
  const token = fc.constantFrom(
    "a",
    "=",
    "+=",
    "'",
    '"',
    "\\",
    "[",
    "]",
    ",",
    ";",
    "\n",
    "#",
    " ",
    "1",
    "0x",
    "x'",
    "\r",
    "(",
    "é",
    "\0",
  );
  const texts = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(token).map((tokens) => tokens.join("")),
  );
  let [accepted, refused] = [0, 0];
  fc.assert(
    fc.property(texts, (text) => {
      let read: XlSetting[] | undefined;
      try {
        read = parseXlSettings(text, "x.cfg");
        accepted++;
      } catch (error) {
        t.true(error instanceof ConfigError, String(error));
        const [{ place }] = (error as ConfigError).problems;
        t.true(place.line! >= 1 && place.line! <= text.split("\n").length);
        refused++;
      }
      t.true(read === undefined || read.every(({ key }) => text.includes(key)));
    }),
    { numRuns: 5000 },
  );
  t.true(accepted > 100 && refused > 1000, `${accepted} accepted, ${refused} refused`);
});
