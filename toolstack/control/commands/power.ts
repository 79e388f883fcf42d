import { SHUTDOWN_poweroff } from "../../../abi/sched.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "../../api/options.ts";

export const poweroffCommand: Command = {
  name: "poweroff",
  usage: "",
  summary: "end all domains and switch the machine off",
  run(words, { endMachine }) {
    parseOptions(words, {});
    endMachine(SHUTDOWN_poweroff);
  },
};

/** Domains that `exit` names; more are counted. */
const NAMED_MAX = 5;

export const exitCommand: Command = {
  name: "exit",
  usage: "",
  summary: "leave: switch the machine off, asking first when domains are there",
  details: ["As Ctrl-D on an empty line. Given twice in a row it ends the domains as `poweroff` does."],
  run(words, { domains, interactive, repeated, endMachine }) {
    parseOptions(words, {});
    const there = domains.all();
    if (interactive && !repeated && there.length > 0) {
      const names = there.length > NAMED_MAX ? `${there.length} domains` : there.join(", ");
      throw new CommandError(`${names}: \`exit\` again ends what is there and switches the machine off`);
    }
    endMachine(SHUTDOWN_poweroff);
  },
};
