/** The command `chaos`. */
import { runChaos } from "./chaos/program.ts";

process.exitCode = await runChaos(process.argv.slice(2));
