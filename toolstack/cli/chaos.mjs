#!/usr/bin/env node
/** `npx chaos` in a clone. */
import { runInClone } from "./run-in-clone.mjs";

await runInClone("chaos.ts");
