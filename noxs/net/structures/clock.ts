/** The time at which the present turn began: one reading for all that is done in it. */
import { systemTime } from "../../../drivers/host/host";

export const MILLISECOND_NS: u64 = 1_000_000;
export const SECOND_NS: u64 = 1_000_000_000;

/** System time in ns, and in whole seconds. */
export let nowNs: u64 = 0;
export let nowSeconds: u32 = 0;

/** Reads the time anew. */
export function clockRead(): void {
  nowNs = systemTime();
  nowSeconds = <u32>(nowNs / SECOND_NS);
}
