/** A description as what domain 0's `create` takes. */
import type { Params } from "../../api/request.ts";
import type { createRequest } from "../../api/requests/domains.ts";
import type { DomainDescription } from "./description.ts";
import { vbdSettings, vifSettings } from "./settings.ts";

/**
 * @param kernel what the kernel is called in domain 0: a boot module, or an image that was put there
 * @param ramdisk likewise, where the description has one
 * @returns the request's parameters, and the UUID if the description has one
 */
export function createParams(
  domain: DomainDescription,
  kernel: string,
  ramdisk?: string,
): Params<typeof createRequest.arguments> & { uuid?: string } {
  const { name, uuid, cmdline, memoryMib, vcpus, policy, model, paused } = domain;
  return {
    kernel,
    ramdisk,
    cmdline,
    memory: memoryMib,
    vcpus,
    name,
    ...(uuid === undefined ? {} : { uuid }),
    paused,
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
