/** `xl create`: a domain of an xl.cfg file and of settings on the command line. */
import { createRequest } from "../../api/requests/domains.ts";
import { createParams } from "../config/create-params.ts";
import type { ImageDescription } from "../config/description.ts";
import { formatProblem } from "../config/problems.ts";
import { readConfigFile } from "../config/read-file.ts";
import { readXlConfig } from "../config/xl-cfg.ts";
import { readArguments, XlError, type Asker, type XlOutput } from "./arguments.ts";

/** What `create` needs besides requests: files that are uploaded, and a console. */
export interface CreateHost {
  provide(what: string, file: string): Promise<string>;
  talk(id: string): Promise<void>;
}

const USAGE =
  "create <ConfigFile> [options] [key=value...]\n-p  leave it paused\n-c  connect to its console\n-n, --dryrun  only show what it would be, as JSON\n" +
  "-e, -F, -q, -d  as xl's: nothing waits in the background, -q is quiet, -d shows the configuration";

export async function create(asker: Asker, words: string[], { out, err }: XlOutput, host: CreateHost): Promise<void> {
  const options = {
    p: {},
    c: {},
    e: {},
    F: {},
    q: { long: "quiet" },
    d: {},
    n: { long: "dryrun" },
    f: { long: "defconfig", value: true },
  };
  const { rest, given, values } = readArguments(words, options, USAGE, 0, 1024);
  const files = rest.filter((word) => !word.includes("="));
  const file = values.get("f") ?? files[0];
  if (files.length > (values.has("f") ? 0 : 1)) throw new XlError(`Usage: xl ${USAGE}`);
  const settings = rest.filter((word) => word.includes("="));
  if (file === undefined && settings.length === 0) throw new XlError(`Usage: xl ${USAGE}`);
  const { description, notes } = readXlConfig(
    file === undefined ? "" : readConfigFile(file),
    file ?? "the command line",
    settings,
  );
  for (const note of notes) err(`${formatProblem(note)}\n`);
  if (given.has("n") || given.has("d")) out(`${JSON.stringify(description, null, 4)}\n`);
  if (given.has("n")) return;
  if (file !== undefined && !given.has("q")) out(`Parsing config from ${file}\n`);
  const image = async (what: string, { from, name }: ImageDescription) =>
    from === "module" ? name : await host.provide(what, name);
  const kernel = await image("kernel", description.kernel);
  const ramdisk = description.ramdisk === undefined ? undefined : await image("ramdisk", description.ramdisk);
  const params = createParams(description, kernel, ramdisk);
  const { id } = await asker.ask(createRequest, given.has("p") ? { ...params, paused: true } : params);
  if (given.has("c")) await host.talk(String(id));
}
