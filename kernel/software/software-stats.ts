/** Hypercall counts and time of software-isolated domains, for benchmarks: read through XEN_SYSCTL_perfc_op. */

let calls: u64 = 0;
let ticks: u64 = 0;

/** Counts a hypercall of a software domain that took `spent` TSC ticks to handle. */
export function softwareCallCount(spent: u64): void {
  calls++;
  ticks += spent;
}

/** Hypercalls handled so far; continued ones count once for each piece. */
export function softwareCalls(): u64 {
  return calls;
}

/** TSC ticks spent in their handlers. */
export function softwareCallTicks(): u64 {
  return ticks;
}
