#!/usr/bin/env node
/** `npx chaos`. */
import { runCommand } from "./run-command.mjs";

await runCommand("toolstack/cli/chaos.ts", "chaos.js");
