/**
 * VCPUOP_initialise of an HVM vCPU: registers from a struct vcpu_hvm_context (xen/hvm/hvm_vcpu.h), checked as Xen
 * checks them, turned into the hvm_hw_cpu record that arch-x86 loads.
 */
import { EINVAL } from "../../abi/errno";
import { HvmHwCpu } from "../../abi/hvm";
import { VCPU_HVM_MODE_32B, VCPU_HVM_MODE_64B, VcpuHvmContext, VcpuHvmX8632, VcpuHvmX8664 } from "../../abi/hvm-vcpu";
import { CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } from "../../arch-x86/control-bits";
import { hvmLoadContext, hvmSaveContext } from "../../arch-x86/hvm";
import { setTscOffset } from "../../arch-x86/state";
import { vcpuOf } from "../records/domain-access";
import { Vcpu } from "../records/vcpu";

const AR_TYPE_ACCESSED: u32 = 1;
const AR_TYPE_WRITE: u32 = 2; // data: writable; code: readable
const AR_TYPE_CODE: u32 = 8;
const AR_S: u32 = 1 << 4;
const AR_DPL: u32 = 3 << 5;
const AR_PRESENT: u32 = 1 << 7;
const AR_GRANULARITY: u32 = 1 << 11;
const AR_UNUSED: u32 = 0xf000;
const TSS_BUSY: u32 = 11;
const TSS_BUSY_BIT: u32 = 2;
// Segments of a vCPU that starts in 64-bit mode.
const CS_64: u32 = 0xa9b;
const DATA_64: u32 = 0xc93;
const TR_64: u32 = 0x8b;

const record: usize = memory.data(1032, 8);

/**
 * Gives a vCPU its first registers from the context at linear `ctx`; it stays down until VCPUOP_up.
 * @returns 0, or -EINVAL with nothing changed
 */
export function vcpuHvmInitialise(v: Vcpu, ctx: usize): i32 {
  if (load<u32>(ctx + VcpuHvmContext.pad)) return -EINVAL;
  hvmSaveContext(v, record);
  const mode = load<u32>(ctx + VcpuHvmContext.mode);
  const regs = ctx + VcpuHvmContext.cpu_regs;
  let rc: i32 = -EINVAL;
  if (mode == VCPU_HVM_MODE_32B) rc = from32(regs);
  else if (mode == VCPU_HVM_MODE_64B) rc = from64(regs);
  if (rc) return rc;
  const efer = load<u64>(record + HvmHwCpu.msr_efer);
  if (efer & EFER_LME) store<u64>(record + HvmHwCpu.msr_efer, efer | EFER_LMA);
  rc = hvmLoadContext(v, record);
  if (rc) return rc;
  const first = vcpuOf(v.domain, 0);
  if (first != null) setTscOffset(v, first.tscOffset);
  v.initialised = 1;
  return 0;
}

const KIND_CODE: u32 = 0;
const KIND_STACK: u32 = 1;
const KIND_DATA: u32 = 2;
const KIND_TR: u32 = 3;

/** For each segment of the 32-bit form: its ar, limit and base there, the same in the record, and its kind. */
const SEGMENTS: StaticArray<u32> = [
  VcpuHvmX8632.cs_ar,
  VcpuHvmX8632.cs_limit,
  VcpuHvmX8632.cs_base,
  HvmHwCpu.cs_arbytes,
  HvmHwCpu.cs_limit,
  HvmHwCpu.cs_base,
  KIND_CODE,
  VcpuHvmX8632.ds_ar,
  VcpuHvmX8632.ds_limit,
  VcpuHvmX8632.ds_base,
  HvmHwCpu.ds_arbytes,
  HvmHwCpu.ds_limit,
  HvmHwCpu.ds_base,
  KIND_DATA,
  VcpuHvmX8632.ss_ar,
  VcpuHvmX8632.ss_limit,
  VcpuHvmX8632.ss_base,
  HvmHwCpu.ss_arbytes,
  HvmHwCpu.ss_limit,
  HvmHwCpu.ss_base,
  KIND_STACK,
  VcpuHvmX8632.es_ar,
  VcpuHvmX8632.es_limit,
  VcpuHvmX8632.es_base,
  HvmHwCpu.es_arbytes,
  HvmHwCpu.es_limit,
  HvmHwCpu.es_base,
  KIND_DATA,
  VcpuHvmX8632.tr_ar,
  VcpuHvmX8632.tr_limit,
  VcpuHvmX8632.tr_base,
  HvmHwCpu.tr_arbytes,
  HvmHwCpu.tr_limit,
  HvmHwCpu.tr_base,
  KIND_TR,
];
const SEGMENT_WORDS: i32 = 7;

/** The general registers: their place in the 32-bit form, in the 64-bit form, in the record. */
const REGISTERS: StaticArray<u32> = [
  VcpuHvmX8632.eax,
  VcpuHvmX8664.rax,
  HvmHwCpu.rax,
  VcpuHvmX8632.ecx,
  VcpuHvmX8664.rcx,
  HvmHwCpu.rcx,
  VcpuHvmX8632.edx,
  VcpuHvmX8664.rdx,
  HvmHwCpu.rdx,
  VcpuHvmX8632.ebx,
  VcpuHvmX8664.rbx,
  HvmHwCpu.rbx,
  VcpuHvmX8632.esp,
  VcpuHvmX8664.rsp,
  HvmHwCpu.rsp,
  VcpuHvmX8632.ebp,
  VcpuHvmX8664.rbp,
  HvmHwCpu.rbp,
  VcpuHvmX8632.esi,
  VcpuHvmX8664.rsi,
  HvmHwCpu.rsi,
  VcpuHvmX8632.edi,
  VcpuHvmX8664.rdi,
  HvmHwCpu.rdi,
  VcpuHvmX8632.eip,
  VcpuHvmX8664.rip,
  HvmHwCpu.rip,
  VcpuHvmX8632.eflags,
  VcpuHvmX8664.rflags,
  HvmHwCpu.rflags,
  VcpuHvmX8632.cr0,
  VcpuHvmX8664.cr0,
  HvmHwCpu.cr0,
  VcpuHvmX8632.cr3,
  VcpuHvmX8664.cr3,
  HvmHwCpu.cr3,
  VcpuHvmX8632.cr4,
  VcpuHvmX8664.cr4,
  HvmHwCpu.cr4,
];
const REGISTER_WORDS: i32 = 3;

