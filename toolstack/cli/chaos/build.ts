/** `chaos build`. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { buildApp } from "../app/build.ts";

export function variable(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("expected NAME=VALUE.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

interface Options {
  output?: string;
  files?: string;
  env?: Record<string, string>;
}

export const buildCommand = new Command("build")
  .description("make a TypeScript program an image that boots as a guest, on Typevisor and on Xen")
  .argument("<app.ts>", "the program")
  .argument("[words...]", "behind `--`: for its process.argv")
  .option("-o, --output <file>", "the image (default: the program's name with .elf, in this folder)")
  .option("--files <folder>", "a folder whose contents the program finds under /, read-only")
  .option("--env <name=value>", "for its process.env (repeatable)", variable)
  .action(async (file: string, words: string[], options: Options) => {
    const out = options.output ?? `${path.parse(file).name}.elf`;
    const image = await buildApp({ file, files: options.files, arguments: words, environment: options.env });
    writeFileSync(out, image);
    process.stderr.write(`[typevisor] wrote ${out}: ${(image.length / 1024 / 1024).toFixed(1)} MiB\n`);
  });
