/**
 * Starting a software-isolated domain, and restarting it after it crashed, hung or shut down as crashed: its
 * memory is discarded, its mappings of other domains are removed, and it starts again from the image in the shim.
 * Guests keep running; their event channels to it become unbound until it binds them again. Domain 0 learns that the I/O domain
 * was restarted as it learns of a domain's end, by VIRQ_DOM_EXC.
 *
 * When one has crashed too often in a short time, the machine stops if it is domain 0; the I/O domain stays shut down, as a
 * crashed guest does, until domain 0 has it restarted.
 */
import { SHUTDOWN_crash } from "../../abi/sched";
import { VIRQ_DOM_EXC } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { P2M_SHARED } from "../../arch-x86/p2m-types";
import { vcpuOf } from "../records/domain-access";
import { Domain, SHUTDOWN_CODE_INVALID } from "../records/domain";
import { dmaClear } from "../memory/dma-space";
import { domainReleaseMemory } from "../memory/domain-memory";
import { domainChanged } from "../records/domain-list";
import { evtchnReset, evtchnResetsForget, sendGlobalVirq } from "../events/event-channel";
import { panic } from "../machine/panic";
import { physmapClear, physmapMap } from "../memory/physmap";
import { domainPauseFlag, PAUSE_SHUTDOWN, vcpuUp, vcpuWake } from "../scheduling/scheduler";
import { updateTime, updateWallclock, vcpuInfoFree } from "../events/shared-info";
import { softwareClaim, softwareGiveFrame } from "../memory/software-memory";
import { startInfoBuild } from "./start-info";
import { nowNs } from "../scheduling/time";
import { Vcpu } from "../records/vcpu";
import { vcpuTimersStop } from "../domains/vcpu-timers";
import { frameGet, framePut, sharedFrameMoved } from "../memory/frames";
import { say, sayDec, sayEnd } from "../../arch-x86/log";
import { grantTableReleaseMappings } from "../grants/grant-map";
import { grantTableReset } from "../grants/grant-frames";
import { watchdogsFree } from "../domains/watchdogs";
import { devicesRelease } from "../devices/pirq";
import { drivesDevices, RESTARTS_MAX, SoftwareDomain, softwareOf } from "../records/software-domain";
import { Cpu } from "../records/cpu";

/** After more than RESTARTS_MAX crashes within this time the domain is not restarted again. */
const CRASH_WINDOW_NS: u64 = 60000000000;

/** Performs the restart requested by softwareRestartLater for the first on the list of CPU `c`. From its loop only. */
export function softwareRestart(c: Cpu): void {
  const d = changetype<Domain>(c.restarts);
  const s = softwareOf(d);
  c.restarts = s.nextRestart;
  s.restartWanted = 0;
  let again: bool = true;
  if (s.restartForgiven) s.restartForgiven = 0;
  else again = countCrash(s);
  if (!again && d.privileged) panic("domain 0 crashed too often");
  softwareClear(d);
  if (again && softwareBegin(d)) {
    revive(d);
  } else {
    if (d.privileged) panic("no memory to restart domain 0");
    if (again) softwareClear(d);
    remainDown(d, again ? "there is no memory for it" : "it has crashed too often");
  }
  if (d.privileged) return;
  domainChanged(d.id);
  sendGlobalVirq(VIRQ_DOM_EXC);
}

/** Records a crash. False: one too many in a short time. */
function countCrash(s: SoftwareDomain): bool {
  const now = nowNs();
  const oldest =
    changetype<usize>(s) + offsetof<SoftwareDomain>("restartTime0") + ((<usize>s.restarts % RESTARTS_MAX) << 3);
  if (s.restarts >= RESTARTS_MAX && now - load<u64>(oldest) < CRASH_WINDOW_NS) return false;
  store<u64>(oldest, now);
  s.restarts++;
  return true;
}

/** It runs, whether it was shut down or not. One that was shut down begins with a clean record. */
function revive(d: Domain): void {
  if (!d.shutdown) return;
  d.shutdown = 0;
  softwareOf(d).restarts = 0;
  domainPauseFlag(d, PAUSE_SHUTDOWN, false);
}

/** It is not restarted. All it had is gone; it can be asked to be restarted. */
function remainDown(d: Domain, why: string): void {
  say("Domain ");
  sayDec(d.id);
  say(" remains shut down: ");
  say(why);
  sayEnd();
  d.shutdown = 1;
  d.shutdownCode = SHUTDOWN_crash;
  domainPauseFlag(d, PAUSE_SHUTDOWN, true);
}

/** Releases all resources of the domain; it keeps its id, its vCPU and its (empty) tables. */
function softwareClear(d: Domain): void {
  const v = vcpuOf(d, 0)!;
  if (drivesDevices(d)) devicesRelease(d); // before its memory is another's: devices write there
  vcpuTimersStop(v);
  watchdogsFree(d);
  evtchnResetsForget(d);
  evtchnReset(d, null, false);
  dmaClear(d);
  grantTableReleaseMappings(d, null);
  grantTableReset(d);
  vcpuInfoFree(v);
  v.runstateGva = 0;
  v.timeInfoGva = 0;
  v.polling = 0;
  v.hypercallPending = 0;
  const s = softwareOf(d);
  if (s.callPagePa) framePut(s.callPagePa >> 12);
  s.callPagePa = 0;
  physmapClear(d, null);
  while (domainReleaseMemory(d)) {}
  for (let at: u64 = 0; at < 4096; at += 8) hw.store64((d.sharedInfoMfn << 12) + at, 0);
  d.shutdownCode = SHUTDOWN_CODE_INVALID;
}

/**
 * Fills the domain's memory from its image and makes its vCPU ready at its entry.
 * @returns false when out of memory
 */
export function softwareBegin(d: Domain): bool {
  const s = softwareOf(d);
  hw.softwareReset(s.space);
  const pages = hw.imagePages(s.space);
  // Of memory that does not grow the image tells the size, not how much is used: that is data up to its last page.
  softwareClaim(d, s.layout.ramFixed ? hw.imagePageNumber(s.space, pages - 1) + 1 : hw.imageSize(s.space));
  for (let i: u32 = 0; i < pages; i++) {
    const mfn = softwareGiveFrame(d, hw.imagePageNumber(s.space, i));
    if (!mfn) return false;
    hw.imagePageCopy(s.space, i, mfn);
  }
  // The hypervisor writes results there: the reference keeps the frame, whatever the domain does with its mapping.
  const callPage = softwareGiveFrame(d, s.layout.callPage);
  if (!callPage || !frameGet(callPage, d.id)) return false;
  s.callPagePa = callPage << 12;
  if (!startInfoBuild(d)) return false;
  if (physmapMap(d, s.layout.sharedInfo, d.sharedInfoMfn, P2M_SHARED)) return false;
  sharedFrameMoved(d.sharedInfoMfn, s.layout.sharedInfo + 1);
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