function plausible(attributes: u32, kind: u32): bool {
  if (attributes & AR_UNUSED) return false;
  if (!attributes) return kind == KIND_DATA;
  if (!(attributes & AR_PRESENT)) return false;
  const type = attributes & 15;
  if (kind == KIND_TR) return !(attributes & AR_S) && type == TSS_BUSY;
  if (!(attributes & AR_S)) return false;
  if (kind == KIND_CODE) return (type & AR_TYPE_CODE) != 0;
  if (kind == KIND_STACK) return (type & AR_TYPE_CODE) == 0 && (type & AR_TYPE_WRITE) != 0;
  return (type & AR_TYPE_CODE) == 0 || (type & AR_TYPE_WRITE) != 0;
}

function dpl(ar: u32): u32 {
  return load<u32>(record + ar) & AR_DPL;
}

function setSegment(toAr: u32, toLimit: u32, toBase: u32, attributes: u32, limit: u32, base: u64): void {
  store<u32>(record + toAr, attributes);
  store<u32>(record + toLimit, limit);
  store<u64>(record + toBase, base);
}

function segments32(r: usize): bool {
  for (let i = 0; i < SEGMENTS.length; i += SEGMENT_WORDS) {
    const kind = SEGMENTS[i + 6];
    let attributes: u32 = load<u16>(r + SEGMENTS[i]);
    // Processors want present segments accessed, and the task register's busy.
    if (attributes & AR_PRESENT) attributes |= kind == KIND_TR ? TSS_BUSY_BIT : AR_TYPE_ACCESSED;
    if (!plausible(attributes, kind)) return false;
    const limit = load<u32>(r + SEGMENTS[i + 1]);
    const base = load<u32>(r + SEGMENTS[i + 2]);
    setSegment(SEGMENTS[i + 3], SEGMENTS[i + 4], SEGMENTS[i + 5], attributes, limit, base);
  }
  return true;
}

function from32(r: usize): i32 {
  const pad2 = r + VcpuHvmX8632.pad2;
  if (load<u32>(r + VcpuHvmX8632.pad1) || load<u32>(pad2) || load<u16>(pad2 + 4)) return -EINVAL;
  if (!segments32(r)) return -EINVAL;
  let limit = load<u32>(record + HvmHwCpu.cs_limit);
  if (load<u32>(record + HvmHwCpu.cs_arbytes) & AR_GRANULARITY) limit = (limit << 12) | 0xfff;
  if (load<u32>(r + VcpuHvmX8632.eip) > limit) return -EINVAL;
  const cpl = dpl(HvmHwCpu.cs_arbytes);
  if (dpl(HvmHwCpu.ss_arbytes) != cpl) return -EINVAL;
  if (dpl(HvmHwCpu.ds_arbytes) > cpl || dpl(HvmHwCpu.es_arbytes) > cpl) return -EINVAL;
  const efer = load<u64>(r + VcpuHvmX8632.efer);
  if (efer & EFER_LMA && !(efer & EFER_LME)) return -EINVAL;
  for (let i = 0; i < REGISTERS.length; i += REGISTER_WORDS) {
    store<u64>(record + REGISTERS[i + 2], load<u32>(r + REGISTERS[i]));
  }
  store<u64>(record + HvmHwCpu.msr_efer, efer);
  return 0;
}

function from64(r: usize): i32 {
  const rip = load<u64>(r + VcpuHvmX8664.rip);
  if (<u64>((<i64>(rip << 16)) >> 16) != rip) return -EINVAL;
  if (!(load<u64>(r + VcpuHvmX8664.cr0) & CR0_PG)) return -EINVAL;
  if (!(load<u64>(r + VcpuHvmX8664.cr4) & CR4_PAE)) return -EINVAL;
  if (!(load<u64>(r + VcpuHvmX8664.efer) & EFER_LME)) return -EINVAL;
  for (let i = 0; i < REGISTERS.length; i += REGISTER_WORDS) {
    store<u64>(record + REGISTERS[i + 2], load<u64>(r + REGISTERS[i + 1]));
  }
  store<u64>(record + HvmHwCpu.msr_efer, load<u64>(r + VcpuHvmX8664.efer));
  for (let i = 0; i < SEGMENTS.length; i += SEGMENT_WORDS) {
    const kind = SEGMENTS[i + 6];
    const limit: u32 = kind == KIND_TR ? 0x67 : u32.MAX_VALUE;
    const attributes: u32 = kind == KIND_TR ? TR_64 : kind == KIND_CODE ? CS_64 : DATA_64;
    setSegment(SEGMENTS[i + 3], SEGMENTS[i + 4], SEGMENTS[i + 5], attributes, limit, 0);
  }
  return 0;
}
