#!/usr/bin/env node
/** `npx typevisor`: in a clone the same as `npm start`. */
import { runCommand } from "../../toolstack/cli/run-command.mjs";

await runCommand("scripts/start.ts", "typevisor.js");
