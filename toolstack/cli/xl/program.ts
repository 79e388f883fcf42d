/** The command line of `xl`. */
import { once } from "node:events";
import { dmesgRequest } from "../../api/requests/machine.ts";
import { XL_COMMANDS, type XlCommand } from "../config/xl-commands.ts";
import { talk } from "../chaos/console.ts";
import { ToolSession } from "../chaos/session.ts";
import { provideImage } from "../chaos/upload.ts";
import { answer, questionOf } from "../completion/answer.ts";
import { completionScript, SHELLS, type Shell } from "../completion/scripts.ts";
import { xlExpected } from "../completion/xl.ts";
import { isToolError } from "../tool-error.ts";
import { FAILED, findDomain, MISUSED, readArguments, XlError, type Asker, type XlOutput } from "./arguments.ts";
import { configUpdate, create, type CreateHost } from "./create.ts";
import * as devices from "./devices.ts";
import { commandHelp, commandList, HELP, usageOf, type Help, type XlCommandName } from "./help.ts";
import * as life from "./life.ts";
import * as scheduling from "./scheduling.ts";
import * as show from "./show.ts";
import { top } from "./top.ts";

/** A machine that does not answer is tried again for so long: less than the 30 s that cluster managers give an agent to look at a guest. */
const RETRY_MS = 20_000;

type Run = (asker: Asker, words: string[], output: XlOutput) => Promise<void>;

/** Commands that are requests and their answers. */
export const COMMANDS: Readonly<Record<string, Run>> = {
  list: show.list,
  domid: show.domid,
  domname: show.domname,
  info: show.info,
  uptime: show.uptime,
  destroy: life.destroy,
  shutdown: life.shutdown,
  reboot: life.reboot,
  pause: life.pause,
  unpause: life.unpause,
  rename: life.rename,
  "mem-set": life.memSet,
  "mem-max": life.memMax,
  "vcpu-set": life.vcpuSet,
  "vcpu-list": scheduling.vcpuList,
  "vcpu-pin": scheduling.vcpuPin,
  "sched-credit2": scheduling.schedCredit2,
  trigger: life.trigger,
  sysrq: life.sysrq,
  "debug-keys": life.debugKeys,
  "network-list": show.networkList,
  "network-attach": devices.networkAttach,
  "network-detach": devices.networkDetach,
  "block-list": show.blockList,
  "block-attach": devices.blockAttach,
  "block-detach": devices.blockDetach,
};

/** What makes requests with streams. */
export type XlSession = Asker & Pick<ToolSession, "start" | "signal">;

type Other = (session: XlSession, words: string[], output: XlOutput, host: CreateHost) => Promise<void>;

/** Those that have a stream, a file or a terminal. */
const OTHERS: Readonly<Record<string, Other>> = {
  create,
  "config-update": configUpdate,
  console: async (session, words, _output, host) => {
    const options = { t: { long: "type", value: true }, n: { long: "num", value: true } };
    const { rest, values } = readArguments("console", words, options, 1);
    for (const [letter, only] of Object.entries(ONLY_CONSOLE)) {
      if ((values.get(letter) ?? only) !== only)
        throw new XlError(`-${letter}: ${only} is the only console that there is`);
    }
    await host.talk(String((await findDomain(session, rest[0]!)).id));
  },
  top,
  dmesg: async (session, words, { out }) => {
    const { given } = readArguments("dmesg", words, { c: { long: "clear" } }, 0);
    const { result, stream } = await session.start(dmesgRequest, { clear: given.has("c") });
    stream.on("data", (bytes: Buffer) => out(bytes));
    await Promise.all([result, once(stream, "end")]);
  },
};

/** By the option's letter: a guest's console, its type and number. */
const ONLY_CONSOLE = { t: "pv", n: "0" };

/** Files are uploaded, consoles are this terminal's. */
export function hostOf(session: ToolSession): CreateHost {
  return {
    provide: (what, file) => provideImage(session, what, file.includes("/") ? file : `./${file}`),
    talk: async (id) => void (await talk(session, id)),
  };
}

const ALL: readonly XlCommand[] = Object.values(XL_COMMANDS).flat();

/** Names of the commands that there are. */
export function xlCommandNames(): string[] {
  return [...Object.keys(COMMANDS), ...Object.keys(OTHERS), "help"];
}

