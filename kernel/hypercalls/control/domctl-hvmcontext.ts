/**
 * XEN_DOMCTL_sethvmcontext and gethvmcontext: a guest's registers as a list of records (xen/hvm/save.h): HEADER, one CPU
 * for each vCPU, LAPIC and LAPIC_REGS for those that have a local APIC, END. MTRR records, which stock toolstacks send along, are accepted and have no effect: nested paging
 * decides memory types here.
 */
import { EFAULT, EINVAL, ENODATA, ENODEV, ENOSPC } from "../../../abi/errno";
import { DomctlHvmcontext } from "../../../abi/domctl";
import {
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  HVM_SAVE_CODE_LAPIC,
  HVM_SAVE_CODE_LAPIC_REGS,
  HVM_SAVE_CODE_MTRR,
  HvmHwCpu,
  HvmHwLapic,
  HvmHwLapicRegs,
  HvmSaveDescriptor,
  HvmSaveHeader,
} from "../../../abi/hvm";
import { hvmLoadContext, hvmSaveContext } from "../../../arch-x86/hvm";
import * as hw from "../../../arch-x86/hw";
import { tscKhz } from "../../../arch-x86/host/tsc";
import {
  vlapicHiddenPossible,
  vlapicLoadHidden,
  vlapicLoadRegisters,
  vlapicSaveHidden,
  vlapicSaveRegisters,
} from "../../../arch-x86/vlapic/save";
import { vcpuOf } from "../../records/domain-access";
import { Domain, DomainKind, DomainLife } from "../../records/domain";
import { fpuToMemory } from "../../scheduling/fpu-owner";
import { copyFromGuest, copyToGuest } from "../../memory/guest-copy";
import { vcpuDown, vcpuUp } from "../../scheduling/scheduler";
import { Vcpu } from "../../records/vcpu";
import { vlapicRestored } from "../../events/vlapic-delivery";

const HEADER_RECORD: u32 = HvmSaveDescriptor.SIZE + HvmSaveHeader.SIZE;
const CPU_RECORD: u32 = HvmSaveDescriptor.SIZE + HvmHwCpu.SIZE;
const LAPIC_RECORD: u32 = HvmSaveDescriptor.SIZE + HvmHwLapic.SIZE;
const LAPIC_REGS_RECORD: u32 = HvmSaveDescriptor.SIZE + HvmHwLapicRegs.SIZE;
/** Of an hvm_hw_lapic written by older versions; missing fields are zero. */
const LAPIC_SIZE_MIN: u32 = 16;

/** Position in the caller's buffer. */
let cursor: u64 = 0;
let remaining: u32 = 0;

/** -EINVAL unless `d` is a hardware domain other than the caller's, and not dying. */
function refused(v: Vcpu, d: Domain): bool {
  return d.kind != DomainKind.Hvm || d.life != DomainLife.Alive || changetype<usize>(d) == changetype<usize>(v.domain);
}

/** Copies `length` bytes of the buffer to linear `at`. False: beyond its end or not readable. */
function take(v: Vcpu, at: usize, length: u32): bool {
  if (length > remaining || !copyFromGuest(v, at, cursor, length)) return false;
  cursor += length;
  remaining -= length;
  return true;
}

/**
 * sethvmcontext. All records are checked before the first vCPU is changed; vCPUs without a record go down.
 * @param op linear address of the DomctlHvmcontext, in the scratch page, of which the space behind it is used
 */
export function setHvmContext(v: Vcpu, d: Domain, op: usize): i32 {
  if (refused(v, d)) return -EINVAL;
  const buffer = load<u64>(op, DomctlHvmcontext.buffer);
  const size = load<u32>(op, DomctlHvmcontext.size);
  const record = op + 256;
  const rc = walk(v, d, buffer, size, record, false);
  if (rc) return rc;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const target = vcpuOf(d, i);
    if (target != null) vcpuDown(target);
  }
  return walk(v, d, buffer, size, record, true);
}

/**
 * Reads the records, loading them if `apply`. 0, -ENODATA no header or no end, -EINVAL a bad record, -ENODEV one of a local
 * APIC that is not there, -EFAULT.
 */
function walk(v: Vcpu, d: Domain, buffer: u64, size: u32, record: usize, apply: bool): i32 {
  cursor = buffer;
  remaining = size;
  let n: u32 = 0;
  while (true) {
    if (remaining < HvmSaveDescriptor.SIZE) return -ENODATA;
    if (!take(v, record, HvmSaveDescriptor.SIZE)) return -EFAULT;
    const code: u32 = load<u16>(record, HvmSaveDescriptor.typecode);
    const instance: u32 = load<u16>(record, HvmSaveDescriptor.instance);
    const length = load<u32>(record, HvmSaveDescriptor.length);
    if (n++ == 0 && code != HVM_SAVE_CODE_HEADER) return -ENODATA;
    if (code == HVM_SAVE_CODE_END) return 0;
    if (length > remaining) return -ENODATA;
    if (code == HVM_SAVE_CODE_HEADER) {
      if (length != HvmSaveHeader.SIZE) return -EINVAL;
      if (!take(v, record, length)) return -EFAULT;
      if (load<u32>(record, HvmSaveHeader.magic) != HVM_FILE_MAGIC) return -EINVAL;
      if (load<u32>(record, HvmSaveHeader.version) != HVM_FILE_VERSION) return -EINVAL;
    } else if (code == HVM_SAVE_CODE_CPU) {
      if (length != HvmHwCpu.SIZE) return -EINVAL;
      const target = vcpuOf(d, instance);
      if (target == null) return -EINVAL;
      if (!take(v, record, length)) return -EFAULT;
      if (apply && !loadCpu(target, record)) return -EINVAL;
    } else if (code == HVM_SAVE_CODE_LAPIC || code == HVM_SAVE_CODE_LAPIC_REGS) {
      const rc = lapic(v, vcpuOf(d, instance), record, code, length, apply);
      if (rc) return rc;
    } else if (code == HVM_SAVE_CODE_MTRR) {
      if (vcpuOf(d, instance) == null) return -EINVAL;
      cursor += length;
      remaining -= length;
    } else {
      return -EINVAL;
    }
  }
}

