/** Flushing a guest's cached translations (SDM 3C 29.4.3). */
import { invept, invvpid } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { cpuControls2, CPU2_VPID, EPT_CAP_INVEPT_SINGLE, eptCapabilities } from "./controls";

const EPTP_FORMAT: u64 = 6 | (3 << 3); // write-back tables of four levels; accessed and dirty flags off
const INVEPT_SINGLE: u64 = 1;
const INVEPT_ALL: u64 = 2;
const INVVPID_SINGLE: u64 = 1;

/** The extended-page-table pointer for a root table. */
export function eptPointer(rootPa: u64): u64 {
  return rootPa | EPTP_FORMAT;
}

/** Everything that depends on this guest's EPT, in all its vCPUs' names: the tables changed. */
export function flushNested(v: HvmVcpu): void {
  const type = (eptCapabilities & EPT_CAP_INVEPT_SINGLE) != 0 ? INVEPT_SINGLE : INVEPT_ALL;
  const failed = invept(type, eptPointer(v.p2m.rootPa));
  assert(failed == 0, "INVEPT refused an EPT pointer");
  v.flushPending = 0;
}

/** The flush of a guest's change of paging mode, when the hypervisor emulates it. Without VPIDs every entry flushes. */
export function flushLinear(v: HvmVcpu): void {
  if ((cpuControls2 & CPU2_VPID) == 0) return;
  const failed = invvpid(INVVPID_SINGLE, v.tag, 0);
  assert(failed == 0, "INVVPID refused a VPID");
}
