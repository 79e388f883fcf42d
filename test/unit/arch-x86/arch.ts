/**
 * The module of arch-x86/unit-test-entry.ts on a small machine of its own: frames on demand, a processor with every control of VT-x
 * whose VMCSs are maps from field to value, and a script of exits. What hypervisor.wasm needs a whole machine for is
 * simulated in test/sim.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { buildFolder, fromRoot } from "../../../scripts/paths.ts";
import { withBuildLock } from "../../../scripts/build/lock.ts";
import { runStep, runTool } from "../../../scripts/build/task.ts";

const PAGE = 4096;
export const ALL_ONES = (1n << 64n) - 1n;
export const VENDOR_VMX = 1;
export const VENDOR_SVM = 2;

/** Physical address bits of this processor. */
export const PHYSICAL_BITS = 40n;

const wasm = path.join(buildFolder, "unit-arch.wasm");

async function compile(): Promise<WebAssembly.Module> {
  const compiler = fromRoot("node_modules/assemblyscript/bin/asc.js");
  const args = [
    compiler,
    "arch-x86/unit-test-entry.ts",
    "--runtime",
    "stub",
    "-O2",
    "--debug",
    "-o",
    "build/unit-arch.wasm",
  ];
  await runStep({
    name: "unit-arch",
    title: "compiled arch-x86 for its unit tests",
    inputs: () => [fromRoot("abi"), fromRoot("arch-x86")],
    key: args.slice(1).join(" "),
    outputs: [wasm],
    run: async () => {
      await runTool(process.execPath, args);
    },
  });
  return new WebAssembly.Module(readFileSync(wasm));
}

type Call = (...args: (bigint | number | boolean)[]) => bigint & number;
export interface UnitExports {
  memory: WebAssembly.Memory;
  [name: string]: unknown;
}

/** What a simulated exit leaves in the VMCS. */
export type Exit = Record<number, bigint | number>;

const LEAVES: Record<number, [number, number, number, number]> = {
  0x0: [0xd, 0x756e6547, 0x6c65746e, 0x49656e69],
  0x1: [0x806c1, 0, ~0, ~0],
  0x7: [0, ~0, ~0, ~0],
  0x80000000: [0x80000008, 0, 0, 0],
  0x80000001: [0, 0, ~0, ~0],
  0x80000008: [0x3000 | Number(PHYSICAL_BITS), 0, 0, 0],
  0x8000000a: [1, 64, 0, 1],
};

/** Capability MSRs: the revision, every control allowed and none forced, every EPT and VPID capability. */
const MSRS = new Map<number, bigint>([
  [0x3a, 5n],
  [0x277, 0x0007040600070406n],
  [0x480, (1n << 55n) | 0x1234n],
  [0x485, 0xc5n],
  [0x486, 0x80000021n],
  [0x487, 0xffffffffn],
  [0x488, 1n << 13n],
  [0x489, 0x3fffffn],
  [0x48b, 0xffffffffn << 32n],
  [0x48c, ALL_ONES],
  ...[0x48d, 0x48e, 0x48f, 0x490].map((n): [number, bigint] => [n, 0xffffffffn << 32n]),
  [0xc0000080, 0xd01n],
]);

export class Arch {
  readonly frames = new Map<number, DataView>();
  /** Allocations that will still succeed. */
  budget = Infinity;
  /** The loaded VMCS's fields. */
  vmcs = new Map<number, bigint>();
  /** Exits to come, each applied by one entry; an entry without one is a test's mistake. */
  readonly exits: ((vmcs: Map<number, bigint>) => Exit)[] = [];
  /** The same for AMD-V: each changes the VMCB as the processor would. */
  readonly svmExits: ((vmcb: DataView) => void)[] = [];
  readonly msrs = new Map(MSRS);
  /** The processor's CPUID: EAX, EBX, ECX, EDX by leaf; zeroes for a leaf that is not there. */
  readonly leaves = new Map(Object.entries(LEAVES).map(([leaf, words]) => [Number(leaf), words]));
  /** VMLAUNCH or VMRESUME fails once with this VM-instruction error. */
  entryError = 0;
  /** Physical address of the VMCB that was entered last. */
  vmcbPa = 0n;
  /** INVEPT and INVVPID executed. */
  flushes: string[] = [];
  /** Lines of the log. */
  readonly logged: string[] = [];
  now = 1000n;
  /** What was written to the local APIC: only its timer is used. */
  readonly timers: number[] = [];
  private readonly controlBlocks = new Map<bigint, Map<number, bigint>>();
  private readonly recycled: number[] = [];
  private nextFrame = 16;
  private readonly x: UnitExports;

