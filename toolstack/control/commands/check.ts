import { checkRequest } from "../../api/requests/inspect.ts";
import { hostCpuPolicy, performanceCounters, physicalInfo } from "../hypercalls/sysctl.ts";
import { hypervisorBelow, machineFeatures } from "../machine-features.ts";
import { guestRefusal } from "../refusal.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";

export const checkCommand = requestCommand(
  handler(checkRequest, () => {
    const policy = hostCpuPolicy();
    const counters = performanceCounters();
    const refusal = guestRefusal();
    const features = machineFeatures({
      policy,
      physical: physicalInfo(),
      cpusFound: counters.get("machine.cpus")?.[0] ?? 0,
      iommu: counters.get("machine.iommu")?.[0] ?? 0,
      dmaConfined: counters.get("machine.dma_confined")?.[0] === 1,
      refusal,
    });
    return {
      features: features.map(({ detail = null, ...feature }) => ({ ...feature, detail })),
      nested: hypervisorBelow(policy),
      refusal,
    };
  }),
);
