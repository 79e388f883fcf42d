/** docs/tutorial.md as a newcomer runs it: its files are written and its commands typed in terminals, and what they print is compared. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { fromRoot } from "../../scripts/paths.ts";
import { GUEST_MS } from "./support/boot.ts";
import { type Place, Start } from "./support/start.ts";
import { outputPattern, readSteps, shown, type TypeStep } from "./support/tutorial.ts";

/** The port that the page forwards; another one is taken where it is in use. */
const PORT = 8090;

/** What a shell prints unseen at its prompt. */
const PROMPT = "\x1b]prompt\x07";

/** A shell on a terminal; it says unseen when it is at its prompt. */
class Terminal {
  private readonly shell: Start;
  /** Where in the shell's output what was typed last begins. */
  private typed = 0;
  private expected: string[] = [];
  private line = 0;

  constructor(
    t: ExecutionContext,
    private readonly number: number,
    place: Place,
  ) {
    this.shell = Start.command(t, ["bash", "--norc", "--noprofile", "--noediting", "-i"], true, place);
  }

  /** What was printed behind the line that was typed last; `ended`: the shell is at its prompt again. */
  private answer(): { text: string; ended: boolean } {
    const output = this.shell.output.slice(this.typed);
    const [own, ...rest] = output.split(PROMPT);
    const [, ...lines] = shown(own!).split("\n");
    const ended = rest.length > 0;
    return { text: ended ? lines.join("\n").replace(/\$ $/, "") : lines.join("\n"), ended };
  }

  /** Waits until `done` holds for the answer. @throws Error that names the page's line, when the command or the time ends before */
  private async wait(what: string, done: (text: string, ended: boolean) => boolean): Promise<void> {
    const limit = Date.now() + GUEST_MS;
    for (;;) {
      const { text, ended } = this.answer();
      if (done(text, ended)) return;
      if (ended || Date.now() > limit) {
        const wanted = this.expected.map((one) => `  ${one}`).join("\n");
        throw new Error(
          `docs/tutorial.md:${this.line}: terminal ${this.number}: ${what} did not come; expected:\n${wanted}\nprinted:\n${text}`,
        );
      }
      await this.shell.change(limit - Date.now());
    }
  }

  /** @param stays whether what is typed does not end by itself */
  async take(step: TypeStep, stays: boolean): Promise<void> {
    if (step.at === "more") {
      this.expected = [...this.expected, ...step.expected];
    } else {
      if (step.at === "machine") await this.wait("the machine's prompt", (text) => /typevisor> ?$/.test(text));
      this.typed = this.shell.output.length;
      [this.expected, this.line] = [step.expected, step.line];
      this.shell.type(step.at === "interrupt" ? step.words : `${step.words}\r`);
    }
    const { expected } = this;
    if (step.at === "interrupt") await this.wait("the shell's prompt", (_, ended) => ended);
    else if (step.at === "machine") {
      const prompt = [...expected, "typevisor>"];
      await this.wait("this", (text, ended) => outputPattern(ended ? expected : prompt, true).test(text));
    } else if (stays) await this.wait("this", (text) => outputPattern(expected, false).test(text));
    else await this.wait("this", (text, ended) => ended && outputPattern(expected, true).test(text));
  }

  async ready(): Promise<void> {
    this.shell.type("PS1='$ \\[\\e]prompt\\a\\]'\r");
    await this.wait("the shell's first prompt", (_, ended) => ended);
  }
}

/** A folder that is the clone, but for what is written into it. */
function cloneFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-tutorial-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of readdirSync(fromRoot("."))) {
    if (name !== "tutorial") symlinkSync(fromRoot(name), path.join(folder, name));
  }
  return folder;
}

test.serial("the tutorial's commands print what it says", async (t) => {
  const cwd = cloneFolder(t);
  const [port] = (await freePorts(1, PORT)) as [number];
  const page = readFileSync(fromRoot("docs/tutorial.md"), "utf8").replaceAll(String(PORT), String(port));
  const steps = readSteps(page);
  t.true(steps.filter(({ kind }) => kind === "type").length > 20, "the page's commands are found");
  const runtime = path.join(cwd, ".run");
  mkdirSync(runtime);
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_OPTIONS$|^CHAOS_/i.test(name)),
  );
  const place = { cwd, env: { ...env, XDG_RUNTIME_DIR: runtime } };
  const terminals = new Map<number, Terminal>();
  for (const [i, step] of steps.entries()) {
    if (step.kind === "file") {
      const file = path.join(cwd, step.name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, step.text);
      continue;
    }
    let terminal = terminals.get(step.terminal);
    if (terminal === undefined) {
      terminals.set(step.terminal, (terminal = new Terminal(t, step.terminal, place)));
      await terminal.ready();
    }
    const next = steps.slice(i + 1).find((one) => one.kind === "type" && one.terminal === step.terminal) as
      TypeStep | undefined;
    await terminal.take(step, next !== undefined && next.at !== "shell");
  }
  t.false(readdirSync(cwd).includes("tutorial"), "it cleans up");
});
