/**
 * `npm test`: checks of style and types, then every test under test/, on what the build made. Ends with one line
 * `N passed, N failed`. `--unit` (npm run test:unit) leaves out what needs an emulator, `--boot` all the rest; other
 * arguments go to ava (files, `--match=PATTERN`) and leave out the checks.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { existsSync } from "node:fs";
import { build } from "./build.ts";
import { BuildError, progress } from "./build/task.ts";
import { fromRoot, root } from "./paths.ts";
import { installPackages, testPurposes } from "./setup.ts";

interface Tally {
  passed: number;
  skipped: string[];
  /** A failed test and its messages. */
  failures: { name: string; said: string[] }[];
}

/** Of what is said about a failure, so many lines at its beginning and at its end are shown again when all is over. */
const SAID_AGAIN = 15;

/** Runs a check that is a separate command; it counts as one test. */
async function check(tally: Tally, name: string, args: string[]): Promise<void> {
  const status = await new Promise<number | null>((resolve) => {
    spawn(process.execPath, args, { cwd: root, stdio: "inherit" }).once("close", resolve);
  });
  count(tally, status === 0, name);
}

function count(tally: Tally, ok: boolean, name: string): void {
  if (ok) tally.passed += 1;
  else tally.failures.push({ name, said: [] });
  console.log(`${ok ? "ok    " : "FAILED"}  ${name}`);
}

/**
 * Runs ava and counts what its TAP output says. A test file that dies, or ava itself failing, counts as a failure.
 */
async function runAva(tally: Tally, args: string[]): Promise<void> {
  const failedBefore = tally.failures.length;
  const ava = spawn(process.execPath, [fromRoot("node_modules/ava/entrypoints/cli.mjs"), "--tap", ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = new Promise<number | null>((resolve) => ava.once("close", resolve));
  /** Of the failure that ava is telling about. */
  let said: string[] = [];
  for await (const line of createInterface({ input: ava.stdout })) {
    const result = /^(not )?ok \d+ - (.*?)(?: # (SKIP|TODO).*)?$/.exec(line);
    if (result === null) {
      if (!/^TAP version|^1\.\.\d+$|^# (tests|pass|fail|skip)|^\s*$/.test(line)) {
        said.push(line.replace(/^# /, "        "));
        console.log(said.at(-1));
      }
    } else if (result[3] !== undefined) {
      tally.skipped.push(result[2]);
      console.log(`skipped ${result[2]}`);
    } else {
      const ok = result[1] === undefined;
      count(tally, ok, result[2]);
      said = ok ? [] : tally.failures.at(-1)!.said;
    }
  }
  const status = await closed;
  if (status !== 0 && tally.failures.length === failedBefore)
    count(tally, false, `ava ${args.join(" ")} (status ${status})`);
}

/** Without what is in the middle of it, when it is long. */
function shortened(lines: string[]): string[] {
  if (lines.length <= 2 * SAID_AGAIN) return lines;
  return [...lines.slice(0, SAID_AGAIN), "    [...]", ...lines.slice(-SAID_AGAIN)];
}

/** Folders of tests that exist; ava refuses names that match nothing. */
function testFolders(names: string[]): string[] {
  return names.filter((name) => existsSync(fromRoot(name))).map((name) => `${name}/**/*.test.ts`);
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const unit = args.includes("--unit");
  const boot = args.includes("--boot");
  const rest = args.filter((arg) => arg !== "--unit" && arg !== "--boot");
  const tally: Tally = { passed: 0, skipped: [], failures: [] };

  installPackages(unit ? ["build", "codecs", "shells"] : testPurposes());
  try {
    await build();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`${error.message}\n`);
    count(tally, false, "build");
  }
  if (tally.failures.length === 0) {
    if (rest.length > 0) {
      await runAva(tally, rest);
    } else {
      if (!boot) {
        const bootstrap = fromRoot("scripts/bootstrap.mjs");
        if (!unit) {
          await check(tally, "lint", [fromRoot("node_modules/eslint/bin/eslint.js"), "."]);
          await check(tally, "formatting", [
            fromRoot("node_modules/prettier/bin/prettier.cjs"),
            "--check",
            "--log-level=warn",
            ".",
          ]);
          await check(tally, "typecheck", [bootstrap, "scripts/typecheck.ts"]);
        }
        await runAva(tally, testFolders(["test/unit", "test/property", "test/sim"]));
      }
      // Afterwards, not beside them: emulators want the processors for themselves.
      if (!unit) await runAva(tally, testFolders(["test/boot"]));
    }
  }
  if (tally.skipped.length > 0) progress(`${tally.skipped.length} skipped: ${tally.skipped.join("; ")}`);
  // They are far up by now.
  for (const { name, said } of tally.failures) console.log([`FAILED  ${name}`, ...shortened(said)].join("\n"));
  console.log(`${tally.passed} passed, ${tally.failures.length} failed`);
  return tally.failures.length === 0 && tally.passed > 0 ? 0 : 1;
}

process.exitCode = await main();
