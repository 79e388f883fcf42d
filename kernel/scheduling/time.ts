/**
 * System time: nanoseconds since the shim's first instruction, the same for every domain. It is computed from the TSC by the
 * same multiplication that guests do with their vcpu_time_info, so both agree to the nanosecond.
 */
import * as hw from "../../arch-x86/hw";
import { nsToTsc, tscToNs } from "../../arch-x86/host/tsc";

let zeroTsc: u64 = 0;

/** Sets system time 0 to `tsc`; before any other function is used. */
export function timeInit(tsc: u64): void {
  zeroTsc = tsc;
}

/** System time now, ns. */
export function nowNs(): u64 {
  return tscToNs(hw.rdtsc() - zeroTsc);
}

/** System time at which the host's TSC had the value `tsc`. */
export function nsAtTsc(tsc: u64): u64 {
  return tscToNs(tsc - zeroTsc);
}

/** Host TSC at system time `ns`; saturates far in the future. */
export function tscAtNs(ns: u64): u64 {
  // 2^60 ns is 36 years: beyond it the conversion's products would overflow.
  return ns >> 60 ? u64.MAX_VALUE : zeroTsc + nsToTsc(ns);
}
