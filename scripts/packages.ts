/** Debian packages as files: fetched with apt-get and unpacked with dpkg-deb, without installing anything. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { progress } from "./build/task.ts";
import { keptFolder } from "./paths.ts";
import { updatePackageLists } from "./setup.ts";

/** Where packages are unpacked. */
const FOLDER = path.join(keptFolder, "packages");

function aptCache(args: string[]): string {
  try {
    // Its messages are matched in English.
    const env = { ...process.env, LC_ALL: "C" };
    return execFileSync("apt-cache", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], env });
  } catch {
    return "";
  }
}

/** What a package that only depends on others depends on, by a pattern; undefined when apt does not know it. */
export function dependencyOf(name: string, wanted: RegExp): string | undefined {
  const lines = aptCache(["depends", "--no-recommends", "--no-suggests", name]).split("\n");
  return lines.map((line) => /^\s*Depends: (\S+)$/.exec(line)?.[1]).find((found) => found && wanted.test(found));
}

const DEPENDS_ONLY = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
  (no) => `--no-${no}`,
);

/**
 * What `names`, and everything they depend on, depend on directly: of alternatives all, of virtual packages (which others
 * provide) none. apt is asked twice in all, however many packages that are.
 */
export function dependencyTree(names: string[]): Map<string, string[]> {
  if (names.length === 0) return new Map();
  for (const name of names) preparePackages(name);
  const tree = new Map<string, string[]>();
  let dependencies: string[] = [];
  const versions = names.map((name) => `${name}=${candidateOf(name)}`);
  for (const line of aptCache(["depends", "--recurse", ...DEPENDS_ONLY, ...versions]).split("\n")) {
    if (/^[a-z0-9]/.test(line)) tree.set(line, (dependencies = []));
    const dependency = /^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]*)$/.exec(line)?.[1];
    if (dependency !== undefined && !dependencies.includes(dependency)) dependencies.push(dependency);
  }
  learnCandidates([...tree.keys()]);
  return tree;
}

/** Versions that apt would fetch, as far as it was asked: it takes a third of a second to say. */
const candidates = new Map<string, string | undefined>();

/**
 * What `apt-cache policy` says of packages: the version that apt would install, or, where that is an installed one that no
 * archive has (any more), the latest that one has.
 */
export function versionsToFetch(policy: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const part of policy.split(/^(?=\S+:$)/m)) {
    const name = /^(\S+):$/m.exec(part)?.[1];
    const candidate = /^ {2}Candidate: (\S+)$/m.exec(part)?.[1];
    if (name === undefined || candidate === undefined) continue;
    // Each version, and below it where it is: a URL, or what dpkg has installed.
    const table = [...part.matchAll(/^ (?: {4}|\*\*\* )(\S+)(?: \d+)?\n((?: {8}.*\n?)*)/gm)];
    const remote = table.filter(([, , places]) => /^ +-?\d+ [a-z]+:/m.test(places!)).map(([, version]) => version!);
    const version = remote.includes(candidate) ? candidate : remote[0];
    if (version !== undefined) found.set(name, version);
  }
  return found;
}

function learnCandidates(names: string[]): void {
  const found = versionsToFetch(aptCache(["policy", ...names]));
  for (const name of names) candidates.set(name, found.get(name));
}

/** The version that apt would fetch; undefined when it knows none. */
export function candidateOf(name: string): string | undefined {
  if (!candidates.has(name)) learnCandidates([name]);
  return candidates.get(name);
}

/** Fetches apt's package lists; what was known by the old ones is forgotten. */
function updateLists(): boolean {
  candidates.clear();
  return updatePackageLists();
}

/** Makes sure of apt-get, dpkg-deb, and of package lists in which `name` is. */
export function preparePackages(name: string): void {
  for (const tool of ["apt-get", "apt-cache", "dpkg-deb"]) {
    if (!existsSync(`/usr/bin/${tool}`)) throw new Error(`${tool} is missing: Debian's packages are fetched with it`);
  }
  if (candidateOf(name) !== undefined) return;
  progress(`apt does not know ${name}: updating the package lists`);
  if (!updateLists() || candidateOf(name) === undefined) {
    throw new Error(
      `apt does not know the package ${name}: is there a network, and is this Debian? (apt-get update, apt-cache policy ${name})`,
    );
  }
}

/** Fetches a version of a package into a folder; its file's name, or apt-get's words. */
function download(folder: string, name: string, version: string): { archive: string } | { said: string } {
  progress(`fetching Debian's package ${name} ${version}`);
  const run = spawnSync("apt-get", ["-q", "download", `${name}=${version}`], { cwd: folder, encoding: "utf8" });
  const archive = readdirSync(folder).find((file) => file.endsWith(".deb"));
  return run.status === 0 && archive !== undefined ? { archive } : { said: `${run.stdout ?? ""}${run.stderr ?? ""}` };
}

/**
 * The folder in which package `name` is unpacked, below the folder `packages` of what is kept; fetched only when this version is not there yet.
 * @throws Error with apt-get's own words when it cannot be fetched
 */
export function unpackedPackage(name: string): string {
  preparePackages(name);
  const folderOf = (version: string) => path.join(FOLDER, `${name}_${version.replace(/[^\w.+~-]/g, "_")}`);
  let version = candidateOf(name)!;
  if (existsSync(folderOf(version))) return folderOf(version);

  // A folder of this run's own: tests fetch packages at the same time.
  mkdirSync(FOLDER, { recursive: true });
  const work = mkdtempSync(path.join(FOLDER, `${name}.part-`));
  let found = download(work, name, version);
  // Package lists grow old: the version they name may be gone.
  if ("said" in found && updateLists()) {
    version = candidateOf(name) ?? version;
    found = download(work, name, version);
  }
  if ("said" in found) {
    rmSync(work, { recursive: true, force: true });
    throw new Error(
      `${found.said.trim()}\n${name} could not be fetched: is there a network? (apt-get download ${name})`,
    );
  }
  progress(`unpacking ${found.archive}`);
  execFileSync("dpkg-deb", ["-x", path.join(work, found.archive), path.join(work, "files")]);
  // Complete or not there at all: an interrupted run leaves only its .part.
  const target = folderOf(version);
  try {
    renameSync(path.join(work, "files"), target);
  } catch (error) {
    if (!existsSync(target)) throw error; // another run was first
  }
  rmSync(work, { recursive: true, force: true });
  return target;
}
