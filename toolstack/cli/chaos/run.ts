/** `chaos run`: a TypeScript program as a guest, its output here; Ctrl-C ends it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { Command } from "commander";
import { CommandError } from "../../api/command-error.ts";
import { parseMib } from "../../api/options.ts";
import { consoleRequest, createRequest, destroyRequest, unpauseRequest } from "../../api/requests/domains.ts";
import { volumeCreateRequest } from "../../api/requests/devices.ts";
import { infoRequest } from "../../api/requests/machine.ts";
import { imageRemoveRequest } from "../../api/requests/images.ts";
import { fromRoot } from "../../../scripts/paths.ts";
import { buildApp } from "../app/build.ts";
import { variable } from "./build.ts";
import { Forwarder, FORWARD_FORMS, freeOr, LOCAL, parseForward } from "./forward.ts";
import type { ToolSession } from "./session.ts";
import { provideImage } from "./upload.ts";

/** A program that does little needs 5 MiB (docs/typescript-guests.md). */
const DEFAULT_MEMORY_MIB = "16";
const MAX_MEMORY_MIB = 1024 * 1024;
/** The exit status of what Ctrl-C has ended. */
const INTERRUPTED = 130;

/** What runs where no program is named. */
const DEMO = {
  file: fromRoot("guests/typescript/demo/server.ts"),
  files: fromRoot("guests/typescript/demo/files"),
  port: 80,
  /** Taken if it is free, else any other. */
  hostPort: 8090,
};
/** The vif that `--forward` implies: on the default bridge, with an address that domain 0 chooses. */
const FORWARD_VIF = "ip=auto";

interface Options {
  files?: string;
  env?: Record<string, string>;
  memory: string;
  name?: string;
  vif?: string[];
  forward?: string[];
  volume?: string;
  cmdline?: string;
  raw?: boolean;
}

/** `--volume NAME[:SIZE][:/PATH]`. @throws CommandError */
export function parseVolume(text: string): { name: string; size?: string; path?: string } {
  const match = /^([^:/]+)(?::([0-9][^:/]*))?(?::(\/[^:\s]*))?$/.exec(text);
  if (match === null) {
    throw new CommandError(
      `--volume: "${text}" is not NAME[:SIZE][:/PATH], such as data, data:64M or data:64M:/var/lib`,
    );
  }
  const [, name, size, path] = match;
  return { name: name!, ...(size === undefined ? {} : { size }), ...(path === undefined ? {} : { path }) };
}

interface GuestOptions extends Omit<Options, "memory"> {
  memory: number;
  /** Null: nothing is forwarded. */
  forwarder: Forwarder | null;
}

const collect = (text: string, before: string[] = []) => [...before, text];

