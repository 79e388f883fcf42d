/** `npm start`: installs what is missing, builds, and starts (run.ts). */
import { build } from "./build.ts";
import { startTypevisor } from "./run.ts";

await startTypevisor(build);
