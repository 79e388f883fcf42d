/** How simulated guests make hypercalls: argument structures in their own memory, results out of it. */
import { AddToPhysmap, XENMEM_add_to_physmap } from "../../abi/memory.ts";
import { __HYPERVISOR_memory_op, DOMID_SELF, SharedInfo, VcpuInfo, VcpuTimeInfo } from "../../abi/xen.ts";
import { PAGE } from "./ram.ts";
import { type GuestCpu, type GuestRequest, Violation } from "./svm-cpu.ts";

export type Steps<T> = Generator<GuestRequest, T, bigint>;

/** Guest frame for argument structures. */
export const ARGUMENT_GFN = 8;
const ARGUMENTS = ARGUMENT_GFN * PAGE;
/** Where guests have their shared_info and grant table. */
export const SHARED_INFO_GFN = 40;
export const GRANT_TABLE_GFN = 41;

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

/** A 64-bit store by an instruction of the guest; `done` is called at the moment it reaches memory. */
export function* store(gfn: number, value: bigint, done = (): void => {}): Steps<void> {
  yield { kind: "access", gpa: gfn * PAGE, write: true, value, done };
}

/** A 64-bit load. An absent frame reads as all ones, as on Xen. */
export function* load(gfn: number): Steps<bigint> {
  return yield { kind: "access", gpa: gfn * PAGE, write: false };
}

/** XENMEM_add_to_physmap of one own frame; its signed result. */
export function* addToPhysmap(cpu: GuestCpu, space: number, gfn: number): Steps<number> {
  const { result } = yield* structured(cpu, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AddToPhysmap.SIZE, (v) => {
    v.setUint16(AddToPhysmap.domid, DOMID_SELF, true);
    v.setUint32(AddToPhysmap.space, space, true);
    v.setBigUint64(AddToPhysmap.gpfn, BigInt(gfn), true);
  });
  return result;
}

/** System time in ns, by the time record of the first vCPU in shared_info. */
export function systemTime(tsc: bigint, shared: DataView): bigint {
  const at = SharedInfo.vcpu_info + VcpuInfo.time;
  const passed = tsc - shared.getBigUint64(at + VcpuTimeInfo.tsc_timestamp, true);
  const shift = BigInt(shared.getInt8(at + VcpuTimeInfo.tsc_shift));
  const scaled = shift < 0n ? passed >> -shift : passed << shift;
  const ns = (scaled * BigInt(shared.getUint32(at + VcpuTimeInfo.tsc_to_system_mul, true))) >> 32n;
  return shared.getBigUint64(at + VcpuTimeInfo.system_time, true) + ns;
}

/** What a hypercall of a well-behaved guest must return. */
export function expect(result: number, wanted: number, what: string): void {
  if (result !== wanted) throw new Violation(`${what} returned ${result}, expected ${wanted}`);
}
