import { bootModules } from "../boot-info.ts";
import { print } from "../console/output.ts";
import { formatBytes } from "../text.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

export const modulesCommand: Command = {
  name: "modules",
  usage: "",
  summary: "list the boot modules: kernels and ramdisks for `create`",
  run(words) {
    parseOptions(words, {});
    const modules = bootModules();
    if (modules.length === 0) print("there are no boot modules\n");
    for (const { name, size } of modules) print(`${name.padEnd(24)} ${formatBytes(size).padStart(12)}\n`);
  },
};
