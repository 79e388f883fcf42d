import { SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

export const poweroffCommand: Command = {
  name: "poweroff",
  usage: "",
  summary: "end all domains and switch the machine off",
  run(words, { endMachine }) {
    parseOptions(words, {});
    endMachine(SHUTDOWN_poweroff);
  },
};
