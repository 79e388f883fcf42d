/**
 * XEN_DOMCTL_soft_reset: a domain that has shut down continues with its memory and its vCPUs' registers, but all state that it
 * had set up in the hypervisor is reset as for a new domain. A kernel that starts another one (Linux's kexec) shuts down with
 * SHUTDOWN_soft_reset for this and continues after that hypercall.
 *
 * As Xen's domain_soft_reset and arch_domain_soft_reset, plus three things that the new kernel could not undo: the
 * domain's mappings of others' grants are removed, its timers are stopped, its watchdogs are freed.
 */
import { hvmParamSet } from "./hvm-params";
import { EINVAL, ENOMEM } from "../../abi/errno";
import { HVM_PARAM_ACPI_S_STATE } from "../../abi/hvm";
import { evtchnReset, evtchnResetBy } from "../events/event-channel";
import { sharedInfoReset } from "../events/shared-info";
import { grantFrameOf } from "../grants/grant-frames";
import { grantTableReleaseMappings } from "../grants/grant-map";
import { sharedFrameAt } from "../memory/frames";
import { giveRam } from "../memory/guest-pages";
import { vcpuOf } from "../records/domain-access";
import { Domain, DomainKind, DomainLife, SHUTDOWN_CODE_INVALID } from "../records/domain";
import { Vcpu } from "../records/vcpu";
import { domainPauseFlag, PAUSE_SHUTDOWN } from "../scheduling/scheduler";
import { periodicSet, singleshotStop } from "./vcpu-timers";
import { watchdogsFree } from "./watchdogs";

/**
 * Resumes a domain that has shut down (also for XEN_DOMCTL_resumedomain), awake if it was in ACPI's S3 (acpi-sleep.ts). No
 * effect on others.
 */
export function domainResume(d: Domain): void {
  if (!d.shutdown) return;
  d.shutdown = 0;
  d.shutdownCode = SHUTDOWN_CODE_INVALID;
  if (d.hvmParams) hvmParamSet(d, HVM_PARAM_ACPI_S_STATE, 0);
  domainPauseFlag(d, PAUSE_SHUTDOWN, false);
}

/**
 * Resets `d`, which has been paused, on behalf of `by`.
 * @returns 0; -ERESTART preempted: call again; -EINVAL not another, live hardware domain that has shut down and is
 * paused; -EBUSY another domain's reset of its event channels is in progress; -ENOMEM its memory limit leaves
 * no frame to replace the mapping of shared_info (nothing has changed)
 */
export function domainSoftReset(d: Domain, by: Vcpu): i32 {
  if (d.kind != DomainKind.Hvm || d.life != DomainLife.Alive || changetype<usize>(d) == changetype<usize>(by.domain)) {
    return -EINVAL;
  }
  if (!d.shutdown || !d.pauseCount) return -EINVAL;
  const resuming = evtchnResetBy(d, by.domain);
  // Otherwise a hole would remain in what the next kernel takes for RAM when it maps shared_info elsewhere.
  if (!replaceByRam(d, d.sharedInfoMfn)) return -ENOMEM;
  // The first preemptible step: once done, repeating it is cheap when the second one continues.
  let rc = grantTableReleaseMappings(d, by);
  if (!rc) rc = evtchnReset(d, by, resuming);
  if (rc) return rc;
  fillGrantFrames(d);
  sharedInfoReset(d);
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v == null) continue;
    singleshotStop(v);
    periodicSet(v, 0);
    v.runstateGva = 0;
    v.timeInfoGva = 0;
  }
  watchdogsFree(d);
  domainResume(d);
  return 0;
}

/** Replaces the domain's mapping of the hypervisor's frame `mfn`, if any, by RAM. False: at its limit, or no memory. */
function replaceByRam(d: Domain, mfn: u64): bool {
  const gfn = sharedFrameAt(mfn);
  return gfn == 0 || giveRam(d, gfn - 1, 0) == 0;
}

/** The same for the frames of the grant table, up to the memory limit: a kernel may have mapped them over RAM. */
function fillGrantFrames(d: Domain): void {
  for (let i: u32 = 0; ; i++) {
    const mfn = grantFrameOf(d, i);
    if (!mfn || !replaceByRam(d, mfn)) return;
  }
}
