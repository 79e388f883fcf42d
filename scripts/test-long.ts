/**
 * `npm run test:long`: all long tests, one after the other, with a line for each when it starts and when it ends.
 * A test's output goes to a file that is named when it fails. Ends with one line `N passed, N failed`.
 *
 *     npm run test:long -- [--list] [NAME ...]     only those whose name contains one of the words
 *
 * Every file of test/long/ is one of them by itself; what has a command of its own is in COMMANDS.
 */
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { build } from "./build.ts";
import { orExplain, progress } from "./build/task.ts";
import { buildFolder, fromRoot, root } from "./paths.ts";
import { installPackages, testPurposes } from "./setup.ts";

interface LongTest {
  name: string;
  /** Arguments of Node.js. */
  args: string[];
}

const script = (...words: string[]): string[] => [fromRoot("scripts/bootstrap.mjs"), ...words];

/** Long tests that are commands: their exit status is the verdict. */
const COMMANDS: LongTest[] = [
  { name: "simulate", args: script("test/sim/run.ts") },
  { name: "simulate --tight", args: script("test/sim/run.ts", "--tight") },
  { name: "simulate --busy", args: script("test/sim/run.ts", "--busy") },
  { name: "soak", args: script("scripts/soak.ts") },
];

/** Lines of a failed test's output that are shown. */
const TAIL_LINES = 30;

function allTests(): LongTest[] {
  const files = readdirSync(fromRoot("test/long"))
    .filter((name) => name.endsWith(".test.ts"))
    .sort();
  return [
    ...files.map((file) => ({ name: `test/long/${file}`, args: script("scripts/test.ts", `test/long/${file}`) })),
    ...COMMANDS,
  ];
}

/** Runs one; returns its exit status and the seconds it took. Its output goes to `log`. */
async function run({ args }: LongTest, log: string): Promise<{ status: number | null; seconds: number }> {
  const started = Date.now();
  const out = createWriteStream(log);
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.pipe(out, { end: false });
  child.stderr.pipe(out, { end: false });
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  await new Promise<void>((resolve) => out.end(resolve));
  return { status, seconds: Math.round((Date.now() - started) / 1000) };
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  const wanted = words.filter((word) => word !== "--list");
  const tests = allTests().filter(({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)));
  if (words.includes("--list")) {
    for (const { name } of tests) console.log(name);
    return 0;
  }
  installPackages(testPurposes());
  await orExplain(build);
  const folder = path.join(buildFolder, "long");
  mkdirSync(folder, { recursive: true });
  const failed: string[] = [];
  for (const [i, test] of tests.entries()) {
    progress(`${i + 1} of ${tests.length}: ${test.name} ...`);
    const log = path.join(folder, `${test.name.replace(/[^A-Za-z0-9.-]+/g, "_")}.log`);
    const { status, seconds } = await run(test, log);
    console.log(`${status === 0 ? "ok    " : "FAILED"}  ${test.name} (${seconds} s)`);
    if (status === 0) continue;
    failed.push(test.name);
    const tail = readFileSync(log, "utf8").trimEnd().split("\n").slice(-TAIL_LINES);
    console.log(
      [...tail.map((line) => `        ${line}`), `        all of it: ${path.relative(root, log)}`].join("\n"),
    );
  }
  for (const name of failed) console.log(`FAILED  ${name}`);
  console.log(`${tests.length - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0 && tests.length > 0 ? 0 : 1;
}

process.exitCode = await main();
