/** The licences of what the package contains of others: the texts of its npm packages, and of the libraries in its images. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Metafile } from "esbuild";
import { BuildError } from "../build/task.ts";
import { fromRoot } from "../paths.ts";
import { findSource } from "../source-packages.ts";

/** npm packages that are in the images otherwise than as JavaScript: the engine, and the library of AssemblyScript. */
const COMPILED = ["node_modules/@jitl/quickjs-wasmfile-release-sync", "node_modules/assemblyscript"];
/** Debian's source packages that are compiled, and the files that have their licences. */
const SOURCES = { lwip: "COPYING", mbedtls: "LICENSE" };
/** Files that tell a package's licence, and what the Apache License wants to be passed on. */
const LICENCE_FILE = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;

/** The folders of the npm packages of which something is in bundles, from the root folder on, sorted. */
export function packagesIn(bundles: Metafile[]): string[] {
  const inputs = bundles.flatMap(({ inputs }) => Object.keys(inputs));
  const folders = inputs.map((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

interface Manifest {
  name: string;
  version: string;
  license?: string;
  author?: string | { name: string };
}

/** What an npm package says about its licence. @throws BuildError when it says nothing */
function licenceOf(place: string): string {
  const folder = fromRoot(place);
  const { name, version, license, author } = JSON.parse(
    readFileSync(path.join(folder, "package.json"), "utf8"),
  ) as Manifest;
  const files = readdirSync(folder).filter((file) => LICENCE_FILE.test(file));
  const texts = files.sort().map((file) => readFileSync(path.join(folder, file), "utf8").trim());
  if (license === undefined) throw new BuildError(`${name} does not say what its licence is: it cannot be packed`);
  const by = typeof author === "string" ? author : (author?.name ?? "its authors");
  if (texts.length === 0) texts.push(`${license}, by ${by}. The package has no text of it.`);
  return section(`${name} ${version} (npm, ${license})`, texts.join("\n\n"));
}

function section(title: string, text: string): string {
  return `${"=".repeat(78)}\n${title}\n${"=".repeat(78)}\n\n${text}\n`;
}

/** All of the texts. @throws BuildError when one is not to be found */
export async function licenceTexts(bundles: Metafile[]): Promise<string> {
  const npm = [...new Set([...packagesIn(bundles), ...COMPILED])].sort().map(licenceOf);
  const libraries: string[] = [];
  for (const [name, file] of Object.entries(SOURCES)) {
    const found = await findSource(name);
    if ("missing" in found) throw new BuildError(found.missing);
    const text = path.join(found.folder, file);
    if (!existsSync(text)) throw new BuildError(`${text} is missing: the licence of ${name}`);
    libraries.push(
      section(`${path.basename(found.folder)} (Debian source package)`, readFileSync(text, "utf8").trim()),
    );
  }
  return [...libraries, ...npm].join("\n");
}
