/** `chaos run`: a TypeScript program as a guest, its output here; Ctrl-C ends it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Command } from "commander";
import { CommandError } from "../../api/command-error.ts";
import { parseMib } from "../../api/options.ts";
import { consoleRequest, createRequest, destroyRequest, unpauseRequest } from "../../api/requests/domains.ts";
import { imageRemoveRequest } from "../../api/requests/images.ts";
import { buildApp } from "../app/build.ts";
import { variable } from "./build.ts";
import type { ToolSession } from "./session.ts";
import { provideImage } from "./upload.ts";

/** A program that does little needs 5 MiB (docs/typescript-guests.md). */
const DEFAULT_MEMORY_MIB = "16";
const MAX_MEMORY_MIB = 1024 * 1024;
/** The exit status of what Ctrl-C has ended. */
const INTERRUPTED = 130;

interface Options {
  files?: string;
  env?: Record<string, string>;
  memory: string;
  name?: string;
  vif?: string[];
}

const collect = (text: string, before: string[] = []) => [...before, text];

/** The image in domain 0. */
async function upload(session: ToolSession, file: string, words: string[], { files, env }: Options): Promise<string> {
  const image = await buildApp({ file, files, arguments: words, environment: env });
  const folder = mkdtempSync(path.join(os.tmpdir(), "chaos-run-"));
  try {
    const out = path.join(folder, path.parse(file).name);
    writeFileSync(out, image);
    return await provideImage(session, "the program", out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs it to its end; returns the reason, null if it was interrupted. */
async function watch(session: ToolSession, id: string): Promise<string | null> {
  const { result, stream } = await session.start(consoleRequest, { id });
  stream.pipe(process.stdout, { end: false });
  await session.ask(unpauseRequest, { ids: [id] });
  return (await result).ended;
}

async function run(session: ToolSession, file: string, words: string[], options: Options): Promise<void> {
  const memory = parseMib("--memory", options.memory, 1, MAX_MEMORY_MIB);
  const kernel = await upload(session, file, words, options);
  let id: string | null = null;
  try {
    const { name, vif } = options;
    const params = { kernel, memory, name, vif, paused: true, onReboot: "destroy" };
    const made = await session.ask(createRequest, params as never);
    id = String(made.id);
    const reason = await watch(session, id);
    if (session.interrupted) process.exitCode = INTERRUPTED;
    else if (reason !== "poweroff") throw new CommandError(`${path.basename(file)} has ended: ${reason}`);
  } finally {
    // It is gone already if it has ended by itself.
    if (id !== null) await session.cleanUp(destroyRequest, { ids: [id] }).catch(() => {});
    await session.cleanUp(imageRemoveRequest, { images: [kernel] }).catch(() => {});
  }
}

/** @param within runs something with a session */
export function runCommand(within: (run: (session: ToolSession) => Promise<void>) => Promise<void>): Command {
  return new Command("run")
    .description("run a TypeScript program as a guest of its own and show its output; Ctrl-C ends it")
    .argument("<app.ts>", "the program")
    .argument("[words...]", "behind `--`: for its process.argv")
    .option("--files <folder>", "a folder whose contents the program finds under /, read-only")
    .option("--env <name=value>", "for its process.env (repeatable)", variable)
    .option("--memory <SIZE>", "of the guest, MiB or such as 1G", DEFAULT_MEMORY_MIB)
    .option("--name <STR>", "of the guest; the program's if not given")
    .option("--vif <SETTINGS>", "a network interface, as of `create` (repeatable)", collect)
    .addHelpText("after", "\nThe exit status is 0 if the program has ended by itself without an error.")
    .action((file: string, words: string[], options: Options) =>
      within((session) => run(session, file, words, options)),
    );
}
