/** HYPERVISOR_set_timer_op: the single-shot timer of the calling vCPU. */
import { singleshotSet, singleshotStop } from "../domains/vcpu-timers";
import { nowNs } from "../scheduling/time";
import { Vcpu } from "../records/vcpu";

/** Timeouts further away than this (13 days), or negative, are taken for a wrapped clock: an early event is the best answer. */
const FAR_NS: i64 = 1 << 50;
const SOON_NS: u64 = 100000000;

/** `timeout`: absolute system time in ns, 0 to stop; a 32-bit caller passes it in two registers. Always 0. */
export function setTimerOp(v: Vcpu, timeout: u64, high: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const at = v.hypercallCompat ? (high << 32) | (timeout & 0xffffffff) : timeout;
  const now = nowNs();
  if (at == 0) singleshotStop(v);
  else if (<i64>at < 0 || <i64>(at - now) >= FAR_NS) singleshotSet(v, now + SOON_NS);
  else singleshotSet(v, at);
  return 0;
}
