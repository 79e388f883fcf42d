/** Sets of physical CPUs: bit n for CPU n. */
import { cpuOf, CPUS_MAX } from "./cpu";

/** CPUs that run this hypervisor. */
export function cpusOnline(): u64 {
  let set: u64 = 0;
  for (let i: u32 = 0; i < CPUS_MAX; i++) if (cpuOf(i).online) set |= (<u64>1) << i;
  return set;
}

/** One more than the highest of them. */
export function cpusLimit(): u32 {
  return 64 - <u32>clz<u64>(cpusOnline());
}
