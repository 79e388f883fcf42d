/** The command `xl`. */
import { endWithReader } from "./output-pipe.ts";
import { runXl } from "./xl/program.ts";

endWithReader();
process.exitCode = await runXl(process.argv.slice(2));
