#!/usr/bin/env node
/** `npx xl`. */
import { runCommand } from "./run-command.mjs";

await runCommand("toolstack/cli/xl.ts", "xl.js");
