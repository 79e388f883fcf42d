/** One build at a time in one clone: a second `npm start` or test run waits for the first one's build. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { buildFolder } from "../paths.ts";
import { progress } from "./task.ts";

const lockFile = path.join(buildFolder, "build.lock");
const POLL_MS = 200;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid > 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Process id in the lock file; 0 when there is none. */
function owner(): number {
  try {
    return Number(readFileSync(lockFile, "utf8"));
  } catch {
    return 0;
  }
}

function tryLock(): boolean {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: "wx" });
    return true;
  } catch {
    return false;
  }
}

/** Runs `work` while holding the build lock. A lock left by a process that is gone is taken over. */
export async function withBuildLock<T>(work: () => Promise<T>): Promise<T> {
  mkdirSync(buildFolder, { recursive: true });
  let told = false;
  while (!tryLock()) {
    const pid = owner();
    if (pid !== 0 && !isRunning(pid)) rmSync(lockFile, { force: true });
    else if (!told) {
      progress(`waiting for the build of process ${pid} ...`);
      told = true;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}
