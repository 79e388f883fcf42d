/** A vCPU's state, from the hypervisor's HVM save records (xen/arch-x86/hvm/save.h). */
import {
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_LAPIC_REGS,
  HvmHwCpu,
  HvmHwLapicRegs,
  HvmSaveDescriptor,
} from "../../../abi/hvm.ts";

const CR0_PE = 1n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LMA = 1n << 10n;
const RFLAGS_VM = 1n << 17n;
const RFLAGS_NAMES: [number, string][] = [
  [0, "CF"],
  [2, "PF"],
  [4, "AF"],
  [6, "ZF"],
  [7, "SF"],
  [8, "TF"],
  [9, "IF"],
  [10, "DF"],
  [11, "OF"],
  [14, "NT"],
  [16, "RF"],
  [17, "VM"],
  [18, "AC"],
];
/** Of packed segment attributes: 64-bit code, 32-bit code. */
const ATTR_LONG = 1 << 9;
const ATTR_DB = 1 << 10;
/** Registers of a local APIC, offsets in its page: eight words each, 16 bytes apart. */
const APIC_ISR = 0x100;
const APIC_IRR = 0x200;

/** Widths of the code that runs, in bits. */
export type CodeBits = 16 | 32 | 64;
export type Paging = "off" | "32-bit" | "PAE" | "4-level";

const SEGMENTS = ["cs", "ss", "ds", "es", "fs", "gs", "tr", "ldtr"] as const;
export type SegmentName = (typeof SEGMENTS)[number];

export interface Segment {
  name: SegmentName;
  selector: number;
  base: bigint;
  limit: number;
  /** Descriptor bits 40..47, then 52..55. */
  attributes: number;
}

type Field = Exclude<keyof typeof HvmHwCpu, "SIZE" | "prototype">;

export class VcpuState {
  /** Vectors that wait in the local APIC, and those in service; empty where there is none. */
  requested: number[] = [];
  inService: number[] = [];

  constructor(
    readonly id: number,
    private readonly view: DataView,
  ) {}

  /** A 64-bit register by its name in struct hvm_hw_cpu. */
  register(name: Field): bigint {
    return this.view.getBigUint64(HvmHwCpu[name], true);
  }

  word(name: Field): number {
    return this.view.getUint32(HvmHwCpu[name], true);
  }

  segment(name: SegmentName): Segment {
    return {
      name,
      selector: this.word(`${name}_sel`),
      base: this.register(`${name}_base`),
      limit: this.word(`${name}_limit`),
      attributes: this.word(`${name}_arbytes`),
    };
  }

  get segments(): Segment[] {
    return SEGMENTS.map((name) => this.segment(name));
  }

  get ring(): number {
    return (this.segment("ss").attributes >> 5) & 3;
  }

  get bits(): CodeBits {
    const { attributes } = this.segment("cs");
    if ((this.register("msr_efer") & EFER_LMA) !== 0n && (attributes & ATTR_LONG) !== 0) return 64;
    const real = (this.register("cr0") & CR0_PE) === 0n || (this.register("rflags") & RFLAGS_VM) !== 0n;
    return !real && (attributes & ATTR_DB) !== 0 ? 32 : 16;
  }

  get paging(): Paging {
    if ((this.register("cr0") & CR0_PG) === 0n) return "off";
    if ((this.register("msr_efer") & EFER_LMA) !== 0n) return "4-level";
    return (this.register("cr4") & CR4_PAE) !== 0n ? "PAE" : "32-bit";
  }

  /** Names of the flags that are set. */
  get flags(): string {
    const flags = this.register("rflags");
    return RFLAGS_NAMES.filter(([bit]) => ((flags >> BigInt(bit)) & 1n) !== 0n)
      .map(([, name]) => name)
      .join(" ");
  }

  /** Linear address of an offset in a segment, as the processor makes it. */
  linear(name: SegmentName, offset: bigint): bigint {
    if (this.bits === 64) return offset;
    return (this.segment(name).base + offset) & 0xffffffffn;
  }
}

/** Bits that are set in eight words, 16 bytes apart, from `at` on. */
function vectors(view: DataView, at: number): number[] {
  const found: number[] = [];
  for (let vector = 0; vector < 256; vector++) {
    if (((view.getUint32(at + (vector >> 5) * 16, true) >>> (vector & 31)) & 1) !== 0) found.push(vector);
  }
  return found;
}

/** The vCPUs of a domain by their records, by ascending number. */
export function decodeVcpus(records: Uint8Array): VcpuState[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const vcpus = new Map<number, VcpuState>();
  for (let at = 0; at + HvmSaveDescriptor.SIZE <= records.length;) {
    const code = view.getUint16(at + HvmSaveDescriptor.typecode, true);
    const id = view.getUint16(at + HvmSaveDescriptor.instance, true);
    const length = view.getUint32(at + HvmSaveDescriptor.length, true);
    const body = at + HvmSaveDescriptor.SIZE;
    if (code === HVM_SAVE_CODE_END || body + length > records.length) break;
    if (code === HVM_SAVE_CODE_CPU && length >= HvmHwCpu.SIZE) {
      vcpus.set(id, new VcpuState(id, new DataView(view.buffer, view.byteOffset + body, length)));
    }
    const vcpu = vcpus.get(id);
    if (code === HVM_SAVE_CODE_LAPIC_REGS && vcpu !== undefined && length >= HvmHwLapicRegs.SIZE) {
      vcpu.requested = vectors(view, body + APIC_IRR);
      vcpu.inService = vectors(view, body + APIC_ISR);
    }
    at = body + length;
  }
  return [...vcpus.values()].sort((a, b) => a.id - b.id);
}
