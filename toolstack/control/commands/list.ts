import { listRequest } from "../../api/requests/domains.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { PAGE_SIZE } from "../window.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";

/** By SHUTDOWN_*: poweroff, reboot, suspend, crash, watchdog, soft reset. */
const SHUTDOWN_LETTERS = "-rscwS";

/** State letters as `xl list` shows them: running, blocked, paused, shut down, why that is, dying. */
export function stateLetters(info: DomainInfo): string {
  return [
    info.running ? "r" : "-",
    info.blocked ? "b" : "-",
    info.paused ? "p" : "-",
    info.shutdown ? "s" : "-",
    info.shutdown ? (SHUTDOWN_LETTERS[info.shutdownCode] ?? "?") : "-",
    info.dying ? "d" : "-",
  ].join("");
}

export const listCommand = requestCommand(
  handler(listRequest, (_params, { domains }) =>
    domains.list().map(({ info, name }) => ({
      name,
      id: info.id,
      memoryMib: Math.round((info.pages * PAGE_SIZE) / (1024 * 1024)),
      vcpus: info.onlineVcpus,
      state: stateLetters(info),
      cpuSeconds: info.cpuTimeNs / 1e9,
    })),
  ),
);
