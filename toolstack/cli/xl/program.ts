/** The command line of `xl`. */
import { consoleRequest } from "../../api/requests/domains.ts";
import { dmesgRequest } from "../../api/requests/machine.ts";
import { XL_COMMANDS, type XlCommand } from "../config/xl-commands.ts";
import { talk } from "../chaos/console.ts";
import { ToolSession } from "../chaos/session.ts";
import { provideImage } from "../chaos/upload.ts";
import { isToolError } from "../tool-error.ts";
import { findDomain, readArguments, XlError, type Asker, type XlOutput } from "./arguments.ts";
import { create } from "./create.ts";
import * as devices from "./devices.ts";
import * as life from "./life.ts";
import * as show from "./show.ts";

type Run = (asker: Asker, words: string[], output: XlOutput) => Promise<void>;

/** Commands that are requests and their answers. */
export const COMMANDS: Readonly<Record<string, Run>> = {
  list: show.list,
  domid: show.domid,
  domname: show.domname,
  info: show.info,
  destroy: life.destroy,
  shutdown: life.shutdown,
  reboot: life.reboot,
  pause: life.pause,
  unpause: life.unpause,
  "mem-set": life.memSet,
  "vcpu-set": life.vcpuSet,
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

/** Those that have a stream, a file or a terminal. */
const OTHERS: Readonly<Record<string, (session: ToolSession, words: string[], output: XlOutput) => Promise<void>>> = {
  create: (session, words, output) =>
    create(session, words, output, {
      provide: (what, file) => provideImage(session, what, file.includes("/") ? file : `./${file}`),
      talk: async (id) => void (await talk(session, id)),
    }),
  console: async (session, words) => {
    const options = { t: { long: "type", value: true }, n: { long: "num", value: true } };
    const { rest } = readArguments(words, options, `console [options] <Domain>\n${consoleRequest.summary}`, 1);
    await talk(session, String((await findDomain(session, rest[0]!)).id));
  },
  dmesg: async (session, words) => {
    readArguments(words, {}, "dmesg", 0);
    const { result, stream } = await session.start(dmesgRequest, {});
    stream.pipe(process.stdout, { end: false });
    await result;
  },
};

const ALL: readonly XlCommand[] = Object.values(XL_COMMANDS).flat();

/** Names of the commands that there are. */
export function xlCommandNames(): string[] {
  return [...Object.keys(COMMANDS), ...Object.keys(OTHERS), "help"];
}

function help({ out }: XlOutput): void {
  out("Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n");
  for (const name of xlCommandNames().sort()) out(` ${name}\n`);
  out("\ndocs/xl.md says of each of xl 4.17's commands whether it is there, and why not.\n");
}

/** Why a command is not there. */
function absent(name: string): string {
  const known = ALL.find(({ command }) => command === name);
  if (known === undefined) return `command not implemented: ${name}`;
  if (known.verdict === "refused") return `xl ${name} is refused: ${known.note}`;
  return `xl ${name} comes later`;
}

/** Runs `xl` with the words of its command line; returns its exit status. */
export async function runXl(words: string[]): Promise<number> {
  const output: XlOutput = { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) };
  // xl's own options, which change nothing here: verbose, force, no lock, no carriage return.
  const [name, ...rest] = words.slice(words.findIndex((word) => !/^-[vfNtT]+$/.test(word)));
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    help(output);
    return name === undefined ? 1 : 0;
  }
  const session = new ToolSession({ host: process.env.CHAOS_HOST, key: process.env.CHAOS_KEY });
  try {
    const command = COMMANDS[name];
    const other = OTHERS[name];
    if (command !== undefined) await command(session, rest, output);
    else if (other !== undefined) await other(session, rest, output);
    else throw new XlError(absent(name));
    return 0;
  } catch (error) {
    if (!(error instanceof XlError) && !isToolError(error)) throw error;
    const { message } = error;
    if (message !== "") output.err(`${message}\n`);
    return 1;
  } finally {
    await session.close();
  }
}
