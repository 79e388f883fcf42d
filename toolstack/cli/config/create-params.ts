/** A description as what domain 0's `create` takes. */
import type { Params } from "../../api/request.ts";
import type { createRequest } from "../../api/requests/domains.ts";
import type { DomainDescription } from "./description.ts";
import { vbdSettings, vifSettings } from "./settings.ts";

/** What `config-update` takes of it. */
type Making = Omit<Params<typeof createRequest.arguments>, "name" | "uuid" | "paused">;

/**
 * @param kernel what the kernel is called in domain 0: a boot module, or an image that was put there
 * @param ramdisk likewise, where the description has one
 */
export function createParams(
  domain: DomainDescription,
  kernel: string,
  ramdisk?: string,
): Params<typeof createRequest.arguments> {
  const { name, uuid, paused } = domain;
  return { ...makingParams(domain, kernel, ramdisk), name, uuid, paused };
}

/** As `createParams`, of everything but the domain's name, its UUID and whether it runs at once. */
export function makingParams(domain: DomainDescription, kernel: string, ramdisk?: string): Making {
  const { cmdline, memoryMib, vcpus, maxVcpus, weight, cpus, cpusSoft, policy, model } = domain;
  return {
    kernel,
    ramdisk,
    cmdline,
    memory: memoryMib,
    vcpus,
    maxVcpus,
    weight,
    cpus,
    cpusSoft,
    onPoweroff: policy.poweroff,
    onReboot: policy.reboot,
    onCrash: policy.crash,
    onSoftReset: policy.softReset,
    vif: domain.vifs.map(vifSettings),
    vbd: domain.vbds.map(vbdSettings),
    noxs: model === "noxs",
    xenbus: model === "xenbus",
  };
}
