/**
 * A place to try the hypervisor's hypercalls: the simulated machine, domain 0's calls, and guests that are generators.
 * Every experiment ends with all its guests destroyed, a clean audit and as many free frames as before.
 */
import type { ExecutionContext } from "ava";
import { SCHEDOP_block, SCHEDOP_yield } from "../../../abi/sched.ts";
import { Sysctl, XEN_SYSCTL_INTERFACE_VERSION } from "../../../abi/sysctl.ts";
import { __HYPERVISOR_sched_op, __HYPERVISOR_sysctl } from "../../../abi/xen.ts";
import { type Steps, structured } from "../../sim/call.ts";
import { Dom0 } from "../../sim/dom0.ts";
import { Machine, type MachineOptions } from "../../sim/machine.ts";
import { hypervisorModule } from "../../sim/module.ts";
import { freeFrames } from "../../sim/simulate.ts";
import type { GuestCpu, GuestProgram } from "../../sim/svm-cpu.ts";

/** Offsets of a structure's fields, as abi/ declares them. */
export type Layout = { readonly SIZE: number };
type Field<L> = Exclude<keyof L, "SIZE" | "prototype">;
export type Values<L> = { [name in Field<L>]?: number | bigint };

/** RAM of a guest in an experiment, frames from 0 up. */
export const GUEST_FRAMES = 64;
const TURNS_MAX = 60_000;

/** Bytes a field may take: up to the next one. Structures have their padding behind small fields. */
function width(layout: Layout, offset: number): number {
  const next = Math.min(...Object.values(layout).filter((o) => o > offset));
  return [8, 4, 2, 1].find((w) => w <= next - offset && offset % w === 0)!;
}

/** Writes named fields of a structure at `base` of a view. */
export function put<L extends Layout>(view: DataView, layout: L, values: Values<L>, base = 0): void {
  for (const [name, value] of Object.entries(values) as [string, number | bigint][]) {
    const offset = (layout as unknown as Record<string, number>)[name]!;
    const size = width(layout, offset);
    const bits = BigInt.asUintN(size * 8, BigInt(value));
    if (size === 8) view.setBigUint64(base + offset, bits, true);
    else if (size === 4) view.setUint32(base + offset, Number(bits), true);
    else if (size === 2) view.setUint16(base + offset, Number(bits), true);
    else view.setUint8(base + offset, Number(bits));
  }
}

/** A guest's hypercall with one structure, its fields given by name. */
export function* call<L extends Layout>(
  cpu: GuestCpu,
  op: number,
  command: number,
  layout: L,
  values: Values<L>,
  ...more: number[]
): Steps<{ result: number; view: DataView }> {
  return yield* structured(cpu, op, command, layout.SIZE, (view) => put(view, layout, values), ...more);
}

/** As `call`, for its result alone. */
export function* result<L extends Layout>(
  cpu: GuestCpu,
  op: number,
  command: number,
  layout: L,
  values: Values<L>,
  ...more: number[]
): Steps<number> {
  return (yield* call(cpu, op, command, layout, values, ...more)).result;
}

/** A guest: what it does, told the ids of all guests of the experiment and what they have signalled to each other. */
export type Guest = (cpu: GuestCpu, ids: number[], signals: Set<string>) => Steps<void>;

/** Lets others run until `name` is signalled. */
export function* await_(signals: Set<string>, name: string): Steps<void> {
  while (!signals.has(name)) yield { kind: "hypercall", op: __HYPERVISOR_sched_op, args: [SCHEDOP_yield, 0] };
}

export class Lab {
  readonly machine: Machine;
  readonly dom0: Dom0;

  private constructor(module: WebAssembly.Module, options: MachineOptions) {
    this.machine = new Machine(module, { memory: 64, ...options });
    this.dom0 = new Dom0(this.machine);
    this.machine.step(4);
    // Domain 0's buffers and page tables are made at first use: not to be counted in an experiment.
    this.destroy(this.dom0.build(function* () {}, GUEST_FRAMES));
  }

  /** @param options of the machine beyond its 64 MiB */
  static async open(options: MachineOptions = {}): Promise<Lab> {
    return new Lab(await hypervisorModule(), options);
  }

  get free(): number {
    return freeFrames(this.dom0);
  }

  destroy(...ids: number[]): void {
    for (const id of ids) this.dom0.destroy(id);
    this.machine.step(3);
  }

  audit(t: ExecutionContext): void {
    t.is(this.machine.exports.audit(), 0, this.machine.output.slice(-1500));
  }

  /** Runs guests side by side to their ends, then takes everything back and counts. */
  run(t: ExecutionContext, ...guests: Guest[]): void {
    this.runWith(t, {}, ...guests);
  }

  /** As `run`, for guests with more vCPUs (of which only the first runs) or another limit of event channels. */
  runWith(t: ExecutionContext, shape: { vcpus?: number; maxPort?: number }, ...guests: Guest[]): void {
    const before = this.free;
    const ids: number[] = [];
    const signals = new Set<string>();
    let ended = 0;
    for (const guest of guests) {
      const program: GuestProgram = function* (cpu) {
        yield* guest(cpu, ids, signals);
        ended++;
        for (;;) yield { kind: "hypercall", op: __HYPERVISOR_sched_op, args: [SCHEDOP_block, 0] };
      };
      const id = this.dom0.build(program, GUEST_FRAMES, shape.vcpus, shape.maxPort);
      ids.push(id);
    }
    for (const id of ids) t.is(this.dom0.unpause(id), 0);
    this.machine.runUntil(() => ended === guests.length, "the end of the guests' programs", TURNS_MAX);
    this.audit(t);
    this.destroy(...ids);
    this.audit(t);
    t.is(this.free, before, "every frame is back");
  }

  /** A sysctl of domain 0; `fill` writes the operation's structure at offset `u`. */
  sysctl(command: number, fill: (view: DataView, u: number) => void = () => {}): { result: number; view: DataView } {
    return this.dom0.structured(__HYPERVISOR_sysctl, null, Sysctl.SIZE, (view) => {
      put(view, Sysctl, { cmd: command, interface_version: XEN_SYSCTL_INTERFACE_VERSION });
      fill(view, Sysctl.u);
    });
  }
}
