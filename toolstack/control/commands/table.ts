/** All console commands, in the order `help` shows them. */
import { memSetCommand, rebootCommand, shutdownCommand, sysrqCommand, vcpuSetCommand } from "./ask.ts";
import { bridgeCommand } from "./devices/bridge.ts";
import { checkCommand } from "./check.ts";
import type { Command } from "./command.ts";
import { controlCommand } from "./machine/control.ts";
import { consoleCommand, logsCommand, waitCommand } from "./console.ts";
import { createCommand } from "./create.ts";
import { debugKeysCommand } from "./machine/debug-keys.ts";
import { dmesgCommand } from "./dmesg.ts";
import { echoCommand } from "./echo.ts";
import type { AnyHandler } from "./handler.ts";
import { helpCommand } from "./help.ts";
import { imageCommand, imagePut } from "./image.ts";
import { infoCommand } from "./info.ts";
import { ioRestartCommand } from "./machine/io-restart.ts";
import { jsCommand } from "./js.ts";
import { destroyCommand, pauseCommand, unpauseCommand } from "./life.ts";
import { listCommand } from "./list.ts";
import { modulesCommand } from "./modules.ts";
import { forward } from "./devices/forward.ts";
import { exitCommand, poweroffCommand } from "./power.ts";
import { configUpdateCommand } from "./domains/config-update.ts";
import { memMaxCommand } from "./domains/mem-max.ts";
import { renameCommand } from "./domains/rename.ts";
import { schedCommand } from "./domains/sched.ts";
import { uptimeCommand } from "./domains/uptime.ts";
import { vcpuListCommand, vcpuPinCommand } from "./domains/vcpus.ts";
import { topCommand } from "./top.ts";
import { triggerCommand } from "./trigger.ts";
import { diskCommand } from "./devices/disk.ts";
import { vbdCommand } from "./devices/vbd.ts";
import { vifCommand } from "./devices/vif.ts";
import { volumeCommand } from "./devices/volume.ts";
import { xenctxCommand } from "./xenctx.ts";
import { xenstoreListCommand, xenstoreReadCommand, xenstoreRemoveCommand, xenstoreWriteCommand } from "./xenstore.ts";

export const commands: Command[] = [
  helpCommand(() => commands),
  infoCommand,
  checkCommand,
  modulesCommand,
  imageCommand,
  createCommand,
  configUpdateCommand,
  listCommand,
  uptimeCommand,
  topCommand,
  consoleCommand,
  logsCommand,
  waitCommand,
  pauseCommand,
  unpauseCommand,
  renameCommand,
  shutdownCommand,
  destroyCommand,
  sysrqCommand,
  triggerCommand,
  vcpuSetCommand,
  vcpuListCommand,
  vcpuPinCommand,
  schedCommand,
  memSetCommand,
  memMaxCommand,
  bridgeCommand,
  vifCommand,
  diskCommand,
  volumeCommand,
  vbdCommand,
  xenstoreListCommand,
  xenstoreReadCommand,
  xenstoreWriteCommand,
  xenstoreRemoveCommand,
  xenctxCommand,
  controlCommand,
  ioRestartCommand,
  debugKeysCommand,
  dmesgCommand,
  jsCommand,
  echoCommand,
  poweroffCommand,
  rebootCommand,
  exitCommand,
];

/** The requests that can be made from outside, by name. */
export const handlers: ReadonlyMap<string, AnyHandler> = new Map(
  [...commands.flatMap((command) => command.handlers ?? []), imagePut, forward].map((handler) => [
    handler.request.name,
    handler,
  ]),
);

export function findCommand(name: string): Command | undefined {
  return commands.find((command) => command.name === name);
}

export function isCommand(name: string): boolean {
  return findCommand(name) !== undefined;
}
