/** Promises about the shape of the tree itself: the shim's size, where C may be, a README in every folder, imports. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import test from "ava";
import ts from "typescript";
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

// --- Imports -------------------------------------------------------------------------------------------------------------

/** Folders whose imports are looked at. */
const IMPORTING = /^(abi|arch-x86|kernel|codec|drivers|noxs|toolstack|scripts)\/.*\.ts$/;
/** Rooms of kernel/ from top to bottom; its own files are above all of them. */
const ROOMS = [
  "hypercalls",
  "software",
  "audit",
  "domains",
  "events",
  "grants",
  "scheduling",
  "devices",
  "memory",
  "machine",
  "records",
];
/** Most source files in a folder of the layers. */
const FOLDER_MOST = 30;

/** For each source file the files of this repository that it imports or re-exports. */
function importGraph(): Map<string, string[]> {
  const sources = files().filter((name) => IMPORTING.test(name));
  const known = new Set(sources);
  return new Map(
    sources.map((name) => {
      const text = readFileSync(fromRoot(name), "utf8");
      const imports = ts
        .preProcessFile(text, true, true)
        .importedFiles.map(({ fileName }) => fileName)
        .filter((target) => target.startsWith("."))
        .map((target) => path.posix.join(path.posix.dirname(name), target.endsWith(".ts") ? target : `${target}.ts`));
      return [name, imports.filter((target) => known.has(target))];
    }),
  );
}

/** One circle of the graph, as a list of files of which each imports the next; null when there is none. */
function findCircle(graph: Map<string, string[]>): string[] | null {
  const settled = new Set<string>();
  const way: string[] = [];
  function visit(file: string): string[] | null {
    if (settled.has(file)) return null;
    const at = way.indexOf(file);
    if (at >= 0) return [...way.slice(at), file];
    way.push(file);
    for (const target of graph.get(file) ?? []) {
      const circle = visit(target);
      if (circle !== null) return circle;
    }
    way.pop();
    settled.add(file);
    return null;
  }
  for (const file of graph.keys()) {
    const circle = visit(file);
    if (circle !== null) return circle;
  }
  return null;
}

/** The floor of a file of kernel/: 0 is the top. */
function floorOf(file: string): number {
  const parts = file.split("/");
  return parts.length === 2 ? 0 : ROOMS.indexOf(parts[1]) + 1;
}

test("a circle of imports is found", (t) => {
  t.deepEqual(
    findCircle(
      new Map([
        ["a", ["b"]],
        ["b", ["c"]],
        ["c", ["b"]],
      ]),
    ),
    ["b", "c", "b"],
  );
  t.is(
    findCircle(
      new Map([
        ["a", ["b", "c"]],
        ["b", ["c"]],
        ["c", []],
      ]),
    ),
    null,
  );
});

test("there is no circle of imports", (t) => {
  const graph = importGraph();
  t.true(graph.size > 200, "the sources were not found");
  t.true([...graph.values()].flat().length > 500, "the imports were not found");
  t.is(findCircle(graph), null);
});

test("imports within kernel/ point down its rooms", (t) => {
  const rooms = new Set(
    files()
      .filter((name) => /^kernel\/.*\/.*\.ts$/.test(name))
      .map((name) => name.split("/")[1]),
  );
  t.deepEqual([...rooms].sort(), [...ROOMS].sort(), "a room without a floor");
  const upward = [...importGraph()]
    .filter(([file]) => file.startsWith("kernel/"))
    .flatMap(([file, targets]) =>
      targets
        .filter((target) => target.startsWith("kernel/") && floorOf(target) < floorOf(file))
        .map((target) => `${file} imports ${target}`),
    );
  t.deepEqual(upward, []);
});

test("no folder of the layers is crowded", (t) => {
  const counts = new Map<string, number>();
  for (const name of files().filter((name) => IMPORTING.test(name) || /^boot\/.*\.(c|h|S)$/.test(name))) {
    const folder = path.dirname(name);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  t.deepEqual(
    [...counts].filter(([, count]) => count > FOLDER_MOST),
    [],
  );
});

test("no file re-exports another's names", (t) => {
  const sources = files().filter((name) => IMPORTING.test(name));
  t.deepEqual(
    sources.filter((name) => /^export (type )?(\*|\{[^}]*\}).* from /m.test(readFileSync(fromRoot(name), "utf8"))),
    [],
  );
});

/** What may look at every domain: listing them on request, the self-check, the restart of domain 0, the end of a backend. */
const WALKERS = new Set([
  "kernel/audit/audit.ts",
  "kernel/audit/audit-devices.ts",
  "kernel/audit/audit-frames.ts",
  "kernel/audit/audit-grants.ts",
  "kernel/audit/debug-keys.ts",
  "kernel/domains/device-page.ts", // devicesForget, of a domain that is the backend of some device
  "kernel/events/event-channel.ts", // evtchnResetsForget
  "kernel/hypercalls/control/domctl-domain.ts", // one from an id on
  "kernel/hypercalls/control/perfc.ts",
  "kernel/hypercalls/control/sysctl.ts",
  "kernel/main.ts", // for the simulation
  "kernel/records/domain-list.ts",
]);

test("nothing walks over all domains but who is asked for all of them", (t) => {
  const walking = files()
    .filter((name) => name.startsWith("kernel/") && name.endsWith(".ts"))
    .filter((name) => /\bdomainF(irst|rom)\b/.test(readFileSync(fromRoot(name), "utf8")));
  t.deepEqual(
    walking.filter((name) => !WALKERS.has(name)),
    [],
  );
});
