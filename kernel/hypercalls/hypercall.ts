/**
 * The type of hypercall handlers, and how a handler stops half-way to be continued. The table of handlers
 * is in hypercall-table.ts.
 */
import { ENOSYS } from "../../abi/errno";
import { Vcpu } from "../records/vcpu";

/**
 * A hypercall: called with the caller and its six arguments as they were in its registers (upper halves zero for a
 * 32-bit caller). Returns the result, a negative errno (nothing has changed), or what hypercallRestart returned.
 */
export type Handler = (v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64) => i64;

/** Not a result: see hypercallRestart. Handlers return it in no other case. */
export const HYPERCALL_RESTART: i64 = i64.MIN_VALUE;

/**
 * Leaves a hypercall unfinished: `return hypercallRestart(v, ...)`. The same hypercall is called again with these
 * arguments when `v` next runs; the guest may take interrupts in between.
 */
export function hypercallRestart(v: Vcpu, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  v.restart1 = a1;
  v.restart2 = a2;
  v.restart3 = a3;
  v.restart4 = a4;
  v.restart5 = a5;
  v.restart6 = a6;
  return HYPERCALL_RESTART;
}

/** The table, set from above because handlers (multicall) call through it and it refers to the handlers. */
let table: usize = 0;

/** Sets the table that hypercallCall looks in. */
export function hypercallInstall(handlers: StaticArray<Handler>): void {
  table = changetype<usize>(handlers);
}

/** Calls hypercall `op` for `v`: a result (-ENOSYS for an unknown number), or HYPERCALL_RESTART with restart1..6 set. */
export function hypercallCall(v: Vcpu, op: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64): i64 {
  const handlers = changetype<StaticArray<Handler>>(table);
  if (op >= <u64>handlers.length) return -ENOSYS;
  v.hypercallOp = <u32>op;
  return unchecked(handlers[<i32>op])(v, a1, a2, a3, a4, a5, a6);
}
