/** All console commands, in the order `help` shows them. */
import type { Command } from "./command.ts";
import { consoleCommand } from "./console.ts";
import { createCommand } from "./create.ts";
import { dmesgCommand } from "./dmesg.ts";
import { helpCommand } from "./help.ts";
import { infoCommand } from "./info.ts";
import { jsCommand } from "./js.ts";
import { destroyCommand, pauseCommand, unpauseCommand } from "./life.ts";
import { listCommand } from "./list.ts";
import { poweroffCommand, rebootCommand } from "./power.ts";

export const commands: Command[] = [
  helpCommand(() => commands),
  infoCommand,
  createCommand,
  listCommand,
  consoleCommand,
  pauseCommand,
  unpauseCommand,
  destroyCommand,
  dmesgCommand,
  jsCommand,
  poweroffCommand,
  rebootCommand,
];

export function findCommand(name: string): Command | undefined {
  return commands.find((command) => command.name === name);
}
