/** A vCPU's run state (xen/vcpu.h): how long it was running, runnable, blocked and offline, and the copy that a guest registers. */
import { Vcpu } from "../records/vcpu";
import { VcpuRunstateInfo, RUNSTATE_runnable, RUNSTATE_running } from "../../abi/vcpu";
import { copyToGuest } from "../memory/guest-copy";

/** Bit 63 of state_entry_time while a record with VMASST_TYPE_runstate_update_flag changes. */
const XEN_RUNSTATE_UPDATE: u64 = 1 << 63;

/** The 32-bit layout of vcpu_runstate_info has no hole before its first u64. */
const COMPAT_RUNSTATE_SIZE: u32 = 44;

const record: usize = memory.data(48, 16);

/**
 * Fills a vcpu_runstate_info at linear `at`.
 * @param now system time: the time in the present state is counted up to here
 */
export function runstateRecord(v: Vcpu, at: usize, now: u64): void {
  store<u32>(at + VcpuRunstateInfo.state, v.runstate);
  store<u32>(at + 4, 0);
  store<u64>(at + VcpuRunstateInfo.state_entry_time, v.runstateSince);
  const times = changetype<usize>(v) + offsetof<Vcpu>("runstateTime0");
  for (let i: u32 = 0; i < 4; i++) {
    let time = load<u64>(times + (i << 3));
    if (i == v.runstate && now > v.runstateSince) time += now - v.runstateSince;
    store<u64>(at + VcpuRunstateInfo.time + (i << 3), time);
  }
}

/** Changes a vCPU's run state at system time `now`. */
export function runstateSet(v: Vcpu, state: u32, now: u64): void {
  if (v.runstate == state) return;
  const slot = changetype<usize>(v) + offsetof<Vcpu>("runstateTime0") + ((<usize>v.runstate) << 3);
  if (now > v.runstateSince) store<u64>(slot, load<u64>(slot) + (now - v.runstateSince));
  v.runstateSince = now;
  v.runstate = state;
}

/** Time until `now` that the vCPU was runnable without having a CPU, ns. */
export function runstateWaitedNs(v: Vcpu, now: u64): u64 {
  const waits = v.runstate == RUNSTATE_runnable && now > v.runstateSince;
  return waits ? v.runstateTime1 + (now - v.runstateSince) : v.runstateTime1;
}

/** CPU time the vCPU has had until `now`, ns. */
export function runstateCpuNs(v: Vcpu, now: u64): u64 {
  const running = v.runstate == RUNSTATE_running && now > v.runstateSince;
  return running ? v.runstateTime0 + (now - v.runstateSince) : v.runstateTime0;
}

/** Updates the guest's registered copy; the vCPU has just been scheduled. No effect without one. */
export function updateRunstate(v: Vcpu): void {
  if (!v.runstateGva) return;
  runstateRecord(v, record, v.runstateSince);
  const compat = v.runstateCompat != 0;
  const entryAt: u32 = compat ? 4 : VcpuRunstateInfo.state_entry_time;
  const since = record + VcpuRunstateInfo.state_entry_time;
  if (v.domain.runstateUpdateFlag) {
    store<u64>(since, v.runstateSince | XEN_RUNSTATE_UPDATE);
    copyToGuest(v, v.runstateGva + entryAt + 7, since + 7, 1);
  }
  if (compat) {
    copyToGuest(v, v.runstateGva, record, 4);
    copyToGuest(v, v.runstateGva + 4, since, COMPAT_RUNSTATE_SIZE - 4);
  } else {
    copyToGuest(v, v.runstateGva, record, VcpuRunstateInfo.SIZE);
  }
  if (v.domain.runstateUpdateFlag) {
    store<u64>(since, v.runstateSince);
    copyToGuest(v, v.runstateGva + entryAt + 7, since + 7, 1);
  }
}
