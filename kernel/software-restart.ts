/**
 * Starting a software-isolated domain, and starting it anew after it crashed, ran away or shut down as crashed: its
 * memory is thrown away, what it held of others is let go, and it begins again from the heap snapshot in the image.
 * Guests run on; their event channels to it become unbound until it binds them again.
 */
import { DOM0_CALL_PAGE, DOM0_SHARED_INFO } from "../abi/software";
import * as hw from "../arch-x86/hw";
import { say, sayDec, sayEnd } from "../arch-x86/log";
import { P2M_SHARED } from "../arch-x86/p2m-types";
import { vcpuOf } from "./access";
import { cpuOf } from "./cpu";
import { Domain, SHUTDOWN_CODE_INVALID } from "./domain";
import { domainReleaseMemory } from "./domain-memory";
import { evtchnReset, evtchnResetsForget } from "./event-channel";
import { grantTableReleaseMappings, grantTableReset } from "./grant-table";
import { panic } from "./panic";
import { physmapClear, physmapMap } from "./physmap";
import { watchdogsFree } from "./sched-op";
import { vcpuUp, vcpuWake } from "./scheduler";
import { updateTime, updateWallclock, vcpuInfoFree } from "./shared-info";
import { engineResize, softwareGiveFrame } from "./software-memory";
import { startInfoBuild } from "./start-info";
import { nowNs } from "./time";
import { Vcpu } from "./vcpu";
import { vcpuTimersStop } from "./vcpu-timers";

/** Restarts within CRASH_WINDOW_NS; a crash beyond them means that it will never work. */
const RESTARTS_MAX: u32 = 5;
const CRASH_WINDOW_NS: u64 = 60000000000;
const crashTimes: usize = memory.data(8 * 5);
let crashes: u32 = 0;

/** Domain to be started anew before anything else runs; 0 none. */
let pending: usize = 0;
/** Machine address of the call page. */
let callPage: u64 = 0;

/** Physical address of the domain's call page (abi/software.ts, CallPage). */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function callPagePa(): u64 {
  return callPage;
}

/** Asks for a fresh start, at the next turn of the loop: the caller may stand in the middle of the domain's hypercall. */
export function softwareRestartLater(d: Domain, why: string): void {
  if (pending) return;
  say("Domain ");
  sayDec(d.id);
  say(" is restarted: ");
  say(why);
  sayEnd();
  pending = changetype<usize>(d);
  cpuOf(0).reschedule = 1;
  const v = vcpuOf(d, 0);
  if (v != null) v.hypercallPending = 0;
}

/** True from softwareRestartLater until the fresh start. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function softwareRestartWanted(): bool {
  return pending != 0;
}

/** Does what softwareRestartLater asked for. From the CPU's loop, in no one's hypercall. */
export function softwareRestart(): void {
  const d = changetype<Domain>(pending);
  const now = nowNs();
  const oldest = crashTimes + ((<usize>crashes % RESTARTS_MAX) << 3);
  if (crashes >= RESTARTS_MAX && now - load<u64>(oldest) < CRASH_WINDOW_NS) {
    panic("domain 0 crashed too often");
  }
  store<u64>(oldest, now);
  crashes++;
  softwareClear(d);
  pending = 0;
  if (!softwareBegin(d)) panic("no memory to restart domain 0");
}

/** Lets go of everything the domain holds; it keeps its id, its vCPU and its (empty) tables. */
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
 * @returns false when memory is out
 */
export function softwareBegin(d: Domain): bool {
  hw.softwareReset(d.space);
  if (!engineResize(hw.imageSize())) return false;
  const pages = hw.imagePages();
  for (let i: u32 = 0; i < pages; i++) {
    const mfn = softwareGiveFrame(d, hw.imagePageNumber(i));
    if (!mfn) return false;
    hw.imagePageCopy(i, mfn);
  }
  callPage = softwareGiveFrame(d, DOM0_CALL_PAGE >> 12) << 12;
  if (!callPage || !startInfoBuild(d)) return false;
  if (physmapMap(d, DOM0_SHARED_INFO >> 12, d.sharedInfoMfn, P2M_SHARED)) return false;
  d.sharedInfoGfn = (DOM0_SHARED_INFO >> 12) + 1;
  updateWallclock(d);
  const v = vcpuOf(d, 0)!;
  v.initialised = 1;
  begin(v);
  return true;
}

/** Events start masked, as for a PV guest; whatever state the vCPU was in, it is runnable. */
function begin(v: Vcpu): void {
  vcpuInfoFree(v);
  updateTime(v);
  vcpuUp(v);
  vcpuWake(v);
}
