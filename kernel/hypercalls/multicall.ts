/** The multicall hypercall: a list of hypercalls, each result written into its own entry (xen/xen.h). */
import { EFAULT, EINVAL } from "../../abi/errno";
import { MulticallEntry } from "../../abi/xen";
import { copyLongTo, copyStructureFrom, copyStructureTo, Layout, LONG, structureSize } from "./compat";
import { cpuOf, preemptNeeded } from "../records/cpu";
import { guestTranslationsForget, guestTranslationsKeep } from "../memory/guest-copy";
import { HYPERCALL_RESTART, hypercallCall, hypercallRestart } from "./hypercall";
import { Vcpu } from "../records/vcpu";

/** The entry being worked on: the shared scratch page is the sub-call's. */
const entry: usize = memory.data(64, 8);
let active: bool = false;
const ENTRY: Layout = [LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG];
/** The result is the second of an entry's eight equal fields. */
const RESULT_INDEX: u64 = 1;

/**
 * `list`: guest address of `count` multicall_entry. 0, -EFAULT where the list cannot be read or written; -EINVAL within
 * a multicall.
 */
export function multicall(v: Vcpu, list: u64, count: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  if (active) return -EINVAL;
  guestTranslationsKeep(v);
  const result = calls(v, list, <u32>count);
  guestTranslationsForget();
  return result;
}

function calls(v: Vcpu, list: u64, total: u32): i64 {
  const op = v.hypercallOp;
  const step: u64 = structureSize(v, MulticallEntry.SIZE, ENTRY);
  for (let i: u32 = 0; i < total; i++) {
    const at = list + <u64>i * step;
    if (i && preemptNeeded(v)) return hypercallRestart(v, at, total - i, 0, 0, 0, 0);
    if (!copyStructureFrom(v, entry, at, MulticallEntry.SIZE, ENTRY)) return -EFAULT;
    active = true;
    const result = call(v);
    active = false;
    v.hypercallOp = op;
    if (result == HYPERCALL_RESTART) {
      // The arguments of the continued call are written to the entry, then the multicall restarts at this entry.
      saveRestart(v);
      if (!copyStructureTo(v, at, entry, MulticallEntry.SIZE, ENTRY)) return -EFAULT;
      return hypercallRestart(v, at, total - i, 0, 0, 0, 0);
    }
    store<u64>(entry + MulticallEntry.result, result);
    if (!copyLongTo(v, at, RESULT_INDEX, entry + MulticallEntry.result)) return -EFAULT;
    // A call that stopped the vCPU (block, shutdown, pause) takes effect before the next one.
    if (cpuOf(v.cpu).reschedule && i + 1 < total) {
      return hypercallRestart(v, at + step, total - i - 1, 0, 0, 0, 0);
    }
  }
  return 0;
}

function call(v: Vcpu): i64 {
  const args = entry + MulticallEntry.args;
  return hypercallCall(
    v,
    load<u64>(entry + MulticallEntry.op),
    load<u64>(args),
    load<u64>(args + 8),
    load<u64>(args + 16),
    load<u64>(args + 24),
    load<u64>(args + 32),
    load<u64>(args + 40),
  );
}

function saveRestart(v: Vcpu): void {
  const args = entry + MulticallEntry.args;
  store<u64>(args, v.restart1);
  store<u64>(args + 8, v.restart2);
  store<u64>(args + 16, v.restart3);
  store<u64>(args + 24, v.restart4);
  store<u64>(args + 32, v.restart5);
  store<u64>(args + 40, v.restart6);
}
