/**
 * The first thing that runs in a fresh clone: plain JavaScript on Node's own modules only.
 * Installs the npm packages of package-lock.json when they are missing or the lockfile changed, then runs the
 * TypeScript file named by the first argument in this process. Without an argument it only installs.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stampFile = path.join(root, "node_modules", ".typevisor-lock");

/** What the installed packages were made from: the lockfile, and the platform that native packages were chosen for. */
function wantedStamp() {
  const lock = createHash("sha256")
    .update(readFileSync(path.join(root, "package-lock.json")))
    .digest("hex");
  return `${lock} ${process.platform}-${process.arch}`;
}

function installedStamp() {
  return existsSync(stampFile) ? readFileSync(stampFile, "utf8") : "";
}

/** Takes the installation lock; waits while another start in the same clone is installing. */
function lockInstallation() {
  const lock = path.join(root, "build", "npm.lock");
  mkdirSync(path.dirname(lock), { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      return () => rmSync(lock, { force: true });
    } catch {
      const owner = Number(readFileSync(lock, { encoding: "utf8", flag: "a+" }));
      if (!isRunning(owner)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    }
  }
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
    if (installedStamp() === wantedStamp()) return;
    console.error("[typevisor] installing npm packages (compilers, command line, tests: see package.json) ...");
    const started = Date.now();
    const result = spawnSync("npm", ["ci", "--include=dev", "--loglevel=error"], {
      cwd: root,
      stdio: ["ignore", 2, 2],
    });
    if (result.status !== 0) {
      console.error("[typevisor] `npm ci` failed: see its message above; it needs access to an npm registry.");
      process.exit(1);
    }
    writeFileSync(stampFile, wantedStamp());
    console.error(`[typevisor] npm packages installed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  } finally {
    unlock();
  }
}

const major = Number(process.versions.node.split(".")[0]);
if (major < 20) {
  console.error(`[typevisor] Node.js 20 or later is needed; this is ${process.version}.`);
  process.exit(1);
}
if (installedStamp() !== wantedStamp()) installPackages();

const script = process.argv[2];
if (script !== undefined) {
  const { register } = await import("tsx/esm/api");
  register();
  const file = path.resolve(root, script);
  process.argv.splice(1, 2, file);
  await import(pathToFileURL(file).href);
}
