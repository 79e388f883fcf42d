/** Where a domain's vCPUs may run and what share of the CPUs they get, as it is to be when the domain is made again. */
import { parseCpuList } from "../../api/cpu-list.ts";
import { setVcpuAffinity, setWeight } from "../hypercalls/domctl.ts";
import { physicalInfo } from "../hypercalls/sysctl.ts";

/** One vCPU's: CPU lists as `parseCpuList` reads them; what is not there is as it is made. */
export interface Affinity {
  hard?: string;
  soft?: string;
}

/** Of a domain, in its request. */
export interface Scheduling {
  weight?: number;
  /** By vCPU; null where it is as it is made. */
  affinity?: (Affinity | null)[];
}

/** Gives a new domain what its request says. Throws CommandError for a CPU that is not used, HypercallError. */
export function schedule(id: number, { weight, affinity }: Scheduling): void {
  if (weight !== undefined) setWeight(id, weight);
  if (affinity === undefined) return;
  const { cpus } = physicalInfo();
  affinity.forEach((one, vcpu) => {
    if (one === null) return;
    const mask = (list: string | undefined) => (list === undefined ? undefined : parseCpuList("cpus", list, cpus));
    setVcpuAffinity(id, vcpu, mask(one.hard), mask(one.soft));
  });
}

/** A domain's affinities with some vCPUs' changed. */
export function withAffinity(
  before: Scheduling["affinity"],
  vcpus: readonly number[],
  change: Affinity,
): (Affinity | null)[] {
  const changed = [...(before ?? [])];
  for (const vcpu of vcpus) {
    while (changed.length <= vcpu) changed.push(null);
    changed[vcpu] = { ...changed[vcpu], ...change };
  }
  return changed;
}
