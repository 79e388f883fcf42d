/** The machine's features, detected once at start: counters of perfc.ts, and one log line. `check` prints them in detail. */
import { acpiCpus, acpiIommu } from "../../arch-x86/host/acpi";
import {
  HVM_FEATURE_DEADLINE,
  HVM_FEATURE_NEXT_RIP,
  HVM_FEATURE_SUPERPAGE_1G,
  HVM_FEATURE_SUPERPAGE_2M,
  HVM_FEATURE_TAGGED_TLB,
} from "../../arch-x86/features";
import { hvmFeatureMask } from "../../arch-x86/hvm";
import { say, sayDec, sayEnd } from "../../arch-x86/log";
import { vendor, VENDOR_VMX } from "../../arch-x86/vendor";
import { cpusOnline } from "../records/cpu-set";
import { virtualisationReady } from "./virtualisation";

let cpus: u32 = 0;
let iommu: u32 = 0;

/** Processors listed by the firmware; 0 if unknown. */
export function cpusFound(): u32 {
  return cpus;
}

/** IOMMU_* of arch-x86/host/acpi.ts. */
export function iommuFound(): u32 {
  return iommu;
}

let lacks: u32 = 0;

/** Adds `words` to the list of missing features, if missing. */
function lacking(there: bool, words: string): void {
  if (there) return;
  say(lacks++ == 0 ? "; lacks " : ", ");
  say(words);
}

/**
 * Detects and logs the features. Once, when virtualisation has been enabled.
 * @param rsdp physical address of ACPI's root pointer, 0 for none
 */
export function machineReport(rsdp: u64): void {
  cpus = acpiCpus(rsdp);
  iommu = acpiIommu(rsdp);
  const used = <u32>popcnt<u64>(cpusOnline());
  say("Machine: ");
  sayDec(used);
  say(" of ");
  sayDec(max(cpus, used));
  say(cpus > 1 ? " CPUs used" : " CPU used");
  if (virtualisationReady()) {
    const features = hvmFeatureMask();
    lacking((features & HVM_FEATURE_TAGGED_TLB) != 0, "VPIDs");
    lacking((features & HVM_FEATURE_SUPERPAGE_2M) != 0, "nested pages of 2 MiB");
    lacking((features & HVM_FEATURE_SUPERPAGE_1G) != 0, "nested pages of 1 GiB");
    lacking((features & HVM_FEATURE_NEXT_RIP) != 0, "next RIP");
    if (vendor == VENDOR_VMX) lacking((features & HVM_FEATURE_DEADLINE) != 0, "the preemption timer");
  }
  say(". `check` tells more.");
  sayEnd();
}