/** The image in domain 0. */
async function upload(
  session: ToolSession,
  file: string,
  words: string[],
  { files, env }: Pick<Options, "files" | "env">,
): Promise<string> {
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
async function watch(session: ToolSession, id: string, raw: boolean): Promise<string | null> {
  // Into a file or a pipe every byte goes as it is.
  const safe = process.stdout.isTTY === true && !raw;
  const { result, stream } = await session.start(consoleRequest, { id, safe });
  stream.pipe(process.stdout, { end: false });
  await session.ask(unpauseRequest, { ids: [id] });
  return (await result).ended;
}

async function run(session: ToolSession, file: string, words: string[], options: Options): Promise<void> {
  const memory = parseMib("--memory", options.memory, 1, MAX_MEMORY_MIB);
  if (options.volume !== undefined) parseVolume(options.volume);
  const forwards = (options.forward ?? []).map((text) => parseForward("--forward", text));
  const forwarder = new Forwarder(session);
  try {
    // Before anything is built or uploaded: a port may be in use.
    for (const each of forwards) {
      const hostPort = await forwarder.listen(each);
      process.stderr.write(`[typevisor] ${LOCAL}:${hostPort} is forwarded to port ${each.port} of the guest\n`);
    }
    await runGuest(session, file, words, { ...options, memory, forwarder: forwards.length > 0 ? forwarder : null });
  } finally {
    forwarder.close();
  }
}

/** With an address of domain 0's choice: the way out of its network. */
async function gatewayWords(session: ToolSession): Promise<string[]> {
  const info = await session.ask(infoRequest, { id: undefined });
  return "gateway" in info && info.gateway !== null ? [`gw=${info.gateway}`] : [];
}

async function runGuest(session: ToolSession, file: string, words: string[], options: GuestOptions): Promise<void> {
  const { memory, forwarder } = options;
  const kernel = await upload(session, file, words, options);
  let id: string | null = null;
  try {
    const { name } = options;
    const vif = options.vif ?? (forwarder === null ? undefined : [FORWARD_VIF]);
    const volume = options.volume === undefined ? null : parseVolume(options.volume);
    if (volume?.size !== undefined) {
      await session.ask(volumeCreateRequest, { name: volume.name, size: volume.size, ifAbsent: true, disk: undefined });
    }
    const vbd = volume === null ? undefined : [`target=${volume.name},vdev=xvda`];
    const cmdline = [
      ...(volume?.path === undefined ? [] : [`volume=${volume.path}`]),
      ...(options.vif === undefined && vif !== undefined ? await gatewayWords(session) : []),
      ...(options.cmdline === undefined ? [] : [options.cmdline]),
    ].join(" ");
    const params = { vbd, cmdline, kernel, memory, name, vif, paused: true, onReboot: "destroy" };
    const made = await session.ask(createRequest, params as never);
    id = String(made.id);
    await forwarder?.serve(id);
    const reason = await watch(session, id, options.raw === true);
    if (session.interrupted) process.exitCode = INTERRUPTED;
    else if (reason !== "poweroff") throw new CommandError(`${path.basename(file)} has ended: ${reason}`);
  } finally {
    // It is gone already if it has ended by itself.
    if (id !== null) await session.cleanUp(destroyRequest, { ids: [id] }).catch(() => {});
    await session.cleanUp(imageRemoveRequest, { images: [kernel] }).catch(() => {});
  }
}

/** The demo, where no program is named. */
async function runDemo(session: ToolSession, options: Options): Promise<void> {
  const { file, files, port } = DEMO;
  const forward = options.forward ?? [`${await freeOr(DEMO.hostPort)}:${port}`];
  const first = parseForward("--forward", forward[0]!);
  process.stderr.write(
    `[typevisor] no program is named: this is the demo, an HTTP server, ${path.relative(process.cwd(), file)}\n` +
      `[typevisor] when it listens: curl http://${LOCAL}:${first.hostPort}/ ; Ctrl-C ends it\n`,
  );
  await run(session, file, [], { files, ...options, forward });
}

/** @param within runs something with a session */
export function runCommand(within: (run: (session: ToolSession) => Promise<void>) => Promise<void>): Command {
  return new Command("run")
    .description("run a TypeScript program as a guest of its own and show its output; Ctrl-C ends it")
    .argument("[app.ts]", "the program; without one the demo, an HTTP server, runs and is forwarded")
    .argument("[words...]", "behind `--`: for its process.argv")
    .option("--files <folder>", "a folder whose contents the program finds under /, read-only")
    .option("--env <name=value>", "for its process.env (repeatable)", variable)
    .option("--memory <SIZE>", "of the guest, MiB or such as 1G", DEFAULT_MEMORY_MIB)
    .option("--name <STR>", "of the guest; the program's if not given")
    .option("--vif <SETTINGS>", "a network interface, as of `create` (repeatable)", collect)
    .option(
      "--forward <PORTS>",
      `connect a port of this computer, on ${LOCAL}, with one of the guest's (repeatable): ${FORWARD_FORMS}; HOSTPORT 0: any that is ` +
        `free; without --vif the guest gets one with ${FORWARD_VIF}`,
      collect,
    )
    .option(
      "--volume <NAME>",
      "NAME[:SIZE][:/PATH]: a volume for files that the program writes, under /data or PATH; with SIZE it is made if it is not there",
    )
    .option("--cmdline <STR>", "words for the guest: ip=, gw=, dns=, rx=, tx= (docs/typescript-guests.md)")
    .option("--raw", "let its output set the terminal's title and modes, too: see `chaos console --help`, --safe")
    .addHelpText("after", "\nThe exit status is 0 if the program has ended by itself without an error.")
    .action((file: string | undefined, words: string[], options: Options) =>
      within((session) => (file === undefined ? runDemo(session, options) : run(session, file, words, options))),
    );
}
