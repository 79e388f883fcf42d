/** Completion in real shells, without a machine; what is offered where; what a machine that answers, or does not, adds. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { requests } from "../../../toolstack/api/requests/table.ts";
import { chaosProgram } from "../../../toolstack/cli/chaos/program.ts";
import { answerLines, questionOf, type Question } from "../../../toolstack/cli/completion/answer.ts";
import { chaosExpected } from "../../../toolstack/cli/completion/chaos.ts";
import { wordsOf } from "../../../toolstack/cli/completion/line.ts";
import { namesOf } from "../../../toolstack/cli/completion/names.ts";
import { completionScript, SHELLS } from "../../../toolstack/cli/completion/scripts.ts";
import { readUsage, xlExpected } from "../../../toolstack/cli/completion/xl.ts";
import { usageOf } from "../../../toolstack/cli/xl/help.ts";
import { xlCommandNames } from "../../../toolstack/cli/xl/program.ts";
import { environmentWith, fishOffers, typed } from "./shells.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-completion-"));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

const environment = () => ({ ...environmentWith(folder), XDG_RUNTIME_DIR: folder });

/** Lines, and what Tab makes of them where no machine runs. */
const LINES: [line: string, completed: string][] = [
  ["chaos des", "chaos destroy"],
  ["chaos volume sn", "chaos volume snapshot"],
  ["chaos create --on-po", "chaos create --on-poweroff"],
  ["chaos create --on-crash pr", "chaos create --on-crash preserve"],
  ["chaos create --on-crash=pr", "chaos create --on-crash=preserve"],
  ["chaos --key x mem-s", "chaos --key x mem-set"],
  ["chaos completion fi", "chaos completion fish"],
  ["chaos build progr", "chaos build program.ts"],
  ["chaos destroy some", "chaos destroy some"],
  ["xl netw", "xl network-"],
  ["xl top --del", "xl top --delay"],
  ["xl trigger web s3", "xl trigger web s3resume"],
  ["xl create progr", "xl create program.ts"],
];

for (const shell of ["bash", "zsh"] as const) {
  test(`${shell} completes what is typed`, async (t) => {
    writeFileSync(path.join(folder, "program.ts"), "");
    const completed = await typed(
      shell,
      environment(),
      LINES.map(([line]) => line),
    );
    t.deepEqual(
      completed,
      LINES.map(([, expected]) => expected),
    );
  });
}

test("fish offers what is there, with summaries", (t) => {
  writeFileSync(path.join(folder, "program.ts"), "");
  const [commands, groups, choices, files, none, xl] = fishOffers(environment(), [
    "chaos des",
    "chaos volume s",
    "chaos create --on-crash ",
    "chaos build progr",
    "chaos destroy ",
    "xl network-",
  ]);
  t.deepEqual(commands, ["destroy\tend domains at once and return their memory"]);
  t.true(groups!.some((line) => line.startsWith("snapshot\t")));
  t.deepEqual(choices, ["destroy", "preserve", "restart"]);
  t.deepEqual(files, ["program.ts"]);
  t.deepEqual(none, []);
  t.deepEqual(xl, ["network-attach", "network-detach", "network-list"]);
});

test("no script evaluates what is typed", (t) => {
  for (const shell of SHELLS) t.notRegex(completionScript(shell, "chaos"), /\beval\b/);
  const script = [
    "source <(chaos completion bash)",
    "compopt() { :; }",
    "COMP_LINE='chaos $(touch evil) `touch evil` des' COMP_WORDS=(chaos '$(touch' 'evil)' des) COMP_CWORD=3",
    "COMP_POINT=${#COMP_LINE}",
    "_chaos_completion",
    'echo "[${COMPREPLY[*]}]"',
  ];
  const options = { env: environment(), cwd: folder, encoding: "utf8" } as const;
  t.is(execFileSync("bash", ["--norc", "-c", script.join("; ")], options), "[]\n");
  t.false(existsSync(path.join(folder, "evil")));
});

