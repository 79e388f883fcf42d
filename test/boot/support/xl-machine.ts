/**
 * A machine in QEMU that this computer's `xl` reaches, for programs of others that run `xl`: a folder with that command alone, to be put
 * before their PATH, as `npx` and an installed package do it.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { ExecutionContext } from "ava";
import type { Machine } from "../../../scripts/machine.ts";
import { fromRoot, guestsFolder } from "../../../scripts/paths.ts";
import { startControlled } from "./control.ts";

/** A program that drives xl many times, waiting for a second in between, on a busy computer. */
const PROGRAM_MS = 480_000;

export interface Said {
  /** The exit status; of a program that was ended by a signal or by its time limit: -1. */
  status: number;
  out: string;
  err: string;
}

export class XlMachine {
  private constructor(
    readonly machine: Machine,
    /** For files of the test; it goes with the test. */
    readonly folder: string,
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** Boots a machine that the end of the test stops, with domain 0 at its address. */
  static async start(t: ExecutionContext): Promise<XlMachine> {
    const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-xl-"));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    // Where its key and its address are written; no other machine is there.
    process.env.XDG_RUNTIME_DIR = folder;
    const bin = path.join(folder, "bin");
    mkdirSync(bin);
    symlinkSync(fromRoot("toolstack/cli/xl.mjs"), path.join(bin, "xl"));
    const { machine } = await startControlled(t);
    const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}`, LC_ALL: "C.UTF-8" };
    return new XlMachine(machine, folder, environment);
  }

  /** Runs a program until it ends. */
  run(program: string, words: string[], more: NodeJS.ProcessEnv = {}): Promise<Said> {
    return new Promise((resolve) => {
      const options = { env: { ...this.environment, ...more }, timeout: PROGRAM_MS, encoding: "utf8" as const };
      const child = execFile(program, words, options, (error, out, err) => {
        const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ status, out, err: status === -1 ? `${err}${String(error)}` : err });
      });
      child.stdin?.end();
    });
  }

  /** Runs xl. */
  xl(...words: string[]): Promise<Said> {
    return this.run("xl", words);
  }

  /**
   * A configuration file of a guest that runs until it is told to end.
   * @param lines more of the file
   */
  config(name: string, lines = ""): string {
    const file = path.join(this.folder, `${name}.cfg`);
    const kernel = path.join(guestsFolder, "idle.elf");
    writeFileSync(file, `name = "${name}"\ntype = "pvh"\nkernel = "${kernel}"\nmemory = 4\n${lines}`);
    return file;
  }
}
