/** `npx typevisor` of the package: nothing is built. */
import { startTypevisor } from "../run.ts";

await startTypevisor();
