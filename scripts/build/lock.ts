/** Locks between processes; one build at a time in one clone: a second `npm start` or test run waits for the first one's build. */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { buildFolder } from "../paths.ts";
import { BuildError, progress } from "./task.ts";

const POLL_MS = 200;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Process id in the lock file; 0 when it has none, undefined when there is no file any more. */
function owner(file: string): number | undefined {
  try {
    const text = readFileSync(file, "utf8").trim();
    return /^[1-9][0-9]*$/.test(text) ? Number(text) : 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Takes the lock; false if it is taken. The file is created together with its content: an empty one is stale.
 * @throws the file system's error when no file can be made there
 */
function tryLock(file: string): boolean {
  const own = `${file}.${process.pid}`;
  try {
    writeFileSync(own, String(process.pid));
    linkSync(own, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

/**
 * Takes a lock. One left by a process that no longer exists, or an empty one, is taken over.
 * @returns null, or the process that has it
 */
export function takeLock(file: string): number | null {
  for (;;) {
    if (tryLock(file)) return null;
    const pid = owner(file);
    if (pid === undefined) continue;
    if (pid > 0 && isRunning(pid)) return pid;
    rmSync(file, { force: true });
  }
}

export function giveLock(file: string): void {
  rmSync(file, { force: true });
}

/**
 * Runs `work` while holding the build lock. A lock left by a process that no longer exists, or an empty one, is taken over.
 * @throws BuildError when nothing can be written where the lock is to be
 */
export async function withBuildLock<T>(
  work: () => Promise<T>,
  file: string = path.join(buildFolder, "build.lock"),
): Promise<T> {
  let told = false;
  for (;;) {
    let pid: number | null;
    try {
      mkdirSync(path.dirname(file), { recursive: true });
      pid = takeLock(file);
    } catch (error) {
      throw new BuildError(`the build cannot write into ${path.dirname(file)}: ${(error as Error).message}`);
    }
    if (pid === null) break;
    if (!told) progress(`waiting for the build of process ${pid} (its lock: ${file}) ...`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  try {
    return await work();
  } finally {
    giveLock(file);
  }
}
