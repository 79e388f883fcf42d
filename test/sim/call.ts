/** How simulated guests make hypercalls: argument structures in their own memory, results out of it. */
import { PAGE } from "./ram.ts";
import type { GuestCpu, GuestRequest } from "./svm-cpu.ts";

export type Steps<T> = Generator<GuestRequest, T, bigint>;

/** Guest frame for argument structures. */
export const ARGUMENT_GFN = 8;
const ARGUMENTS = ARGUMENT_GFN * PAGE;

/** A hypercall with plain arguments; its signed result. */
export function* hypercall(_cpu: GuestCpu, op: number | bigint, ...args: (number | bigint)[]): Steps<number> {
  const rax = yield { kind: "hypercall", op, args };
  return Number(BigInt.asIntN(64, rax));
}

/** A hypercall of a sub-operation with one structure of `size` bytes; the structure afterwards comes back as well. */
export function* structured(
  cpu: GuestCpu,
  op: number,
  command: number,
  size: number,
  fill: (view: DataView) => void,
  ...more: number[]
): Steps<{ result: number; view: DataView }> {
  const bytes = new Uint8Array(size);
  fill(new DataView(bytes.buffer));
  cpu.poke(ARGUMENTS, bytes);
  const result = yield* hypercall(cpu, op, command, ARGUMENTS, ...more);
  const after = cpu.peek(ARGUMENTS, size).slice();
  return { result, view: new DataView(after.buffer) };
}

/** A 64-bit store or load by an instruction of the guest. An absent frame reads as all ones, as on Xen. */
export function* store(gfn: number, value: bigint): Steps<void> {
  yield { kind: "access", gpa: gfn * PAGE, write: true, value };
}

export function* load(gfn: number): Steps<bigint> {
  return yield { kind: "access", gpa: gfn * PAGE, write: false };
}
