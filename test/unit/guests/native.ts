/** Guests compiled as processes of this computer (guests/host/), and one of them running. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { buildLibrary } from "../../../scripts/build/archive.ts";
import { GUEST_FLAGS } from "../../../scripts/build/guests.ts";
import { withBuildLock } from "../../../scripts/build/lock.ts";
import { buildLwip, findLwip, lwipIncludes } from "../../../scripts/build/lwip.ts";
import { filesBeneath, runStep, runTool } from "../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../scripts/paths.ts";

const guests = fromRoot("guests");
const library = path.join(guests, "lib");
const host = path.join(guests, "host");
const folder = path.join(buildFolder, "host");

/** Undefined behaviour of a guest's code ends the process. */
const SANITIZE = ["-g", "-fsanitize=undefined", "-fno-sanitize-recover=all"];
/** What stands in for the hypervisor is ordinary code. */
const NOT_HOST = new Set(["-ffreestanding", "-mgeneral-regs-only", "-mno-red-zone"]);
const HOST_FLAGS = [...GUEST_FLAGS.filter((flag) => !NOT_HOST.has(flag)), "-g", "-Wno-format-truncation"];

/** Files of the library that another takes the place of. */
const REPLACED = /^(start|traps|events|clock|smp|survive|odd-instructions)\./;

function sources(entry: string): string[] {
  return filesBeneath(entry).filter((file) => /\.[cS]$/.test(file));
}

function libraryOf(name: string, files: string[], flags: string[], inputs: string[] = [library]): Promise<string> {
  return buildLibrary({ name, title: `compiled ${name}`, inputs: () => inputs, sources: files, flags });
}

type Built = { program: string } | { missing: string };
const built = new Map<string, Promise<Built>>();

/** Builds a guest; its program, or why lwIP cannot be had. */
export function buildNative(name: string): Promise<Built> {
  let result = built.get(name);
  if (result === undefined) built.set(name, (result = build(name)));
  return result;
}

async function build(name: string): Promise<Built> {
  const lwip = await findLwip();
  if ("missing" in lwip) return lwip;
  return withBuildLock(async () => {
    const flags = [...GUEST_FLAGS, ...lwipIncludes(lwip.folder)];
    const base = sources(library).filter(
      (file) =>
        !REPLACED.test(path.basename(file)) &&
        !["net", "engine"].some((part) => file.startsWith(path.join(library, part))),
    );
    const archives = [
      await libraryOf("hostnet", sources(path.join(library, "net")), [...flags, ...SANITIZE]),
      await buildLwip(lwip.folder, "lwip", GUEST_FLAGS),
      await libraryOf("hostguest", base, [...GUEST_FLAGS, ...SANITIZE]),
      await libraryOf("host", sources(host), HOST_FLAGS, [library, host]),
    ];
    mkdirSync(folder, { recursive: true });
    const program = path.join(folder, name);
    const own = existsSync(path.join(guests, name)) ? path.join(guests, name) : path.join(guests, `${name}.c`);
    await runStep({
      name: `host-${name}`,
      title: `compiled guest ${name} for this computer`,
      inputs: () => [own, library, ...archives],
      key: flags.join(" "),
      outputs: [program],
      run: async () => {
        // The guest's RAM is at 1.5 GiB (guests/host/start.c), its image a page of it.
        const places = ["-Wl,--defsym=image_start=0x60000000", "-Wl,--defsym=image_end=0x60001000", "-no-pie"];
        const group = ["-Wl,--start-group", ...archives, "-Wl,--end-group"];
        const args = [...flags, ...SANITIZE, ...places, "-Wl,--gc-sections", ...sources(own), ...group, "-o", program];
        await runTool("gcc", args);
      },
    });
    return { program };
  });
}

/** Kinds of messages, and their header: guests/host/host.h. */
const HEADER_BYTES = 8;
const Kind = { Frame: 1, Sysctl: 4, CloseNet: 5, Lie: 6 };
export const Lie = { Id: 1, Range: 2, Status: 3, Twice: 4, Chain: 5, Index: 6, Extra: 7, TxId: 8 };
export const Sysctl = { Poweroff: 1, Reboot: 2, Suspend: 4 };

export interface Frame {
  bytes: Buffer;
  /** NETTXF_* of a frame from the guest, NETRXF_* of one to it. */
  flags: number;
  gsoSize: number;
}

/** A running guest. */
export class NativeGuest {
  /** What it has printed so far. */
  console = "";
  /** Called for each frame that it sends. */
  onFrame: (frame: Frame) => void = () => {};
  /** Exit status; a signal's name if one ended it. */
  readonly ended: Promise<number | string>;
  private readonly process: ChildProcess;
  private input = Buffer.alloc(0);
  private waiting: { pattern: RegExp; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(program: string, commandLine: string, args: string[]) {
    this.process = spawn(program, [commandLine, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    this.process.stdin!.on("error", () => {}); // it has ended: that is told by `ended`
    this.process.stdout!.on("data", (bytes: Buffer) => this.take(bytes));
    this.process.stderr!.on("data", (bytes: Buffer) => {
      this.console += bytes.toString("latin1");
      this.wake();
    });
    this.ended = new Promise((resolve) => {
      this.process.on("close", (code, signal) => {
        for (const { pattern, reject } of this.waiting) {
          reject(new Error(`the guest ended before it printed ${pattern}; it printed:\n${this.console}`));
        }
        resolve(code ?? signal ?? -1);
      });
    });
  }

  private take(bytes: Buffer): void {
    this.input = Buffer.concat([this.input, bytes]);
    for (;;) {
      if (this.input.length < HEADER_BYTES) return;
      const end = HEADER_BYTES + this.input.readUInt32LE(0);
      if (this.input.length < end) return;
      const frame = {
        bytes: Buffer.from(this.input.subarray(HEADER_BYTES, end)),
        flags: this.input[5],
        gsoSize: this.input.readUInt16LE(6),
      };
      this.input = this.input.subarray(end);
      this.onFrame(frame);
    }
  }

  private wake(): void {
    this.waiting = this.waiting.filter(({ pattern, resolve }) => {
      if (!pattern.test(this.console)) return true;
      resolve();
      return false;
    });
  }

  /** Waits until what it has printed matches. */
  printed(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ pattern, resolve, reject });
      this.wake();
    });
  }

  private send(kind: number, flags: number = 0, size: number = 0, bytes: Uint8Array = Buffer.alloc(0)): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(bytes.length, 0);
    header[4] = kind;
    header[5] = flags;
    header.writeUInt16LE(size, 6);
    this.process.stdin!.write(Buffer.concat([header, bytes]));
  }

  sendFrame(bytes: Uint8Array, flags: number = 0, gsoSize: number = 0): void {
    this.send(Kind.Frame, flags, gsoSize, bytes);
  }

  sysctl(bits: number): void {
    this.send(Kind.Sysctl, bits);
  }

  closeNetwork(): void {
    this.send(Kind.CloseNet);
  }

  /** The network backend writes something wrong into its ring, in place of a frame. */
  lie(what: number): void {
    this.send(Kind.Lie, what);
  }

  stop(): Promise<number | string> {
    this.process.kill("SIGKILL");
    return this.ended;
  }
}
