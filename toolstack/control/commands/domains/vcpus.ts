/** Domains' vCPUs and where they may run. */
import { CommandError } from "../../../api/command-error.ts";
import { formatCpuList, parseCpuList } from "../../../api/cpu-list.ts";
import { parseCount } from "../../../api/options.ts";
import { vcpuListRequest, vcpuPinRequest } from "../../../api/requests/scheduling.ts";
import { withAffinity, type Affinity } from "../../domains/affinity.ts";
import { systemName } from "../../domains/system-domains.ts";
import { setVcpuAffinity, vcpuAffinity, vcpuInfo, type VcpuInfo } from "../../hypercalls/domctl.ts";
import { physicalInfo } from "../../hypercalls/sysctl.ts";
import { handler } from "../handler.ts";
import { namedDomain } from "../life.ts";
import { requestCommand } from "../request-command.ts";
import { listedDomains, type Listed } from "./listed.ts";

function stateLetters({ online, running, blocked }: VcpuInfo): string {
  return online ? `${running ? "r" : "-"}${blocked ? "b" : "-"}-` : "--p";
}

export const vcpuListCommand = requestCommand(
  handler(vcpuListRequest, ({ ids }, { domains }) => {
    const { cpus } = physicalInfo();
    return listedDomains(ids, domains).flatMap(({ info: { id, maxVcpus, dying }, name }) =>
      Array.from({ length: dying ? 0 : maxVcpus }, (_, vcpu) => {
        const info = vcpuInfo(id, vcpu);
        const { hard, soft } = vcpuAffinity(id, vcpu);
        return {
          name,
          id,
          vcpu,
          cpu: info.online ? info.cpu : null,
          state: stateLetters(info),
          cpuSeconds: info.cpuTimeNs / 1e9,
          hard: formatCpuList(hard, cpus),
          soft: formatCpuList(soft, cpus),
        };
      }),
    );
  }),
);

/** `-`, and what is not given: it stays as it is. */
function cpuArgument(what: string, text: string | undefined, cpus: number): bigint | undefined {
  return text === undefined || text === "-" ? undefined : parseCpuList(what, text, cpus);
}

export const vcpuPinCommand = requestCommand(
  handler(vcpuPinRequest, ({ id, vcpu, hard, soft }, { domains }) => {
    const { cpus } = physicalInfo();
    const [{ info, name }] = listedDomains([id], domains) as [Listed];
    const { maxVcpus } = info;
    const vcpus =
      vcpu === "all" ? Array.from({ length: maxVcpus }, (_, i) => i) : [parseCount("VCPU", vcpu, 0, maxVcpus - 1)];
    const masks = [cpuArgument("HARD", hard, cpus), cpuArgument("SOFT", soft, cpus)] as const;
    if (masks[0] === undefined && masks[1] === undefined) throw new CommandError("neither HARD nor SOFT is given");
    if (systemName(info.id) !== undefined) {
      // What is so anyway may be asked for: scripts pin domain 0.
      if (masks.every((mask) => mask === undefined || formatCpuList(mask, cpus) === "all")) return;
      throw new CommandError(`${name} runs on all CPUs: its vCPU is not pinned`);
    }
    const domain = namedDomain(id, domains);
    for (const each of vcpus) setVcpuAffinity(domain.id, each, ...masks);
    const { request } = domain;
    if (request === null) return;
    const change: Affinity = {};
    if (masks[0] !== undefined) change.hard = hard;
    if (masks[1] !== undefined) change.soft = soft;
    domain.request = { ...request, affinity: withAffinity(request.affinity, vcpus, change) };
    domains.saveNow(domain);
  }),
);
