/** Runs a command's TypeScript in a clone, as every `npm` command runs its file. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** @param name the file, in this folder */
export function runInClone(name) {
  const bootstrap = fileURLToPath(new URL("../../scripts/bootstrap.mjs", import.meta.url));
  const program = fileURLToPath(new URL(name, import.meta.url));
  // A process of its own: the file is named on its command line. Signals of the terminal reach both; this one waits for the other.
  process.on("SIGINT", () => {});
  const { status } = spawnSync(process.execPath, [bootstrap, program, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exitCode = status ?? 1;
}
