import { SHUTDOWN_crash } from "../../../abi/sched.ts";
import { print, printed } from "../console/output.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { PAGE_SIZE } from "../window.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

/** State letters as `xl list` shows them: running, blocked, paused, shut down, crashed, dying. */
export function stateLetters(info: DomainInfo): string {
  const crashed = info.shutdown && info.shutdownCode === SHUTDOWN_crash;
  return [
    info.running ? "r" : "-",
    info.blocked ? "b" : "-",
    info.paused ? "p" : "-",
    info.shutdown && !crashed ? "s" : "-",
    crashed ? "c" : "-",
    info.dying ? "d" : "-",
  ].join("");
}

export const listCommand: Command = {
  name: "list",
  usage: "",
  summary: "list the domains",
  details: [
    "Mem in MiB; State: r running, b blocked, p paused, s shut down, c crashed, d dying; Time(s): CPU time used.",
  ],
  async run(words, { domains, interruption }) {
    parseOptions(words, {});
    print("Name                   ID    Mem VCPUs   State    Time(s)\n");
    for (const { info, name } of domains.list()) {
      if (interruption.raised) return;
      const mib = Math.round((info.pages * PAGE_SIZE) / (1024 * 1024));
      print(
        `${name.padEnd(20)} ${String(info.id).padStart(4)} ${String(mib).padStart(6)} ` +
          `${String(info.onlineVcpus).padStart(5)}   ${stateLetters(info)} ${(info.cpuTimeNs / 1e9).toFixed(1).padStart(9)}\n`,
      );
      await printed(interruption);
    }
  },
};
