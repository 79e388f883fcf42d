/** Promises about the shape of the tree itself: the shim's size, where C may be, a README in every folder. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import test from "ava";
import { fromRoot } from "../../scripts/paths.ts";

/** Files git tracks, or would. */
function files(): string[] {
  const options = ["ls-files", "--cached", "--others", "--exclude-standard"];
  return execFileSync("git", options, { cwd: fromRoot("."), encoding: "utf8" })
    .split("\n")
    .filter((name) => name !== "" && existsSync(fromRoot(name)));
}

/** Lines without blanks and comments. */
function codeLines(source: string): number {
  const withoutComments = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  return withoutComments.split("\n").filter((line) => line.trim() !== "").length;
}

test("the shim stays small", (t) => {
  const shim = files().filter((name) => /^boot\/.*\.(c|h|S|ld)$/.test(name));
  t.true(shim.length > 10, "the shim's files were not found");
  const lines = shim.reduce((sum, name) => sum + codeLines(readFileSync(fromRoot(name), "utf8")), 0);
  t.log(`${lines} lines`);
  t.true(lines < 2500, `${lines} lines`);
});

test("C and assembly are in boot/ and guests/ only", (t) => {
  const stray = files().filter((name) => /\.(c|h|S|asm)$/.test(name) && !/^(boot|guests)\//.test(name));
  t.deepEqual(stray, []);
});

test("every folder says what it is", (t) => {
  const folders = new Set(
    files()
      .filter((name) => name.includes("/") && !name.startsWith("."))
      .map((name) => path.dirname(name)),
  );
  t.true(folders.size > 20, "the folders were not found");
  t.deepEqual(
    [...folders].filter((folder) => !existsSync(fromRoot(`${folder}/README.md`))),
    [],
  );
});
