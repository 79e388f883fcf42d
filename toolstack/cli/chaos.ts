/** The command `chaos`. */
import { endWithReader } from "./output-pipe.ts";
import { runChaos } from "./chaos/program.ts";

endWithReader();
process.exitCode = await runChaos(process.argv.slice(2));