/** What `chaos` offers behind these words. */
const chaos = (...words: string[]) => chaosExpected(chaosProgram(), words);
const values = (...words: string[]) => chaos(...words).candidates.map(({ value }) => value);

test("every request is offered, and each of its options; choices and names where they are declared", (t) => {
  // `chaos forward` has pairs of ports instead of the request's words.
  t.is(chaos("forward", "").names, "domain");
  for (const { name, arguments: declared } of requests.filter(
    (each) => !["image put", "forward"].includes(each.name),
  )) {
    const words = name.split(" ");
    t.true(values(...words.slice(0, -1), "").includes(words[words.length - 1]!), name);
    const options = values(...words, "--");
    let plain = 0;
    for (const [key, argument] of Object.entries(declared as Record<string, never>)) {
      const {
        place,
        names,
        choices = [],
        value,
      } = argument as {
        place: string;
        names?: string;
        choices?: string[];
        value: string | null;
      };
      const option = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      if (place === "option") t.true(options.includes(option), `${name} ${option}`);
      const before = place === "option" ? [option] : Array<string>(plain++).fill("x");
      if (value === null) continue;
      t.like(chaos(...words, ...before, ""), { names }, `${name} ${key}`);
      t.deepEqual(values(...words, ...before, ""), choices, `${name} ${key}`);
    }
  }
});

test("where names, files and machines are wanted", (t) => {
  t.is(chaos("destroy", "a", "b", "").names, "domain");
  t.is(chaos("--host", "m", "vif", "attach", "").names, "domain");
  t.is(chaos("--host", "").names, "machine");
  t.like(chaos("--host=m"), { names: "machine", before: "--host=" });
  t.like(chaos("create", "--kernel=he"), { names: "kernel", files: true, before: "--kernel=" });
  t.is(chaos("create", "").files, true);
  t.is(chaos("volume", "resize", "").names, "volume");
  t.is(chaos("image", "rm", "x", "").names, "image");
  t.is(chaos("xenctx", "1", "--symbols", "").names, "module");
  t.is(chaos("vif", "attach", "one", "").names, undefined);
  t.deepEqual(values("list", ""), []);
  t.deepEqual(values("nonsense", ""), []);
  t.true(chaos("run", "--", "").files);
  t.true(values("top", "-").includes("--iterations"));
});

test("xl: options and words by the usage that each command prints", (t) => {
  const xl = { names: xlCommandNames(), usage: usageOf };
  for (const name of xlCommandNames().filter((each) => each !== "help")) {
    t.regex(usageOf(name), new RegExp(`^${name}\\b`), name);
  }
  const expected = (...words: string[]) => xlExpected(xl, words);
  t.is(expected("destroy", "").names, "domain");
  t.is(expected("-f", "network-list", "a", "").names, "domain");
  t.true(expected("create", "").files);
  t.deepEqual(
    expected("shutdown", "-").candidates.map(({ value }) => value),
    ["-a", "--all", "-F", "-w", "--wait"],
  );
  t.deepEqual(expected("top", "-d", "").candidates, []);
  t.is(expected("list", "").names, "domain");
  t.is(expected("vcpu-list", "a", "").names, "domain");
  t.is(expected("uptime", "").names, "domain");
  t.true(expected("config-update", "a", "").files);
  t.deepEqual(expected("help", "").candidates.length, xlCommandNames().length);
  t.deepEqual(expected("nonsense", "").candidates, []);
  const usage = readUsage(
    "x [options] <A> [b]\n-a, --all  all\n-d, --delay=SECONDS  time\n-f FILE, --def=FILE   a file\n",
  );
  t.deepEqual(usage.words, ["<A>", "[b]"]);
  t.deepEqual(
    usage.options.map(({ value, summary }) => `${value} ${summary}`),
    ["-a all", "--all all", "-d time", "--delay time", "-f a file", "--def a file"],
  );
  t.deepEqual([...usage.valued.keys()].sort(), ["--def", "--delay", "-d", "-f"]);
  const files = { names: ["x"], usage: () => "x <Domain>\n-f FILE, --def=FILE   a file" };
  t.true(xlExpected(files, ["x", "-f", ""]).files);
  t.is(xlExpected(files, ["x", "-f", "y", ""]).names, "domain");
  t.is(expected("sched-credit2", "-d", "").names, "domain");
});

