import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { SHUTDOWN_reboot } from "../../../abi/sched.ts";
import { shutdownDomain } from "../hypercalls/sched.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

export const ioRestartCommand: Command = {
  name: "io-restart",
  usage: "",
  summary: "start the I/O domain anew; guests' devices go on",
  details: [
    "It is ended where it is and starts from its image, also when it had crashed too often to be restarted by itself.",
    "Guests' networks and disks pause meanwhile.",
  ],
  run(words) {
    parseOptions(words, {});
    shutdownDomain(IO_DOMAIN, SHUTDOWN_reboot);
  },
};
