/** Debian packages as files: fetched with apt-get and unpacked with dpkg-deb, without installing anything. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { progress } from "../build/task.ts";
import { updatePackageLists } from "../setup.ts";

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

/**
 * The folder in which package `name` is unpacked, below `folder`; fetched only when this version is not there yet.
 * @throws Error with apt-get's own words when it cannot be fetched
 */
export function unpackedPackage(folder: string, name: string): string {
  const version = candidateOf(name);
  if (version === undefined) throw new Error(`apt does not know the package ${name}`);
  const target = path.join(folder, `${name}_${version.replace(/[^\w.+~-]/g, "_")}`);
  if (existsSync(target)) return target;

  const work = `${target}.part`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  progress(`fetching Debian's package ${name} ${version}`);
  const download = spawnSync("apt-get", ["-q", "download", `${name}=${version}`], { cwd: work, encoding: "utf8" });
  const archive = readdirSync(work).find((file) => file.endsWith(".deb"));
  if (download.status !== 0 || archive === undefined) {
    rmSync(work, { recursive: true, force: true });
    const said = `${download.stdout ?? ""}${download.stderr ?? ""}`.trim();
    throw new Error(`${said}\n${name} could not be fetched: is there a network? (apt-get download ${name})`);
  }
  progress(`unpacking ${archive}`);
  execFileSync("dpkg-deb", ["-x", path.join(work, archive), path.join(work, "files")]);
  rmSync(path.join(work, archive));
  // Complete or not there at all: an interrupted run leaves only its .part.
  renameSync(path.join(work, "files"), target);
  rmSync(work, { recursive: true, force: true });
  return target;
}
