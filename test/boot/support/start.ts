/** `npm start` as a user runs it: a process with options, its output, its exit status, and the emulator below it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import type { ExecutionContext } from "ava";
import { plainText } from "../../../scripts/machine.ts";
import { fromRoot, root } from "../../../scripts/paths.ts";

/** Ids of the processes below `pid`, as /proc tells. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      // The parent's id is the second field behind the name in brackets (proc(5)).
      const fields = readFileSync(`/proc/${name}/stat`, "latin1").split(") ").at(-1)!.split(" ");
      parents.set(Number(name), Number(fields[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const below = [...parents].filter(([, parent]) => parent === pid).map(([child]) => child);
  return below.flatMap((child) => [child, ...descendants(child)]);
}

export function isRunning(pid: number): boolean {
  try {
    // A zombie has ended: only its parent's wait is missing.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** The words of `npm start -- ARGS`, without npm around them. */
function startWords(args: string[]): string[] {
  return [process.execPath, fromRoot("scripts/bootstrap.mjs"), fromRoot("scripts/start.ts"), ...args];
}

/** How a command is run other than in the repository. */
export interface Place {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/** A running `npm start`, or another command. Gone when the test is over, however it ends. */
export class Start {
  output = "";
  private readonly closed: Promise<unknown>;
  /** Called at the next output, or at the end. */
  private wake: () => void = () => {};

  private constructor(readonly child: ChildProcess) {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
        this.wake();
      });
    }
    child.stdin!.on("error", () => {});
    this.closed = once(child, "close").then(() => this.wake());
  }

  /** @param terminal on a terminal of its own (a pty, through script(1)), where Ctrl-C is a byte that is typed */
  static run(t: ExecutionContext, args: string[], terminal = false): Start {
    return Start.command(t, startWords(args), terminal);
  }

  /** Any command, as `run`. */
  static command(t: ExecutionContext, words: string[], terminal: boolean, { cwd = root, env }: Place = {}): Start {
    const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    const [program, ...rest] = terminal ? ["script", "-qfec", quoted, "/dev/null"] : words;
    const start = new Start(spawn(program!, rest, { cwd, env, stdio: ["pipe", "pipe", "pipe"] }));
    t.teardown(async () => {
      if (start.child.exitCode === null && start.child.signalCode === null) start.child.kill("SIGTERM");
      await start.closed;
    });
    return start;
  }

  /** Output without carriage returns and control sequences. */
  get text(): string {
    return plainText(this.output);
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Waits until the output matches. */
  async waitFor(wanted: RegExp, timeoutMs: number): Promise<void> {
    const limit = Date.now() + timeoutMs;
    while (!wanted.test(this.text)) {
      if (this.child.exitCode !== null) throw new Error(`it ended while waiting for ${wanted}:\n${this.text}`);
      if (Date.now() > limit) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${wanted}:\n${this.text}`);
      await this.change(limit - Date.now());
    }
  }

  /** Waits for more output, the end, or so many milliseconds. */
  async change(timeoutMs: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    await Promise.race([woken, delay(timeoutMs)]);
  }

  /** Waits for the end; the exit status. */
  async end(timeoutMs: number): Promise<number | null> {
    const inTime = await Promise.race([this.closed.then(() => true), delay(timeoutMs).then(() => false)]);
    if (!inTime) throw new Error(`still running after ${timeoutMs / 1000} s:\n${this.text}`);
    return this.child.exitCode;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
