/**
 * `chaos create`: domains of a configuration file as LightVM has it, or of options as at Typevisor's prompt; `chaos config-update`, of
 * options alone.
 */
import type { Command } from "commander";
import { CommandError } from "../../api/command-error.ts";
import { parseCount } from "../../api/options.ts";
import type { Params } from "../../api/request.ts";
import { configUpdateRequest, createRequest } from "../../api/requests/domains.ts";
import { readChaosConfig } from "../config/chaos-json.ts";
import { createParams } from "../config/create-params.ts";
import type { ImageDescription } from "../config/description.ts";
import { formatProblem } from "../config/problems.ts";
import { readConfigFile } from "../config/read-file.ts";
import { printAnswer, requestCommand, type Run } from "./request-commands.ts";
import type { ToolSession } from "./session.ts";
import { provideImage } from "./upload.ts";

const MOST_DOMAINS = 8192;

type CreateParams = Params<typeof createRequest.arguments>;

/** What a description's kernel or ramdisk is called in domain 0, once it is there. */
async function provide(session: ToolSession, what: string, image: ImageDescription): Promise<string> {
  if (image.from === "module") return image.name;
  return await provideImage(session, what, image.name.includes("/") ? image.name : `./${image.name}`);
}

/** The parameters of a configuration file; its notes are shown. */
async function ofFile(session: ToolSession, file: string): Promise<CreateParams> {
  const { description, notes } = readChaosConfig(readConfigFile(file), file);
  for (const note of notes) process.stderr.write(`${formatProblem(note)}\n`);
  const kernel = await provide(session, "kernel", description.kernel);
  const ramdisk =
    description.ramdisk === undefined ? undefined : await provide(session, "ramdisk", description.ramdisk);
  return createParams(description, kernel, ramdisk);
}

/** Parameters that name files: what these are called in domain 0 in their place. */
async function ofOptions<P extends Pick<CreateParams, "kernel" | "ramdisk">>(
  session: ToolSession,
  params: P,
): Promise<P> {
  const kernel = await provideImage(session, "--kernel", params.kernel);
  const ramdisk = params.ramdisk === undefined ? undefined : await provideImage(session, "--ramdisk", params.ramdisk);
  return { ...params, kernel, ramdisk };
}

/** @param within runs something with a session */
export function configUpdateCommand(within: (run: (session: ToolSession) => Promise<void>) => Promise<void>): Command {
  return requestCommand(configUpdateRequest, "config-update", within, async (session, params) => {
    const named = params as Params<typeof configUpdateRequest.arguments>;
    await session.ask(configUpdateRequest, await ofOptions(session, named));
  });
}

/** @param within runs something with a session */
export function createCommand(within: (run: (session: ToolSession) => Promise<void>) => Promise<void>): Command {
  const create: Run = async (session, params, json) => {
    const number = parseCount("-n", String(command.opts<{ number?: string }>().number ?? "1"), 1, MOST_DOMAINS);
    const config = command.args[0];
    const one = config === undefined ? await ofOptions(session, params as CreateParams) : await ofFile(session, config);
    const results = [];
    for (let i = 1; i <= number && !session.interrupted; i++) {
      const name = number > 1 && one.name !== undefined ? `${one.name}-${i}` : one.name;
      const result = await session.ask(createRequest, { ...one, name });
      results.push(result);
      if (!json) printAnswer(createRequest, result, false);
    }
    if (json) process.stdout.write(`${JSON.stringify(number === 1 ? results[0] : results)}\n`);
    if (results.length < number) throw new CommandError(`interrupted: ${results.length} of ${number} were made`);
  };
  const command = requestCommand(createRequest, "create", within, create, {
    words: { usage: "[CONFIG.json]", summary: "a domain's configuration, as LightVM has it; or options, as below" },
    // The file says what otherwise must be said.
    optional: (typed) => typed.length > 0,
  });
  command
    .option("-n, --number <N>", "make so many; behind their name is a number then")
    .option("-s, --skip-daemon", "as LightVM's: make it anew; there are no prepared shells yet");
  return command;
}
