/**
 * What `npm pack` runs first: builds, and gathers in dist/ what the package has: the images, the commands as bundles, the runtime of
 * TypeScript guests, and the licences of all that.
 */
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { build } from "../build.ts";
import { builtGuests, guestNames, siteFile } from "../build/guests.ts";
import { SANDBOXES } from "../build/sandboxes.ts";
import { BuildError, orExplain, progress } from "../build/task.ts";
import { engineLoader, engineWasm, fromRoot, guestsFolder, imageFile } from "../paths.ts";
import { installPackages } from "../setup.ts";
import { builtinModules, bundleRuntime, PACKED_RUNTIME } from "../../toolstack/cli/app/bundle.ts";
import { bundleCommands, bundlesInside } from "./bundles.ts";
import { licenceTexts } from "./licences.ts";

const dist = fromRoot("dist");

function copyInto(folder: string, files: string[]): void {
  const target = path.join(dist, folder);
  mkdirSync(target, { recursive: true });
  for (const file of files) copyFileSync(file, path.join(target, path.basename(file)));
}

/** What could not be built here: a package is whole, or there is none. */
async function missingParts(): Promise<string[]> {
  const built = builtGuests();
  const guests = guestNames().filter((name) => !built.includes(name));
  const sandboxes = await Promise.all(
    SANDBOXES.map(async (one) => ((await one.build()) === undefined ? [] : [one.name])),
  );
  return [...guests.map((name) => `guest ${name}`), ...sandboxes.flat().map((name) => `sandbox ${name}`)];
}

async function pack(): Promise<void> {
  await build();
  const missing = await missingParts();
  if (missing.length > 0)
    throw new BuildError(`there is no package without what could not be built: ${missing.join(", ")}`);
  rmSync(dist, { recursive: true, force: true });
  const bundles = [await bundleCommands(dist), ...(await bundlesInside())];
  copyInto(".", [imageFile]);
  copyInto("guests", [...builtGuests().map((name) => path.join(guestsFolder, `${name}.elf`)), siteFile]);
  copyInto("engine", [engineWasm, engineLoader]);
  writeFileSync(path.join(dist, PACKED_RUNTIME.code), await bundleRuntime());
  writeFileSync(path.join(dist, PACKED_RUNTIME.modules), JSON.stringify(builtinModules()));
  writeFileSync(path.join(dist, "LICENSES.txt"), await licenceTexts(bundles));
  const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(path.join(parentPath, name)).size, 0);
  progress(`the package's images and commands are in dist/: ${(bytes / 1024 / 1024).toFixed(1)} MiB`);
}

installPackages(["build"]);
await orExplain(pack);
