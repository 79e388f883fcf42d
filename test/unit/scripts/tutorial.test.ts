/** How the test of docs/tutorial.md reads a page, and what it takes for the same output. */
import test from "ava";
import { outputPattern, readSteps, shown } from "../../boot/support/tutorial.ts";

const FENCE = "```";

test("a page's blocks are files, and commands with what they print", (t) => {
  const page = [
    `${FENCE}ts file=a/b.ts`,
    "one();",
    "",
    FENCE,
    "Text, and a block that is none of the script's:",
    FENCE,
    "$ not typed",
    FENCE,
    `${FENCE}console terminal=2`,
    "$ first",
    "said",
    "typevisor> second",
    "^C",
    FENCE,
    `${FENCE}console terminal=2 continues`,
    "more",
    "^]",
    FENCE,
  ].join("\n");
  const type = { kind: "type" as const, terminal: 2 };
  t.deepEqual(readSteps(page), [
    { kind: "file", name: "a/b.ts", text: "one();\n\n" },
    { ...type, at: "shell", words: "first", expected: ["said"], line: 10 },
    { ...type, at: "machine", words: "second", expected: [], line: 12 },
    { ...type, at: "interrupt", words: "\x03", expected: [], line: 13 },
    { ...type, at: "more", words: "", expected: ["more"], line: 16 },
    { ...type, at: "interrupt", words: "\x1d", expected: [], line: 17 },
  ]);
  for (const [bad, message] of [
    [`${FENCE}console terminal=1\nlost\n${FENCE}`, /line 2: output of nothing/],
    [`${FENCE}console terminal=1\n$ a`, /line 1: the block does not end/],
    [`${FENCE}ts else\n${FENCE}`, /line 1: neither a file nor a terminal/],
  ] as const) {
    t.throws(() => readSteps(bad), { message });
  }
});

test("output is the same but for what varies", (t) => {
  const same = (expected: string[], text: string, whole = true) => outputPattern(expected, whole).test(text);
  const row = "web    2   8   1   -b----   0.0";
  t.true(same([row], "web  2    8  1  ------  12.5\n"));
  t.false(same([row], "web    3   8   1   -b----   0.0\n"), "another number");
  t.false(same([row], "wet    2   8   1   -b----   0.0\n"));
  t.true(same(["Domain-0  0  10  1  r-----  0.6"], "Domain-0  0  12  1  r-----  0.6\n"));
  t.true(same(["to 10.0.2.40"], "to 10.0.2.40\n"));
  t.false(same(["to 10.0.2.40"], "to 10.0.2.41\n"), "an address");
  t.true(same(["mac 00:16:3e:12:34:56"], "mac 00:16:3e:65:43:21\n"));
  t.false(same(["a"], "a\nb\n"), "a line too many");
  t.true(same(["a"], "a\nb\n", false));
  t.false(same(["a", "b"], "a\n"), "a line too few");
  t.true(same(["a", "...", "d"], "a\nb\nc\nd\n"));
  t.true(same(["a", "...", "d"], "a\nd\n"));
  t.true(same(["state ..."], "state   anything\n"));
  t.true(same(["(x) [y] a.b*"], "(x) [y] a.b*\n"));
  t.false(same(["a.b"], "axb\n"));
  t.true(same(["done", "typevisor>"], "done\ntypevisor> "));
  t.false(same(["done", "typevisor>"], "done\n"));
});

test("a terminal's lines are what was drawn last in them", (t) => {
  t.is(shown("one\r\n\x1b[31mtwo\x1b[0m\r\n"), "one\ntwo\n");
  t.is(shown("\x1b[0G 10 %\x1b[K\x1b[0G 90 %\x1b[K\x1b[2K\x1b[1Gdone\r\n"), "done\n");
  t.is(shown("\x1b]0;title\x07typevisor> l\r\x1b[Ktypevisor> list\r\n"), "typevisor> list\n");
});