function lapic(v: Vcpu, target: Vcpu | null, record: usize, code: u32, length: u32, apply: bool): i32 {
  if (target == null) return -EINVAL;
  if (!target.vlapic) return -ENODEV;
  if (code == HVM_SAVE_CODE_LAPIC) {
    if (length < LAPIC_SIZE_MIN || length > HvmHwLapic.SIZE) return -EINVAL;
    memory.fill(record, 0, HvmHwLapic.SIZE);
    if (!take(v, record, length)) return -EFAULT;
    if (!vlapicHiddenPossible(record)) return -EINVAL;
    if (apply) vlapicLoadHidden(target, record);
  } else {
    if (length != HvmHwLapicRegs.SIZE) return -EINVAL;
    if (!take(v, record, length)) return -EFAULT;
    if (apply) vlapicLoadRegisters(target, record);
  }
  if (apply) vlapicRestored(target);
  return 0;
}

function loadCpu(target: Vcpu, record: usize): bool {
  fpuToMemory(target);
  if (hvmLoadContext(target, record) != 0) return false;
  target.initialised = 1;
  vcpuUp(target);
  return true;
}

/** gethvmcontext; a null buffer asks for the size. The size needed or used goes into the structure. */
export function getHvmContext(v: Vcpu, d: Domain, op: usize): i32 {
  if (refused(v, d)) return -EINVAL;
  let needed: u32 = HEADER_RECORD + HvmSaveDescriptor.SIZE;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const target = vcpuOf(d, i);
    if (target == null) continue;
    needed += CPU_RECORD;
    if (target.vlapic) needed += LAPIC_RECORD + LAPIC_REGS_RECORD;
  }
  let at = load<u64>(op, DomctlHvmcontext.buffer);
  const size = load<u32>(op, DomctlHvmcontext.size);
  store<u32>(op, needed, DomctlHvmcontext.size);
  if (!at) return 0;
  if (size < needed) return -ENOSPC;
  const record = op + 256;
  const body = record + HvmSaveDescriptor.SIZE;
  describe(record, HVM_SAVE_CODE_HEADER, 0, HvmSaveHeader.SIZE);
  store<u32>(body, HVM_FILE_MAGIC, HvmSaveHeader.magic);
  store<u32>(body, HVM_FILE_VERSION, HvmSaveHeader.version);
  store<u64>(body, u64.MAX_VALUE, HvmSaveHeader.changeset);
  store<u32>(body, hw.cpuidEax(1, 0), HvmSaveHeader.cpuid);
  store<u32>(body, tscKhz(), HvmSaveHeader.gtsc_khz);
  if (!copyToGuest(v, at, record, HEADER_RECORD)) return -EFAULT;
  at += HEADER_RECORD;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const target = vcpuOf(d, i);
    if (target == null) continue;
    describe(record, HVM_SAVE_CODE_CPU, i, HvmHwCpu.SIZE);
    memory.fill(body, 0, HvmHwCpu.SIZE);
    fpuToMemory(target);
    hvmSaveContext(target, body);
    if (!copyToGuest(v, at, record, CPU_RECORD)) return -EFAULT;
    at += CPU_RECORD;
  }
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const target = vcpuOf(d, i);
    if (target == null || !target.vlapic) continue;
    describe(record, HVM_SAVE_CODE_LAPIC, i, HvmHwLapic.SIZE);
    vlapicSaveHidden(target, body);
    if (!copyToGuest(v, at, record, LAPIC_RECORD)) return -EFAULT;
    at += LAPIC_RECORD;
  }
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const target = vcpuOf(d, i);
    if (target == null || !target.vlapic) continue;
    describe(record, HVM_SAVE_CODE_LAPIC_REGS, i, HvmHwLapicRegs.SIZE);
    vlapicSaveRegisters(target, body);
    if (!copyToGuest(v, at, record, LAPIC_REGS_RECORD)) return -EFAULT;
    at += LAPIC_REGS_RECORD;
  }
  describe(record, HVM_SAVE_CODE_END, 0, 0);
  return copyToGuest(v, at, record, HvmSaveDescriptor.SIZE) ? 0 : -EFAULT;
}

function describe(record: usize, code: u32, instance: u32, length: u32): void {
  store<u16>(record, <u16>code, HvmSaveDescriptor.typecode);
  store<u16>(record, <u16>instance, HvmSaveDescriptor.instance);
  store<u32>(record, length, HvmSaveDescriptor.length);
}
