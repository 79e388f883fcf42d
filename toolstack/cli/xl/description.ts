/** Domains as xl's commands are given them: an xl.cfg file, settings on the command line; and its images, which are uploaded. */
import type { DomainDescription, ImageDescription } from "../config/description.ts";
import { formatProblem } from "../config/problems.ts";
import { readConfigFile } from "../config/read-file.ts";
import { readXlConfig } from "../config/xl-cfg.ts";
import type { XlOutput } from "./arguments.ts";
import { libxlConfigOf } from "./libxl-json.ts";

/** What commands with files need besides requests. */
export interface ImageHost {
  /** @returns what the file is called in domain 0, once it is there */
  provide(what: string, file: string): Promise<string>;
}

/** Reads a description, telling what is worth knowing of it. Throws ConfigError. */
export function describe(file: string | undefined, settings: string[], { err }: XlOutput): DomainDescription {
  const text = file === undefined ? "" : readConfigFile(file);
  const { description, notes } = readXlConfig(text, file ?? "the command line", settings);
  for (const note of notes) err(`${formatProblem(note)}\n`);
  return description;
}

/** Shows a description as xl -N and -d do: as libxl's JSON, on the stream that is given. */
export function show(description: DomainDescription, write: (text: string) => void): void {
  write(`${JSON.stringify(libxlConfigOf(description), null, 4)}\n`);
}

/** Provides a description's kernel and ramdisk. */
export async function provideImages(
  { kernel, ramdisk }: DomainDescription,
  host: ImageHost,
): Promise<[kernel: string, ramdisk: string | undefined]> {
  const image = async (what: string, { from, name }: ImageDescription) =>
    from === "module" ? name : await host.provide(what, name);
  return [await image("kernel", kernel), ramdisk === undefined ? undefined : await image("ramdisk", ramdisk)];
}
