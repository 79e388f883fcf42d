/**
 * Debian source packages as files: fetched with apt-get, which checks them by its signed lists, and unpacked into build/. The
 * machine's own package lists, which usually name no sources, stay as they are: apt-get works on lists of its own here.
 */
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { progress } from "./build/task.ts";
import { buildFolder } from "./paths.ts";

/** Where apt is told which archives there are. */
const APT_FOLDER = "/etc/apt";

/** A network that says nothing must not hold the build up for longer than this for each of apt-get's runs. */
const TIME_LIMIT_MS = 180_000;

/** How a tool's run ended, and what it printed. */
interface Outcome {
  ok: boolean;
  said: string;
}

function run(tool: string, args: string[], cwd: string): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(tool, args, { cwd, encoding: "utf8", timeout: TIME_LIMIT_MS }, (error, stdout, stderr) => {
      const why = error?.killed ? `${tool} was stopped after ${TIME_LIMIT_MS / 1000} s` : "";
      resolve({ ok: error === null, said: `${stdout}${stderr}${why}`.trim() });
    });
  });
}

/** The entries of a `.sources` file (deb822), all of them for source packages. */
export function sourcesForSources(text: string): string {
  return text.replace(/^Types:.*$/gim, "Types: deb-src");
}

/** The entries of a one-line-style `.list` file, all of them for source packages, none of them twice. */
export function listForSources(text: string): string {
  const lines = text
    .split("\n")
    .filter((line) => /^\s*deb(-src)?\s/.test(line))
    .map((line) => line.trim().replace(/^deb(-src)?/, "deb-src"));
  return lines.length === 0 ? "" : `${[...new Set(lines)].join("\n")}\n`;
}

/** Writes the machine's archives into `folder`, as places of source packages. */
function writeSources(folder: string): void {
  const parts = path.join(APT_FOLDER, "sources.list.d");
  const names = existsSync(parts) ? readdirSync(parts).map((name) => path.join(parts, name)) : [];
  for (const file of [path.join(APT_FOLDER, "sources.list"), ...names]) {
    if (!existsSync(file) || !/\.(sources|list)$/.test(file)) continue;
    const text = readFileSync(file, "utf8");
    const rewritten = file.endsWith(".list") ? listForSources(text) : sourcesForSources(text);
    if (rewritten !== "") writeFileSync(path.join(folder, path.basename(file)), rewritten);
  }
}

/** Runs apt-get on lists of its own in `work`. */
function aptGet(work: string, args: string[]): Promise<Outcome> {
  const options = [
    "Dir::Etc::sourcelist=/dev/null",
    `Dir::Etc::sourceparts=${work}/sources`,
    `Dir::State::lists=${work}/lists`,
    `Dir::Cache=${work}/cache`,
    "APT::Sandbox::User=", // the folder may be closed to its usual one
    "Acquire::Languages=none",
    "Acquire::Retries=2",
    "Acquire::http::Timeout=30",
  ];
  return run("apt-get", ["-q", ...options.flatMap((option) => ["-o", option]), ...args], path.join(work, "files"));
}

/** The last lines of what a tool said. */
function ending(text: string): string {
  return text.split("\n").slice(-6).join("\n");
}

/** Where a source package is unpacked, or why it cannot be had. */
export type FoundSource = { folder: string } | { missing: string };

const found = new Map<string, Promise<FoundSource>>();

/** As `unpackedSource`, asked for once per process: what needs a package that cannot be had is left out, and says why. */
export function findSource(name: string): Promise<FoundSource> {
  let source = found.get(name);
  if (source === undefined) {
    source = unpackedSource(name).then(
      (folder) => ({ folder }),
      (error: Error) => ({ missing: error.message }),
    );
    found.set(name, source);
  }
  return source;
}

/**
 * The folder in which Debian's source package `name` is unpacked, without Debian's own changes to it: below build/sources/, with
 * the version in its name. Fetched only when no version of it is there.
 * @throws Error that says why it cannot be had
 */
export async function unpackedSource(name: string): Promise<string> {
  const folder = path.join(buildFolder, "sources");
  mkdirSync(folder, { recursive: true });
  const have = readdirSync(folder).find((entry) => entry.startsWith(`${name}_`));
  if (have !== undefined) return path.join(folder, have);
  for (const tool of ["/usr/bin/apt-get", "/usr/bin/xz"]) {
    if (!existsSync(tool)) throw new Error(`${tool} is missing: Debian's source package ${name} is fetched with it`);
  }

  const work = mkdtempSync(path.join(folder, ".part-"));
  try {
    for (const part of ["sources", "lists/partial", "cache/archives/partial", "files"]) {
      mkdirSync(path.join(work, part), { recursive: true });
    }
    writeSources(path.join(work, "sources"));
    progress(`fetching Debian's source package ${name}`);
    // One archive among several may have no sources: what counts is whether the package is found.
    const update = await aptGet(work, ["update"]);
    const source = await aptGet(work, ["source", "--download-only", name]);
    const archive = readdirSync(path.join(work, "files")).find((file) => /\.orig\.tar\.\w+$/.test(file));
    if (!source.ok || archive === undefined) {
      const said = update.ok ? source.said : `${ending(update.said)}\n${source.said}`;
      throw new Error(`Debian's source package ${name} could not be fetched: is there a network?\n${ending(said)}`);
    }
    const version = /_(.+)\.orig\./.exec(archive)![1];
    const unpacked = path.join(work, "unpacked");
    mkdirSync(unpacked);
    const args = ["-xf", path.join(work, "files", archive), "-C", unpacked, "--strip-components=1", "--no-same-owner"];
    const tar = await run("tar", args, work);
    if (!tar.ok) throw new Error(`${archive} could not be unpacked: ${tar.said}`);
    // Complete or not there at all: an interrupted run leaves only its .part folder.
    const target = path.join(folder, `${name}_${version}`);
    renameSync(unpacked, target);
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
