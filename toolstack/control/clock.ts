/**
 * Time. The engine's sandbox has no RDTSC with which to extrapolate from vcpu_time_info, so the exact system time is queried
 * from the hypervisor, which takes about a microsecond.
 */
import { DOM0_SHARED_INFO } from "../../abi/domain0-layout.ts";
import { SharedInfo, VcpuInfo, VcpuTimeInfo } from "../../abi/xen.ts";
import { memory } from "./host.ts";
import { guestTime } from "./hypercalls/hvm.ts";
import { words } from "./window.ts";

const TIME_RECORD = DOM0_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.time;
const WALLCLOCK = DOM0_SHARED_INFO + SharedInfo.wc_version;

/** System time in ns: since the shim's first instruction. */
export function systemTime(): number {
  return guestTime();
}

/** Wall-clock time in milliseconds since 1970; 0 if the hypervisor does not know it. */
export function wallTimeMs(): number {
  for (;;) {
    const version = memory.load32(WALLCLOCK);
    const seconds =
      memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_sec_hi) * 0x100000000 +
      memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_sec);
    const ns = memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_nsec);
    // Odd while it is being written; on one CPU never seen, on several it is.
    if ((version & 1) === 0 && memory.load32(WALLCLOCK) === version) {
      return seconds === 0 ? 0 : seconds * 1000 + (ns + systemTime()) / 1e6;
    }
  }
}

/** The words of vcpu_time_info (TSC, system time, frequency) and of the wall clock, as they are: what differs from boot to boot. */
export function clockWords(): number[] {
  return [
    ...words(memory, TIME_RECORD, VcpuTimeInfo.SIZE / 4),
    ...words(memory, WALLCLOCK, 3),
    memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_sec_hi),
  ];
}
