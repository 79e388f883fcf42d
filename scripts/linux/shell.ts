/** The shell of a Linux guest that `guest.ts` makes, used through Typevisor's console by scripts and tests. */
import { AwaitError, type Machine, plainText, PROMPT } from "../machine.ts";

/** The guest's shell prompt (initramfs.ts). */
export const SHELL_PROMPT = "linux:/root# ";

const LEAVE = "\x1d";
/** Typevisor's own commands. */
const COMMAND_MS = 60_000;

export class LinuxShell {
  private commands = 0;

  /**
   * @param machine at Typevisor's prompt
   * @param domain the guest's name
   * @param timeoutMs how long it may take to boot, and each of its commands unless they say otherwise
   */
  constructor(
    private readonly machine: Machine,
    readonly domain: string,
    private readonly timeoutMs: number,
  ) {}

  /** Goes to the guest's console, where the shell is awaited or was left by `leave`. */
  async enter(): Promise<void> {
    this.machine.send(`console ${this.domain}\r`);
    await this.machine.waitFor(/\[domain .*leaves\]/, COMMAND_MS, `the console of ${this.domain}`);
    this.machine.send("\r");
    await this.await(`\n${SHELL_PROMPT}`, this.timeoutMs, `the shell of ${this.domain}`);
    // It answers to the empty line too, when it had been ready before: what is printed from here on is a command's. The
    // kernel's messages go to its log only, or they would stand in the middle of it.
    await this.run("dmesg -n 1");
  }

  /** Back to Typevisor's prompt. */
  async leave(): Promise<void> {
    this.machine.send(LEAVE);
    await this.machine.waitFor(`\n${PROMPT}`, COMMAND_MS, "the prompt after Ctrl-]");
  }

  /**
   * Runs a command; what it printed, without the echo of the command.
   * @throws AwaitError, also when the guest ends meanwhile
   */
  async run(command: string, timeoutMs = this.timeoutMs): Promise<string> {
    // The shell's echo of a long line is broken somewhere: what comes behind this is the command's. It does not read so
    // in the echo itself.
    const mark = `mark-${++this.commands}`;
    this.machine.send(`echo ${mark.replace("-", '"-"')}; ${command}\r`);
    await this.await(`\n${mark}`, timeoutMs, `${this.domain} to run: ${command}`);
    const printed = plainText(await this.await(SHELL_PROMPT, timeoutMs, `the end in ${this.domain} of: ${command}`));
    return printed.slice(printed.indexOf("\n") + 1);
  }

  /** Waits for text of the guest's, as `Machine.waitFor`; what was printed before it. */
  private async await(text: string, timeoutMs: number, what: string): Promise<string> {
    const wanted = new RegExp(`${text}|\\(${this.domain}\\) has ended: \\w+`);
    const { match, before } = await this.machine.waitFor(wanted, timeoutMs, what);
    if (match[0] !== text) throw new AwaitError(`${match[0]} while waiting for ${what}${this.machine.tail()}`);
    return before;
  }
}
