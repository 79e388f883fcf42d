/**
 * Time as Xen's pvclock gives it. The engine's sandbox has no RDTSC; the hypervisor writes vcpu_time_info whenever it
 * enters domain 0, so the time read is that of the latest entry: at most a time slice old.
 */
import { DOM0_SHARED_INFO } from "../../abi/software.ts";
import { SharedInfo, VcpuInfo, VcpuTimeInfo } from "../../abi/xen.ts";
import { memory } from "./host.ts";
import { load64 } from "./window.ts";

const TIME = DOM0_SHARED_INFO + SharedInfo.vcpu_info + VcpuInfo.time;
const WALLCLOCK = DOM0_SHARED_INFO + SharedInfo.wc_version;

/** System time in ns: since the machine's start. */
export function systemTime(): number {
  for (;;) {
    const version = memory.load32(TIME + VcpuTimeInfo.version);
    const ns = load64(memory, TIME + VcpuTimeInfo.system_time);
    // Odd while it is being written; on one CPU never seen, on several it is.
    if ((version & 1) === 0 && memory.load32(TIME + VcpuTimeInfo.version) === version) return ns;
  }
}

/** Wall-clock time in milliseconds since 1970; 0 when the hypervisor knows none. */
export function wallTimeMs(): number {
  for (;;) {
    const version = memory.load32(WALLCLOCK);
    const seconds =
      memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_sec_hi) * 0x100000000 +
      memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_sec);
    const ns = memory.load32(DOM0_SHARED_INFO + SharedInfo.wc_nsec);
    if ((version & 1) === 0 && memory.load32(WALLCLOCK) === version) {
      return seconds === 0 ? 0 : seconds * 1000 + (ns + systemTime()) / 1e6;
    }
  }
}
