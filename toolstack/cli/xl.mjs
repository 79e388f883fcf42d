#!/usr/bin/env node
/** `npx xl` in a clone. */
import { runInClone } from "./run-in-clone.mjs";

await runInClone("xl.ts");
