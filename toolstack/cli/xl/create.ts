/** `xl create` and `xl config-update`: domains of xl.cfg files and of settings on the command line. */
import { configUpdateRequest, createRequest } from "../../api/requests/domains.ts";
import { infoRequest } from "../../api/requests/machine.ts";
import { createParams, makingParams } from "../config/create-params.ts";
import type { DomainDescription } from "../config/description.ts";
import {
  FAILED,
  findDomain,
  MISUSED,
  readArguments,
  telling,
  XlError,
  type Asker,
  type XlDomain,
  type XlOutput,
} from "./arguments.ts";
import { describe, provideImages, show, type ImageHost } from "./description.ts";

/** What `create` needs besides requests: files that are uploaded, and a console. */
export interface CreateHost extends ImageHost {
  talk(id: string): Promise<void>;
}

const MOST_WORDS = 1024;

/** Of the words, the file and the settings; undefined when there are two files. */
function fileOf(rest: string[], given: string | undefined): { file?: string; settings: string[] } | undefined {
  const files = rest.filter((word) => !word.includes("="));
  if (files.length > (given === undefined ? 1 : 0)) return undefined;
  return { file: given ?? files[0], settings: rest.filter((word) => word.includes("=")) };
}

export async function create(asker: Asker, words: string[], output: XlOutput, host: CreateHost): Promise<void> {
  const options = {
    p: {},
    c: {},
    e: {},
    F: {},
    i: { long: "ignore-global-affinity-masks" },
    q: { long: "quiet" },
    d: {},
    n: { long: "dryrun" },
    f: { long: "defconfig", value: true },
  };
  const { rest, given, values } = readArguments("create", words, options, 0, MOST_WORDS);
  const named = fileOf(rest, values.get("f"));
  if (named === undefined || (named.file === undefined && named.settings.length === 0)) {
    throw new XlError("", MISUSED, "create");
  }
  const { file, settings } = named;
  if (file !== undefined && !given.has("q")) output.err(`Parsing config from ${file}\n`);
  const description = describe(file, settings, output);
  if (given.has("n") || output.dryRun === true) return show(description, output.out);
  if (given.has("d")) show(description, output.err);
  const params = createParams(description, ...(await provideImages(description, host)));
  const { id } = await asker.ask(createRequest, given.has("p") ? { ...params, paused: true } : params);
  if (given.has("c")) await host.talk(String(id));
}

export async function configUpdate(asker: Asker, words: string[], output: XlOutput, host: ImageHost): Promise<void> {
  const options = { d: {}, q: {}, f: { long: "defconfig", value: true } };
  const { rest, given, values } = readArguments("config-update", words, options, 0, MOST_WORDS);
  const [which, ...others] = rest;
  if (which === undefined) throw new XlError("xl config-update requires a domain argument", FAILED, "config-update");
  const named = fileOf(others, values.get("f"));
  if (named === undefined) throw new XlError("", MISUSED, "config-update");
  if (named.file === undefined) throw new XlError("Config file not specified");
  const domain = await findDomain(asker, which);
  const description = describe(named.file, named.settings, output);
  if (output.dryRun || given.has("d")) show(description, output.out);
  await refuseOther(asker, domain, description, named.file);
  if (output.dryRun) return;
  output.err(`setting dom${domain.id} configuration\n`);
  await telling("failed to update configuration", async () => {
    const making = makingParams(description, ...(await provideImages(description, host)));
    await asker.ask(configUpdateRequest, { id: String(domain.id), ...making });
  });
}

/** A domain keeps its name and its UUID: a file of another is probably a mistake. */
async function refuseOther(asker: Asker, domain: XlDomain, wanted: DomainDescription, file: string): Promise<void> {
  if (wanted.name !== domain.name) {
    throw new XlError(`${file}: name: domain ${domain.id} is called "${domain.name}": xl rename gives it another name`);
  }
  if (wanted.uuid === undefined) return;
  const info = await asker.ask(infoRequest, { id: String(domain.id) });
  if ("uuid" in info && info.uuid !== wanted.uuid.toLowerCase()) {
    throw new XlError(`${file}: uuid: it stays what it is: ${info.uuid}`);
  }
}