/** Why a command is not there. */
function absent(name: string): string {
  const known = ALL.find(({ command }) => command === name);
  if (known === undefined) return "command not implemented";
  if (known.verdict === "refused") return `xl ${name} is refused: ${known.note}`;
  return `xl ${name} comes later`;
}

/** The command that a word stands for: its name, or the beginning of one alone, as in xl. */
export function xlCommand(word: string): string {
  const names = ALL.map(({ command }) => command);
  if (names.includes(word)) return word;
  const begun = names.filter((name) => name.startsWith(word));
  return begun.length === 1 ? begun[0]! : word;
}

function isThere(name: string): name is XlCommandName {
  return Object.hasOwn(HELP, name);
}

function help({ out }: XlOutput, word: string | undefined): void {
  if (word === undefined || word === "help") return out(commandList());
  const name = xlCommand(word);
  if (isThere(name)) out(commandHelp(name));
  else out(ALL.some(({ command }) => command === name) ? `${absent(name)}\n` : `command "${word}" not implemented\n`);
}

/** xl's own options, in front of the command: -v, -f, -t and -T change nothing here. Throws XlError. */
function readGlobal(words: string[]): { name: string | undefined; rest: string[]; dryRun: boolean } {
  const first = words.findIndex((word) => !word.startsWith("-") || word === "-");
  const own = first < 0 ? words : words.slice(0, first);
  let dryRun = false;
  for (const word of own) {
    if (!/^-[vfNtT]+$/.test(word)) throw new XlError("unknown global option");
    dryRun ||= word.includes("N");
  }
  const [name, ...rest] = first < 0 ? [] : words.slice(first);
  return { name, rest, dryRun };
}

async function runCommand(words: string[], output: XlOutput, session: XlSession, host: CreateHost): Promise<number> {
  if (/^(--help|-h)$/.test(words[0] ?? "")) {
    help(output, undefined);
    return 0;
  }
  const { name: word, rest, dryRun } = readGlobal(words);
  if (word === undefined || word === "help") {
    help(output, rest[0]);
    return word === undefined ? FAILED : 0;
  }
  const name = xlCommand(word);
  if (!isThere(name)) throw new XlError(absent(name));
  const { dryRun: canDryRun }: Help = HELP[name];
  if (dryRun && !canDryRun) throw new XlError("command does not implement -N (dryrun) option");
  const command = COMMANDS[name];
  if (command !== undefined) await command(session, rest, { ...output, dryRun });
  else await OTHERS[name]!(session, rest, { ...output, dryRun }, host);
  return 0;
}

/** Runs `xl` with the words of its command line, whatever it is connected to; returns its exit status. */
export async function runWords(
  words: string[],
  output: XlOutput,
  session: XlSession,
  host: CreateHost,
): Promise<number> {
  try {
    return await runCommand(words, output, session, host);
  } catch (error) {
    if (!(error instanceof XlError) && !isToolError(error)) throw error;
    const { message } = error;
    if (message !== "") output.err(`${message}\n`);
    if (!(error instanceof XlError)) return FAILED;
    if (error.help !== null) output.out(commandHelp(error.help));
    return error.status;
  }
}

/** Prints the script that completes `xl` in a shell; returns the exit status. */
function completion([shell, ...more]: string[], { out, err }: XlOutput): number {
  if (!SHELLS.includes(shell as Shell) || more.length > 0) {
    err(`xl completion SHELL: SHELL is one of ${SHELLS.join(", ")}\n`);
    return MISUSED;
  }
  out(completionScript(shell as Shell, "xl"));
  return 0;
}

/** Runs `xl` with the words of its command line; returns its exit status. */
export async function runXl(words: string[]): Promise<number> {
  const output: XlOutput = { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) };
  const where = { host: process.env.CHAOS_HOST, key: process.env.CHAOS_KEY };
  const question = questionOf(words);
  if (question !== null) {
    const expected = xlExpected({ names: xlCommandNames(), usage: usageOf }, question.words);
    await answer(question, expected, new ToolSession(where));
    // A machine that has not answered is not waited for.
    process.exit(0);
  }
  if (words[0] === "completion") return completion(words.slice(1), output);
  const session = new ToolSession({ ...where, retryMs: RETRY_MS });
  try {
    return await runWords(words, output, session, hostOf(session));
  } finally {
    await session.close();
  }
}
