/**
 * What `npx` runs: in a clone a command's TypeScript, as every `npm` command runs its file; in the package, which has no sources,
 * the bundle that was made of it (scripts/package/).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import os from "node:os";
import { fileURLToPath } from "node:url";

const fromRoot = (name) => new URL(`../../${name}`, import.meta.url);

/**
 * @param source the file, from the root folder on
 * @param bundle its name in the package's dist/
 */
export async function runCommand(source, bundle) {
  const bootstrap = fromRoot("scripts/bootstrap.mjs");
  if (existsSync(bootstrap)) await runInClone(fileURLToPath(bootstrap), fileURLToPath(fromRoot(source)));
  else await import(fromRoot(`dist/${bundle}`).href);
}

async function runInClone(bootstrap, program) {
  // A process of its own: the file is named on its command line.
  const child = spawn(process.execPath, [bootstrap, program, ...process.argv.slice(2)], { stdio: "inherit" });
  // The terminal sends Ctrl-C to both: this process waits for what the other makes of it. Other signals come here alone.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  const [status, signal] = await once(child, "close");
  process.exitCode = status ?? 128 + os.constants.signals[signal];
}
