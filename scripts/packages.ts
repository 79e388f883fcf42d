/** Debian packages as files: fetched with apt-get and unpacked with dpkg-deb, without installing anything. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { progress } from "./build/task.ts";
import { buildFolder } from "./paths.ts";
import { updatePackageLists } from "./setup.ts";

/** Where packages are unpacked. */
const FOLDER = path.join(buildFolder, "packages");

function aptCache(args: string[]): string {
  try {
    return execFileSync("apt-cache", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return "";
  }
}

/** What a package that only depends on others depends on, by a pattern; undefined when apt does not know it. */
export function dependencyOf(name: string, wanted: RegExp): string | undefined {
  const lines = aptCache(["depends", "--no-recommends", "--no-suggests", name]).split("\n");
  return lines.map((line) => /^\s*Depends: (\S+)$/.exec(line)?.[1]).find((found) => found && wanted.test(found));
}

/** The version that apt would install; undefined when it knows none. */
export function candidateOf(name: string): string | undefined {
  const version = /^\s*Candidate: (\S+)$/m.exec(aptCache(["policy", name]))?.[1];
  return version === "(none)" ? undefined : version;
}

/** Makes sure of apt-get, dpkg-deb, and of package lists in which `name` is. */
export function preparePackages(name: string): void {
  for (const tool of ["apt-get", "apt-cache", "dpkg-deb"]) {
    if (!existsSync(`/usr/bin/${tool}`)) throw new Error(`${tool} is missing: Debian's packages are fetched with it`);
  }
  if (candidateOf(name) !== undefined) return;
  progress(`apt does not know ${name}: updating the package lists`);
  if (!updatePackageLists() || candidateOf(name) === undefined) {
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
 * The folder in which package `name` is unpacked, below build/packages/; fetched only when this version is not there yet.
 * @throws Error with apt-get's own words when it cannot be fetched
 */
export function unpackedPackage(name: string): string {
  preparePackages(name);
  const folderOf = (version: string) => path.join(FOLDER, `${name}_${version.replace(/[^\w.+~-]/g, "_")}`);
  let version = candidateOf(name)!;
  if (existsSync(folderOf(version))) return folderOf(version);

  const work = path.join(FOLDER, `${name}.part`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  let found = download(work, name, version);
  // Package lists grow old: the version they name may be gone.
  if ("said" in found && updatePackageLists()) {
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
  if (!existsSync(target)) renameSync(path.join(work, "files"), target);
  rmSync(work, { recursive: true, force: true });
  return target;
}
