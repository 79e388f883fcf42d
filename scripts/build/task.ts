/**
 * Incremental build steps. A step runs again when the contents of its inputs, or its key (flags, tool versions),
 * differ from those of its latest success, or when an output is missing. File times are not used.
 */
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { buildFolder, root } from "../paths.ts";

export interface Step {
  /** Short unique name, also the name of its state file. */
  name: string;
  /** What it does, for the progress line: "compile the engine". */
  title: string;
  /** Files and folders (all files beneath them) whose contents it depends on; asked again after a run. */
  inputs: () => string[];
  /** Everything else it depends on. */
  key: string;
  outputs: string[];
  /** Waits for its turn among the compilers. */
  heavy?: boolean;
  run: () => Promise<void> | void;
}

/** A failed tool: its message is the tool's own output. */
export class BuildError extends Error {}

/** Runs `work`; a BuildError is shown as its message alone and ends the process with status 1. */
export async function orExplain(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`${error.message}\n`);
    progress("the build failed");
    process.exit(1);
  }
}

/** Runs at most `width` functions at a time. */
export class Lane {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(width: number) {
    this.free = width;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free -= 1;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free += 1;
      else next();
    }
  }
}

/** Compilers run two at a time: the build is made for machines with two cores and little memory. */
export const compilers = new Lane(2);

const stateFolder = path.join(buildFolder, ".state");

/** Files beneath `entry` in a fixed order, or `entry` itself when it is a file. A missing entry is an empty list. */
export function filesBeneath(entry: string): string[] {
  if (!existsSync(entry)) return [];
  if (!statSync(entry).isDirectory()) return [entry];
  return readdirSync(entry)
    .sort()
    .flatMap((name) => filesBeneath(path.join(entry, name)));
}

function fingerprint(step: Step): string {
  const hash = createHash("sha256").update(step.key);
  for (const entry of step.inputs()) {
    const files = filesBeneath(entry);
    if (files.length === 0) hash.update(`missing ${entry}\0`);
    for (const file of files) {
      hash
        .update(`${path.relative(root, file)}\0`)
        .update(readFileSync(file))
        .update("\0");
    }
  }
  return hash.digest("hex");
}

/** How many steps ran since the process started. */
let stepsRun = 0;
export function countStepsRun(): number {
  return stepsRun;
}

/** One line on standard error, so that standard output stays the machine's own. */
export function progress(text: string): void {
  process.stderr.write(`[typevisor] ${text}\n`);
}

/** Runs `step` if anything it depends on changed. Returns whether it ran. */
export async function runStep(step: Step): Promise<boolean> {
  const stateFile = path.join(stateFolder, `${step.name}.txt`);
  const before = fingerprint(step);
  const upToDate =
    step.outputs.every((output) => existsSync(output)) &&
    existsSync(stateFile) &&
    readFileSync(stateFile, "utf8") === before;
  if (upToDate) return false;

  rmSync(stateFile, { force: true });
  for (const output of step.outputs) mkdirSync(path.dirname(output), { recursive: true });
  let started = Date.now();
  if (step.heavy) {
    await compilers.run(async () => {
      started = Date.now();
      await step.run();
    });
  } else {
    await step.run();
  }
  stepsRun += 1;
  mkdirSync(stateFolder, { recursive: true });
  writeFileSync(stateFile, fingerprint(step));
  progress(`${step.title} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  return true;
}

/**
 * Runs a tool in the repository's root; returns its standard output. A failure carries everything it printed.
 * @param quiet for tools that talk on standard error even when all is well
 */
export function runTool(command: string, args: string[], quiet: boolean = false): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd: root, maxBuffer: 256 << 20 }, (error, stdout, stderr) => {
      if (error === null) {
        if (stderr !== "" && !quiet) process.stderr.write(stderr);
        resolve(stdout);
        return;
      }
      const line = [command, ...args].map((word) => word.replace(`${root}/`, "")).join(" ");
      reject(new BuildError(`${stdout}${stderr}\n${line}\nfailed: ${error.code ?? error.message}`));
    });
  });
}

/** Writes `text` unless the file already has this content, so that its dependents stay up to date. */
export function writeIfChanged(file: string, text: string | Uint8Array): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const wanted = Buffer.from(text);
  if (existsSync(file) && readFileSync(file).equals(wanted)) return;
  // Written atomically: another process may be reading it.
  const part = `${file}.${randomUUID()}.part`;
  writeFileSync(part, wanted);
  renameSync(part, file);
}
