/**
 * A running machine: an emulator process and its serial console, for `npm start`, the tests and the benchmarks.
 * All waits are for text, with a limit and an error that names the text; nothing sleeps for a fixed time.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { emulatorCommand, type MachineOptions } from "./emulators.ts";
import { Transcript } from "./transcript.ts";

/** Typevisor's prompt on its serial console. */
export const PROMPT = "typevisor> ";

/** Lines of output that an error shows. */
const TAIL_LINES = 30;
/** A machine that was asked to end is killed after this time. */
const KILL_AFTER_MS = 3000;

export interface MachineEnd {
  /** The emulator's exit status; null when a signal ended it. */
  status: number | null;
  signal: NodeJS.Signals | null;
}

/** A failed wait: what was expected, why the wait ended, and the last lines of output. */
export class AwaitError extends Error {}

interface MachineEvents {
  output: [string];
  /** The emulator has read all input. */
  taken: [];
  end: [];
}

/** Number of the latest characters of the emulator's own output that are kept. */
const TALK_CHARACTERS = 64 * 1024;

export class Machine extends EventEmitter<MachineEvents> {
  /** Set when the emulator has ended. */
  end: MachineEnd | undefined;
  /** Set when `stop` was called: the emulator's exit status is then meaningless. */
  stopped = false;
  private readonly transcript: Transcript;
  /** The emulator's own output: its standard error, and for Bochs its standard output. */
  private emulatorTalk = "";
  private socket: net.Socket | undefined;
  private readonly unsent: (string | Buffer)[] = [];
  private source: NodeJS.ReadableStream | undefined;
  private readonly removeFolder: () => void;

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly console: "stdio" | "socket",
    keep: number,
  ) {
    super();
    this.transcript = new Transcript(keep);
    this.setMaxListeners(0);
    this.removeFolder = () => {
      if (this.end === undefined) child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    };
    process.once("exit", this.removeFolder);
    const onTalk = (data: Buffer) => {
      this.emulatorTalk = (this.emulatorTalk + data.toString("latin1")).slice(-TALK_CHARACTERS);
    };
    child.stderr?.on("data", onTalk);
    if (console === "stdio") this.listenTo(child.stdout!);
    else child.stdout?.on("data", onTalk);
    child.stdin?.on("error", () => {});
    child.stdin?.on("drain", () => this.emit("taken"));
    child.once("error", (error) => {
      this.emulatorTalk += `${error.message}\n`;
      this.finish({ status: null, signal: null });
    });
    child.once("close", (status, signal) => this.finish({ status, signal }));
  }

  /**
   * Starts a machine. Its temporary files and the emulator go away with `stop`, or with this process.
   * @param keep characters of the latest output that are kept, twice as many for a moment: whoever runs a machine for long
   *     does not keep everything
   */
  static async start(options: MachineOptions, keep = Infinity): Promise<Machine> {
    const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-"));
    const server = net.createServer();
    try {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as net.AddressInfo;
      const command = await emulatorCommand(options, folder, port);
      const socketConsole = command.console === "socket";
      // The kernel ends the emulator even if this process is killed and can do nothing about it.
      const leash = existsSync("/usr/bin/setpriv") ? ["/usr/bin/setpriv", "--pdeathsig", "SIGKILL"] : [];
      const words = [...leash, command.program, ...command.args];
      // A group of its own: a Ctrl-C at the terminal must reach us only.
      const child = spawn(words[0], words.slice(1), {
        stdio: [socketConsole ? "ignore" : "pipe", "pipe", "pipe"],
        detached: true,
      });
      const machine = new Machine(child, folder, command.console, keep);
      if (socketConsole) {
        server.once("connection", (socket) => machine.attach(socket));
        machine.once("end", () => server.close());
      } else {
        server.close();
      }
      return machine;
    } catch (error) {
      server.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** What the console has printed so far, as it came (lines end with CR LF): all of it, or the latest `keep` characters. */
  get output(): string {
    return this.transcript.text;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  private attach(socket: net.Socket): void {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("drain", () => this.emit("taken"));
    this.listenTo(socket);
    for (const text of this.unsent.splice(0)) socket.write(text);
  }

  private listenTo(stream: NodeJS.ReadableStream): void {
    const decoder = new TextDecoder();
    this.source = stream;
    stream.on("data", (data: Buffer) => {
      const text = decoder.decode(data, { stream: true });
      this.transcript.add(text);
      this.emit("output", text);
    });
  }

  /** Stops reading the machine's output: the emulator, and with it the machine, waits when its buffer is full. */
  pauseOutput(): void {
    if (!this.stopped) this.source?.pause();
  }

  resumeOutput(): void {
    this.source?.resume();
  }

  private finish(end: MachineEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.socket?.destroy();
    process.off("exit", this.removeFolder);
    rmSync(this.folder, { recursive: true, force: true });
    this.emit("end");
  }

  /**
   * Whether the machine switched itself off properly. QEMU tells by its status (3 after a panic); Bochs calls every end a
   * failure, the wanted ones too: there it is "no other failure than the shutdown".
   */
  endedWell(): boolean {
    if (this.end === undefined || this.stopped) return false;
    if (this.console === "stdio") return this.end.status === 0;
    const panics = this.emulatorTalk.split("\n").filter((line) => line.includes(">>PANIC<<"));
    return panics.every((line) => line.includes("shutdown requested"));
  }

  /** Types `text` on the console; false when the emulator has not taken what was typed before: see "taken". */
  send(text: string | Buffer): boolean {
    if (this.end !== undefined) return true;
    if (this.console === "stdio") return this.child.stdin?.write(text) ?? true;
    if (this.socket !== undefined) return this.socket.write(text);
    this.unsent.push(text);
    return true;
  }

  /**
   * Waits until the console prints what matches, beyond what the latest `waitFor` matched.
   * @param wanted text or pattern
   * @param what says in an error what was awaited, where the pattern itself would not
   * @returns the match; `before` is what was printed between the latest match and this one
   * @throws AwaitError when `timeoutMs` is over or the machine ends first
   */
  async waitFor(
    wanted: string | RegExp,
    timeoutMs: number,
    what: string = typeof wanted === "string" ? JSON.stringify(wanted) : String(wanted),
  ): Promise<{ match: RegExpExecArray; before: string }> {
    const pattern = typeof wanted === "string" ? new RegExp(escape(wanted)) : wanted;
    const started = Date.now();
    for (;;) {
      const { rest } = this.transcript;
      const match = pattern.exec(rest);
      if (match !== null) {
        const before = rest.slice(0, match.index);
        this.transcript.position += match.index + match[0].length;
        return { match, before };
      }
      const left = started + timeoutMs - Date.now();
      if (this.end !== undefined) throw new AwaitError(`${this.describeEnd()} while waiting for ${what}${this.tail()}`);
      if (left <= 0)
        throw new AwaitError(`gave up after ${timeoutMs / 1000} s while waiting for ${what}${this.tail()}`);
      await this.somethingHappens(left);
    }
  }

  /**
   * Types a line at the prompt, waits for the next prompt; returns what was printed in between. The editor may draw a line
   * several times while it is typed, and shows only a part of a long one; what ends it is the line feed.
   */
  async command(line: string, timeoutMs: number): Promise<string> {
    this.send(`${line}\r`);
    const { before } = await this.waitFor(`\n${PROMPT}`, timeoutMs, `the prompt after: ${line}`);
    const echoEnd = before.indexOf("\n");
    return echoEnd < 0 ? "" : plainText(before.slice(echoEnd + 1));
  }

  /**
   * Creates a guest and returns its id: the last line that `create` prints, behind one a second on its progress where this
   * computer is slow or the guest large.
   *
   * @param options of `create`, without `--wait`
   */
  async createDomain(options: string, timeoutMs: number): Promise<string> {
    const printed = await this.command(`create ${options}`, timeoutMs);
    const id = /^(\d+)\s*$/m.exec(printed)?.[1];
    if (id === undefined) throw new Error(`create ${options}: no domain was created:\n${printed}`);
    return id;
  }

  /** Waits for the emulator's end. */
  async waitForEnd(timeoutMs: number): Promise<MachineEnd> {
    const started = Date.now();
    while (this.end === undefined) {
      const left = started + timeoutMs - Date.now();
      if (left <= 0)
        throw new AwaitError(`gave up after ${timeoutMs / 1000} s while waiting for the machine's end${this.tail()}`);
      await this.somethingHappens(left);
    }
    return this.end;
  }

  private somethingHappens(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.off("output", done);
        this.off("end", done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.once("output", done);
      this.once("end", done);
    });
  }

  /** Ends the emulator if it is still running, and waits until it has exited. */
  async stop(): Promise<void> {
    if (this.end !== undefined) return;
    this.stopped = true;
    // A child is gone once its output was read.
    this.resumeOutput();
    const gone = once(this, "end");
    this.child.kill("SIGTERM");
    const killer = setTimeout(() => this.child.kill("SIGKILL"), KILL_AFTER_MS);
    await gone;
    clearTimeout(killer);
  }

  /** A description of how the emulator ended. */
  describeEnd(): string {
    if (this.end === undefined) return "the machine runs";
    const { status, signal } = this.end;
    return `the machine ended (${signal !== null ? `signal ${signal}` : `status ${status ?? "unknown"}`})`;
  }

  /** The last lines of the console and the emulator's own output, for an error message. */
  tail(): string {
    const lines = plainText(this.output).trimEnd().split("\n").slice(-TAIL_LINES);
    const console =
      this.output.trim() === "" ? "; the console printed nothing" : `; the last lines were:\n${lines.join("\n")}`;
    const talk = withoutChatter(this.emulatorTalk).split("\n").slice(-TAIL_LINES).join("\n");
    return talk === "" ? console : `${console}\nthe emulator said:\n${talk}`;
  }
}

/** Console output without carriage returns and terminal control sequences (firmware and GRUB send them). */
export function plainText(output: string): string {
  return output.replace(/\r|\x1b\[[0-9;?=]*[A-Za-z]/g, "");
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** What Bochs prints at every start: its plugins, its banner, its debugger's prompt. */
const BOCHS_CHATTER = /^\d+i\[|^=+$|^ +(Bochs x86|Built from|Timestamp)|^Next at t=|^\(0\)|^Bochs is exiting/;

/** The emulator's own output without its usual messages. */
function withoutChatter(talk: string): string {
  const lines = talk.trim().split("\n");
  return lines.filter((line) => !BOCHS_CHATTER.test(line)).join("\n");
}
