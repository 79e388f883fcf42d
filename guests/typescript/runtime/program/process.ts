/** `process`. */
import EventEmitter from "events";
import {
  call,
  clockNs,
  endDomain,
  OPERATION,
  programInfo,
  SHUTDOWN_CRASH,
  SHUTDOWN_POWEROFF,
  word,
} from "../guest/host.ts";
import { commandLine } from "../guest/command-line.ts";
import { errorText, inspect } from "./inspect.ts";
import { print } from "../guest/output.ts";
import { addTick, reportTo } from "../guest/ticks.ts";
import { decodeUtf8 } from "../data/text.ts";

class Process extends EventEmitter {
  readonly title = "typevisor";
  readonly version = "v20.0.0";
  readonly versions = { node: "20.0.0", typevisor: "0.1.0" };
  readonly platform = "typevisor";
  readonly arch = "x64";
  readonly pid = 1;
  readonly execArgv: string[] = [];
  readonly release = { name: "typevisor" };
  argv: string[] = [];
  env: Record<string, string | undefined> = {};
  exitCode: number | undefined;
  readonly stdout = output();
  readonly stderr = output();

  /** The first thing on the machine. */
  open(): void {
    const { options, arguments: words } = commandLine();
    this.argv = ["/typevisor", programInfo.name, ...programInfo.arguments, ...words];
    this.env = { ...programInfo.environment };
    for (const option of options) {
      const [, name, value] = /^env:([^=]+)=(.*)$/.exec(option) ?? [];
      if (name !== undefined) this.env[name] = value;
    }
  }
  cwd(): string {
    return "/";
  }
  uptime(): number {
    return clockNs() / 1e9;
  }
  hrtime = Object.assign(
    (before?: [number, number]): [number, number] => {
      const now = clockNs() - (before === undefined ? 0 : before[0] * 1e9 + before[1]);
      return [Math.floor(now / 1e9), now % 1e9];
    },
    { bigint: (): bigint => BigInt(clockNs()) },
  );
  nextTick(run: (...values: unknown[]) => void, ...values: unknown[]): void {
    addTick(() => run(...values));
  }
  memoryUsage(): { rss: number; heapTotal: number; heapUsed: number; external: number; arrayBuffers: number } {
    call(OPERATION.memory);
    const [all, left] = [word(0) * 4096, word(1) * 4096];
    return { rss: all, heapTotal: all - left, heapUsed: all - left, external: 0, arrayBuffers: 0 };
  }
  emitWarning(warning: string | Error): void {
    print(`(typevisor) ${typeof warning === "string" ? `Warning: ${warning}` : String(warning)}\n`);
  }
  exit(code?: number): never {
    if (code !== undefined) this.exitCode = code;
    try {
      this.emit("exit", this.exitCode ?? 0);
    } catch (error) {
      crash(error);
    }
    const status = this.exitCode ?? 0;
    if (status !== 0) print(`${programInfo.name}: exited with status ${status}\n`);
    return endDomain(status === 0 ? SHUTDOWN_POWEROFF : SHUTDOWN_CRASH);
  }
  abort(): never {
    return endDomain(SHUTDOWN_CRASH);
  }
}

function output() {
  return Object.assign(new EventEmitter(), {
    isTTY: false,
    columns: 80,
    writable: true,
    write: (data: string | Uint8Array): boolean => {
      print(typeof data === "string" ? data : decodeUtf8(data));
      return true;
    },
    end: () => {},
  });
}

/** Ends the domain as crashed, after the error and its stack in the program's own places. */
export function crash(error: unknown): never {
  try {
    print(`Uncaught ${error instanceof Error ? errorText(error) : inspect(error)}\n`);
  } catch (second) {
    print(`Uncaught ${String(error)}, which could not be shown: ${String(second)}\n`);
  }
  return endDomain(SHUTDOWN_CRASH);
}

export const process = new Process();

/** An error that nobody caught: the program's own listeners hear of it, else it ends the domain. */
export function uncaught(error: unknown): void {
  if (process.listenerCount("uncaughtException") === 0) crash(error);
  try {
    process.emit("uncaughtException", error, "uncaughtException");
  } catch (second) {
    crash(second);
  }
}

/** A promise was rejected and has no handler. */
export function unhandled(reason: unknown): void {
  if (process.listenerCount("unhandledRejection") === 0) uncaught(reason);
  else process.emit("unhandledRejection", reason);
}
reportTo(uncaught);
