/** From a TypeScript program to an image that boots as a PVH guest. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { BuildError } from "../../../scripts/build/task.ts";
import { guestsFolder } from "../../../scripts/paths.ts";
import { bundleProgram, bundleRuntime } from "./bundle.ts";
import { withProgram } from "./elf.ts";
import { makeProgram, type ProgramFile } from "./program.ts";

export interface AppOptions {
  /** The program: TypeScript or JavaScript. */
  file: string;
  /** A folder whose contents the program finds under "/". */
  files?: string;
  /** For process.argv and process.env. */
  arguments?: string[];
  environment?: Record<string, string>;
}

/** The guest's image without a program. */
const base = path.join(guestsFolder, "typescript.elf");

function filesBelow(folder: string, prefix: string): ProgramFile[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const from = path.join(folder, entry.name);
      const status = statSync(from);
      if (status.isDirectory()) return filesBelow(from, `${prefix}${entry.name}/`);
      if (!status.isFile()) throw new BuildError(`${from} is neither a file nor a folder`);
      return [{ path: `${prefix}${entry.name}`, data: readFileSync(from) }];
    });
}

/** The image. @throws BuildError that says what is wrong with the program, or missing */
export async function buildApp({ file, files, arguments: words = [], environment = {} }: AppOptions): Promise<Buffer> {
  if (!existsSync(file) || !statSync(file).isFile()) throw new BuildError(`there is no file ${file}`);
  if (files !== undefined && !(existsSync(files) && statSync(files).isDirectory())) {
    throw new BuildError(`--files ${files}: there is no such folder`);
  }
  if (!existsSync(base)) {
    throw new BuildError(
      `${path.relative(process.cwd(), base)} is missing: \`npm run build\` makes it, with lwIP's sources`,
    );
  }
  const [bundle, runtime] = await Promise.all([bundleProgram(file), bundleRuntime()]);
  const program = makeProgram({
    runtime,
    bundle,
    name: `/${path.basename(file)}`,
    arguments: words,
    environment,
    files: files === undefined ? [] : filesBelow(files, "/"),
    builtAt: Date.now(),
  });
  return withProgram(readFileSync(base), program);
}
