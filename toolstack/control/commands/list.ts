import { SHUTDOWN_crash } from "../../../abi/sched.ts";
import { listRequest } from "../../api/requests/domains.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { PAGE_SIZE } from "../window.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";

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
