/**
 * XEN_DOMCTL_soft_reset: a domain that has shut down goes on in its own memory and with its vCPUs' registers, as if its
 * kernel had just been started: what it had asked of the hypervisor is taken back. A kernel that starts another one
 * (Linux's kexec) shuts down with SHUTDOWN_soft_reset for it and goes on behind its own hypercall.
 *
 * As Xen's domain_soft_reset and arch_domain_soft_reset, and three things more, for nobody is left who could end them: the
 * domain's mappings of others' grants go, its timers stop, its watchdogs are freed.
 */
import { EINVAL, ENOMEM } from "../../abi/errno";
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
 * Lets a domain that shut down go on (also XEN_DOMCTL_resumedomain's). No effect on one that did not.
 */
export function domainResume(d: Domain): void {
  if (!d.shutdown) return;
  d.shutdown = 0;
  d.shutdownCode = SHUTDOWN_CODE_INVALID;
  domainPauseFlag(d, PAUSE_SHUTDOWN, false);
}

/**
 * Resets `d` for `by`, who has paused it.
 * @returns 0; -ERESTART gave way: to be called again; -EINVAL not a hardware domain of another's that is alive, has shut
 *   down and is paused; -EBUSY a reset of its event channels by somebody else is under way; -ENOMEM its memory limit leaves
 *   no frame to put where shared_info is mapped (nothing has changed)
 */
export function domainSoftReset(d: Domain, by: Vcpu): i32 {
  if (d.kind != DomainKind.Hvm || d.life != DomainLife.Alive || changetype<usize>(d) == changetype<usize>(by.domain)) {
    return -EINVAL;
  }
  if (!d.shutdown || !d.pauseCount) return -EINVAL;
  const resuming = evtchnResetBy(d, by.domain);
  // A hole would be left when the next kernel maps it elsewhere, in what that kernel takes for RAM.
  if (!replaceByRam(d, d.sharedInfoMfn)) return -ENOMEM;
  // The first of what may give way: it is done, and at once done again, when the second goes on.
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

/** Puts RAM where the domain has mapped the hypervisor's frame `mfn`, if anywhere. False: its limit, or no memory. */
function replaceByRam(d: Domain, mfn: u64): bool {
  const gfn = sharedFrameAt(mfn);
  return gfn == 0 || giveRam(d, gfn - 1, 0) == 0;
}

/** The same for the frames of the grant table, as far as the limit goes: a kernel may have mapped them over RAM. */
function fillGrantFrames(d: Domain): void {
  for (let i: u32 = 0; ; i++) {
    const mfn = grantFrameOf(d, i);
    if (!mfn || !replaceByRam(d, mfn)) return;
  }
}
