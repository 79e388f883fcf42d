/**
 * Starting a software-isolated domain, and restarting it after it crashed, hung or shut down as crashed: its
 * memory is discarded, its mappings of other domains are removed, and it starts again from the heap snapshot in the image.
 * Guests keep running; their event channels to it become unbound until it binds them again.
 */
import { DOM0_CALL_PAGE, DOM0_SHARED_INFO } from "../../abi/domain0-layout";
import * as hw from "../../arch-x86/hw";
import { P2M_SHARED } from "../../arch-x86/p2m-types";
import { vcpuOf } from "../records/domain-access";
import { Domain, SHUTDOWN_CODE_INVALID } from "../records/domain";
import { domainReleaseMemory } from "../memory/domain-memory";
import { evtchnReset, evtchnResetsForget } from "../events/event-channel";
import { panic } from "../machine/panic";
import { physmapClear, physmapMap } from "../memory/physmap";
import { vcpuUp, vcpuWake } from "../scheduling/scheduler";
import { updateTime, updateWallclock, vcpuInfoFree } from "../events/shared-info";
import { softwareClaim, softwareGiveFrame } from "../memory/software-memory";
import { startInfoBuild } from "./start-info";
import { nowNs } from "../scheduling/time";
import { Vcpu } from "../records/vcpu";
import { vcpuTimersStop } from "../domains/vcpu-timers";
import { sharedFrameMoved } from "../memory/frames";
import { grantTableReleaseMappings } from "../grants/grant-map";
import { grantTableReset } from "../grants/grant-frames";
import { watchdogsFree } from "../domains/watchdogs";
import { RESTARTS_MAX, SoftwareDomain, softwareOf } from "../records/software-domain";
import { Cpu } from "../records/cpu";

/** After more than RESTARTS_MAX crashes within this time the domain is not restarted again. */
const CRASH_WINDOW_NS: u64 = 60000000000;

/** Performs the restart requested by softwareRestartLater for the first on the list of CPU `c`. From its loop only. */
export function softwareRestart(c: Cpu): void {
  const d = changetype<Domain>(c.restarts);
  const s = softwareOf(d);
  c.restarts = s.nextRestart;
  s.restartWanted = 0;
  if (s.restartForgiven) s.restartForgiven = 0;
  else countCrash(s);
  softwareClear(d);
  if (!softwareBegin(d)) panic("no memory to restart domain 0");
}

/** Records a crash; too many in a short time stop the machine. */
function countCrash(s: SoftwareDomain): void {
  const now = nowNs();
  const oldest =
    changetype<usize>(s) + offsetof<SoftwareDomain>("restartTime0") + ((<usize>s.restarts % RESTARTS_MAX) << 3);
  if (s.restarts >= RESTARTS_MAX && now - load<u64>(oldest) < CRASH_WINDOW_NS) {
    panic("domain 0 crashed too often");
  }
  store<u64>(oldest, now);
  s.restarts++;
}

/** Releases all resources of the domain; it keeps its id, its vCPU and its (empty) tables. */
function softwareClear(d: Domain): void {
  const v = vcpuOf(d, 0)!;
  vcpuTimersStop(v);
  watchdogsFree(d);
  evtchnResetsForget(d);
  evtchnReset(d, null, false);
  grantTableReleaseMappings(d, null);
  grantTableReset(d);
  vcpuInfoFree(v);
  v.runstateGva = 0;
  v.timeInfoGva = 0;
  v.polling = 0;
  v.hypercallPending = 0;
  physmapClear(d, null);
  while (domainReleaseMemory(d)) {}
  for (let at: u64 = 0; at < 4096; at += 8) hw.store64((d.sharedInfoMfn << 12) + at, 0);
  d.shutdownCode = SHUTDOWN_CODE_INVALID;
}

/**
 * Fills the domain's memory from the snapshot and makes its vCPU ready at the engine's entry.
 * @returns false when out of memory
 */
export function softwareBegin(d: Domain): bool {
  const s = softwareOf(d);
  hw.softwareReset(s.space);
  softwareClaim(d, hw.imageSize(s.space));
  const pages = hw.imagePages(s.space);
  for (let i: u32 = 0; i < pages; i++) {
    const mfn = softwareGiveFrame(d, hw.imagePageNumber(s.space, i));
    if (!mfn) return false;
    hw.imagePageCopy(s.space, i, mfn);
  }
  s.callPagePa = softwareGiveFrame(d, DOM0_CALL_PAGE >> 12) << 12;
  if (!s.callPagePa || !startInfoBuild(d)) return false;
  if (physmapMap(d, DOM0_SHARED_INFO >> 12, d.sharedInfoMfn, P2M_SHARED)) return false;
  sharedFrameMoved(d.sharedInfoMfn, (DOM0_SHARED_INFO >> 12) + 1);
  updateWallclock(d);
  const v = vcpuOf(d, 0)!;
  v.initialised = 1;
  begin(v);
  return true;
}

/** Events start masked, as for a PV guest; the vCPU becomes runnable regardless of its previous state. */
function begin(v: Vcpu): void {
  vcpuInfoFree(v);
  updateTime(v);
  vcpuUp(v);
  vcpuWake(v);
}