test("lines are read as shells read them", (t) => {
  for (const [line, words] of [
    ["chaos ", ["chaos", ""]],
    ["chaos  list", ["chaos", "list"]],
    ['chaos js \'a b\' "c\\"d" e\\ f', ["chaos", "js", "a b", 'c"d', "e f"]],
    ["chaos destroy 'my we", ["chaos", "destroy", "my we"]],
    ["", [""]],
    ["a ''", ["a", ""]],
  ] as const)
    t.deepEqual(wordsOf(line), [...words], line);
});

test("questions and answers: bash replaces behind = and :, and is given quotes where they are needed", (t) => {
  t.is(questionOf(["list"]), null);
  t.is(questionOf(["__complete", "csh", ""]), null);
  t.deepEqual(questionOf(["__complete", "bash", "chaos image rm sha256:a", "a"]), {
    shell: "bash",
    words: ["image", "rm", "sha256:a"],
    replaced: "a",
  });
  const ask = (line: string, replaced: string, ...found: string[]) =>
    answerLines(
      questionOf(["__complete", "bash", line, replaced])!,
      { candidates: [] },
      found.map((value) => ({ value })),
    );
  t.deepEqual(ask("chaos image rm sha256:a", "a", "sha256:abc", "sha256:def"), ["abc"]);
  t.deepEqual(ask("chaos destroy my", "my", "my web; rm", "other"), ["my\\ web\\;\\ rm"]);
  t.deepEqual(ask("chaos destroy 'my w", "'my w", "my web"), ["'my web"]);
  const zsh = { shell: "zsh", words: ["x", "--kernel="], replaced: "--kernel=" } as Question;
  t.deepEqual(
    answerLines(zsh, { candidates: [], before: "--kernel=", files: true }, [{ value: "a", summary: "b\nc" }]),
    ["--kernel=a\tb c", ":files"],
  );
});

test("names come from the machine's listings; domain 0 and the I/O domain are none", async (t) => {
  const answers: Record<string, unknown> = {
    list: [
      { name: "Domain-0", id: 0 },
      { name: "web", id: 2 },
      { name: "Domain-IO", id: 32751 },
    ],
    "volume list": [
      { name: "data", kind: "volume", size: 1048576 },
      { name: null, kind: "deleted", size: 0 },
    ],
    modules: [{ name: "hello", bytes: 1024 }],
    "image list": [{ hash: "sha256:00", name: "k", bytes: 2048 }],
    "disk list": [{ disk: 0, driver: "virtio-blk", size: 1024 }],
    "bridge list": [{ name: "xenbr0", vifs: 2 }],
  };
  const source = { ask: (({ name }: { name: string }) => Promise.resolve(answers[name])) as never };
  const found = async (kind: Parameters<typeof namesOf>[0], current = "") =>
    (await namesOf(kind, source, current)).map(({ value }) => value);
  t.deepEqual(await found("domain"), ["web"]);
  t.deepEqual(await found("domain", "2"), ["2"]);
  t.deepEqual(await found("volume"), ["data"]);
  t.deepEqual(await found("kernel"), ["hello", "sha256:00"]);
  t.deepEqual(await found("image"), ["sha256:00"]);
  t.deepEqual(await found("module"), ["hello"]);
  t.deepEqual(await found("disk"), ["0"]);
  t.deepEqual(await found("bridge"), ["xenbr0"]);
});
