/** Runs a command's TypeScript in a clone, as every `npm` command runs its file. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import os from "node:os";
import { fileURLToPath } from "node:url";

/** @param name the file, in this folder */
export async function runInClone(name) {
  const bootstrap = fileURLToPath(new URL("../../scripts/bootstrap.mjs", import.meta.url));
  const program = fileURLToPath(new URL(name, import.meta.url));
  // A process of its own: the file is named on its command line.
  const child = spawn(process.execPath, [bootstrap, program, ...process.argv.slice(2)], { stdio: "inherit" });
  // The terminal sends Ctrl-C to both: this process waits for what the other makes of it. Other signals come here alone.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  const [status, signal] = await once(child, "close");
  process.exitCode = status ?? 128 + os.constants.signals[signal];
}
