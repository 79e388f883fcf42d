/**
 * The first thing that runs in a fresh clone: plain JavaScript on Node's own modules only.
 * Installs the npm packages of package-lock.json when they are missing or the lockfile changed, then runs the
 * TypeScript file named by the first argument in this process. Without an argument it only installs.
 */
import { spawnSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Entries of a lockfile by folder ("node_modules/x"), without the project's own; none if there is no such file. */
function lockedPackages(file) {
  if (!existsSync(file)) return [];
  const { packages } = JSON.parse(readFileSync(file, "utf8"));
  return Object.entries(packages).filter(([folder]) => folder !== "");
}

/**
 * Whether node_modules holds what package-lock.json asks for: npm leaves a lockfile of what it installed there. Optional
 * packages may be absent: they are for other platforms.
 */
function isInstalled() {
  const installed = new Map(lockedPackages(path.join(root, "node_modules", ".package-lock.json")));
  const wanted = lockedPackages(path.join(root, "package-lock.json"));
  return wanted.every(([folder, { version, integrity, optional }]) => {
    const found = installed.get(folder);
    return found === undefined ? optional === true : found.version === version && found.integrity === integrity;
  });
}

/** Takes the installation lock; waits while another start in the same clone is installing. An empty lock file is stale. */
function lockInstallation() {
  const lock = path.join(root, "build", "npm.lock");
  const own = `${lock}.${process.pid}`;
  for (;;) {
    try {
      mkdirSync(path.dirname(lock), { recursive: true });
      writeFileSync(own, String(process.pid));
      linkSync(own, lock);
      return () => rmSync(lock, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") fail(`nothing can be written into ${path.dirname(lock)}: ${error.message}`);
      const owner = existsSync(lock) ? Number(readFileSync(lock, "utf8")) : 0;
      if (!isRunning(owner)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    } finally {
      rmSync(own, { force: true });
    }
  }
}

function fail(text) {
  process.stderr.write(`[typevisor] ${text}\n`);
  process.exit(1);
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return pid > 0;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function installPackages() {
  const unlock = lockInstallation();
  try {
    if (isInstalled()) return;
    console.error("[typevisor] installing npm packages (compilers, command line, tests: see package.json) ...");
    const started = Date.now();
    // No package here needs its install script; none is run. (Not in .npmrc: `npm pack` would not run ours either.)
    const result = spawnSync("npm", ["ci", "--include=dev", "--ignore-scripts", "--loglevel=error"], {
      cwd: root,
      stdio: ["ignore", 2, 2],
    });
    if (result.status !== 0) {
      console.error("[typevisor] `npm ci` failed: see its message above; it needs access to an npm registry.");
      process.exit(1);
    }
    console.error(`[typevisor] npm packages installed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  } finally {
    unlock();
  }
}

/** Puts our own commands where `npx` looks first: npm links those of installed packages only. */
function linkCommands() {
  const { bin } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
  for (const [name, file] of Object.entries(bin)) {
    const link = path.join(root, "node_modules", ".bin", name);
    if (existsSync(link)) continue;
    rmSync(link, { force: true });
    try {
      symlinkSync(path.relative(path.dirname(link), path.join(root, file)), link);
    } catch (error) {
      // Another start in the same clone was faster.
      if (error.code !== "EEXIST") throw error;
    }
  }
}

const major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  console.error(`[typevisor] Node.js 20 or later is needed; this is ${process.version}.`);
  process.exit(1);
}
if (!isInstalled()) installPackages();
linkCommands();

const script = process.argv[2];
if (script !== undefined) {
  const { register } = await import("tsx/esm/api");
  register();
  const file = path.resolve(root, script);
  process.argv.splice(1, 2, file);
  await import(pathToFileURL(file).href);
}