  private constructor(module: WebAssembly.Module) {
    const hw: Record<string, unknown> = {};
    const known = this.imports();
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      if (from !== "hw") continue;
      hw[name] =
        known[name] ??
        (() => {
          throw new Error(`hw.${name} is not part of this machine`);
        });
    }
    const unit = {
      allocFrame: () => (this.budget-- > 0 ? BigInt(this.newFrame()) : 0n),
      freeFrame: (mfn: bigint) => {
        if (!this.frames.delete(Number(mfn))) throw new Error(`frame ${mfn} freed twice`);
        this.recycled.push(Number(mfn));
      },
      log: (at: number, length: number) => {
        this.logged.push(Buffer.from(this.x.memory.buffer, at, length).toString());
      },
    };
    const env = {
      abort: (message: number, _file: number, line: number, column: number) => {
        throw new Error(`${this.string(message)} at ${line}:${column}`);
      },
    };
    this.x = new WebAssembly.Instance(module, { hw, unit, env } as WebAssembly.Imports).exports as UnitExports;
  }

  static async open(): Promise<Arch> {
    return new Arch(await withBuildLock(compile));
  }

  call(name: string, ...args: (bigint | number | boolean)[]): number {
    return Number((this.x[name] as Call)(...args));
  }
  /** For functions whose result is a u64. */
  big(name: string, ...args: (bigint | number | boolean)[]): bigint {
    return BigInt.asUintN(64, (this.x[name] as Call)(...args));
  }
  /** An exported constant, or the address of exported storage. */
  constant(name: string): number {
    return (this.x[name] as WebAssembly.Global).value as number;
  }
  get linear(): DataView {
    return new DataView(this.x.memory.buffer);
  }
  /** Why the latest entry failed, in the hypervisor's words. */
  explanation(): string {
    this.call("explain");
    return this.logged.at(-1)!;
  }
  /** A general register by its number. */
  register(n: number): bigint {
    return this.linear.getBigUint64(this.constant("registers") + 8 * n, true);
  }
  setRegister(n: number, value: bigint): void {
    this.linear.setBigUint64(this.constant("registers") + 8 * n, BigInt.asUintN(64, value), true);
  }
  /** A u64 field of the vCPU by its exported offset. */
  bigField(name: string): bigint {
    return this.linear.getBigUint64(this.constant("registers") + this.constant(name), true);
  }
  /** A u32 field of the vCPU by its exported offset. */
  field(name: string): number {
    return this.linear.getUint32(this.constant("registers") + this.constant(name), true);
  }
  /** A string of the module's. */
  string(at: number): string {
    const bytes = this.linear.getUint32(at - 4, true);
    return Buffer.from(this.x.memory.buffer, at, bytes).toString("utf16le");
  }

  newFrame(): number {
    const mfn = this.recycled.pop() ?? this.nextFrame++;
    this.frames.set(mfn, new DataView(new ArrayBuffer(PAGE)));
    return mfn;
  }

  private at(pa: bigint, length: number): [DataView, number] {
    const frame = this.frames.get(Number(pa >> 12n));
    const offset = Number(pa & 0xfffn);
    if (frame === undefined) throw new Error(`no memory at ${pa.toString(16)}`);
    if (offset + length > PAGE) throw new Error(`access across frames at ${pa.toString(16)}`);
    return [frame, offset];
  }

  private readWrite(): Record<string, unknown> {
    const at = this.at.bind(this);
    const linear = () => new Uint8Array(this.x.memory.buffer);
    const read = (size: number, get: (d: DataView, o: number) => number | bigint) => (pa: bigint) =>
      get(...at(pa, size));
    return {
      load8: read(1, (d, o) => d.getUint8(o)),
      load16: read(2, (d, o) => d.getUint16(o, true)),
      load32: read(4, (d, o) => d.getUint32(o, true)),
      load64: read(8, (d, o) => d.getBigUint64(o, true)),
      store8: (pa: bigint, value: number) => {
        const [d, o] = at(pa, 1);
        d.setUint8(o, value);
      },
      store16: (pa: bigint, value: number) => {
        const [d, o] = at(pa, 2);
        d.setUint16(o, value, true);
      },
      store32: (pa: bigint, value: number) => {
        const [d, o] = at(pa, 4);
        d.setUint32(o, value, true);
      },
      store64: (pa: bigint, value: bigint) => {
        const [d, o] = at(pa, 8);
        d.setBigUint64(o, value, true);
      },
      copyFromPhys: (ptr: number, pa: bigint, length: number) => {
        const [d, o] = at(pa, length);
        linear().set(new Uint8Array(d.buffer, o, length), ptr);
      },
      copyToPhys: (pa: bigint, ptr: number, length: number) => {
        const [d, o] = at(pa, length);
        new Uint8Array(d.buffer, o, length).set(linear().subarray(ptr, ptr + length));
      },
    };
  }

  private imports(): Record<string, unknown> {
    const leaf = (n: number) => this.leaves.get(n >>> 0) ?? [0, 0, 0, 0];
    let faulted = 0;
    return {
      ...this.readWrite(),
      cpuidA: (n: number) => leaf(n)[0],
      cpuidB: (n: number) => leaf(n)[1],
      cpuidC: (n: number) => leaf(n)[2],
      cpuidD: (n: number) => leaf(n)[3],
      rdmsr: (n: number) => {
        faulted = this.msrs.has(n >>> 0) ? 0 : 1;
        return this.msrs.get(n >>> 0) ?? 0n;
      },
      wrmsr: () => {},
      msrFaulted: () => faulted,
      readCr0: () => 0x80000011n,
      writeCr0: () => {},
      readCr3: () => 0x1000n,
      readCr4: () => 0x20n,
      writeCr4: () => {},
      readXcr0: () => 7n,
      writeXcr0: () => {},
      hostState: () => 8n,
      readDr: () => 0n,
      writeDr: () => {},
      rdtsc: () => this.now,
      fpuInit: () => {},
      mmioWrite32: (_address: bigint, value: number) => {
        this.timers.push(value);
      },
      vmxon: () => 0,
      vmclear: (pa: bigint) => {
        this.controlBlocks.set(pa, new Map());
        return 0;
      },
      vmptrld: (pa: bigint) => {
        this.vmcs = this.controlBlocks.get(pa)!;
        return 0;
      },
      vmread: (field: number) => this.vmcs.get(field) ?? 0n,
      vmwrite: (field: number, value: bigint) => {
        this.vmcs.set(field, BigInt.asUintN(64, value));
        return 0;
      },
      invept: (type: bigint, pointer: bigint) => {
        this.flushes.push(`EPT ${type} ${pointer.toString(16)}`);
        return 0;
      },
      invvpid: (type: bigint, vpid: bigint) => {
        this.flushes.push(`VPID ${type} ${vpid}`);
        return 0;
      },
      enterSvm: (vmcb: bigint) => {
        this.vmcbPa = vmcb;
        const exit = this.svmExits.shift();
        if (exit === undefined) throw new Error("an entry that the test does not expect");
        exit(this.frames.get(Number(vmcb >> 12n))!);
      },
      enterVmx: () => {
        if (this.entryError !== 0) {
          this.vmcs.set(0x4400, BigInt(this.entryError));
          this.entryError = 0;
          return 1;
        }
        const exit = this.exits.shift();
        if (exit === undefined) throw new Error("an entry that the test does not expect");
        for (const [field, value] of Object.entries(exit(this.vmcs))) this.vmcs.set(Number(field), BigInt(value));
        return 0;
      },
    };
  }
}
