/**
 * The state a guest's first vCPU starts in, with flat segments held in the segment caches alone (there is no GDT). PVH: 32-bit
 * protected mode, paging off, EBX pointing to the start information. PVHv1: 64-bit mode in ring 0 on the page tables that
 * the builder has made, RSI pointing to start_info, interrupts on.
 *
 * Source: Xen's docs/misc/pvh.pandoc, and what Xen 4.4 to 4.9 did for PVHv1; records of xen/arch-x86/hvm/save.h.
 */
import {
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  HvmHwCpu,
  HvmSaveDescriptor,
  HvmSaveHeader,
} from "../../../abi/hvm.ts";
import { setHvmContext } from "../hypercalls/domctl.ts";
import { reserveScratch } from "../scratch.ts";

const HEADER_AT = HvmSaveDescriptor.SIZE;
const CPU_AT = HEADER_AT + HvmSaveHeader.SIZE + HvmSaveDescriptor.SIZE;
const END_AT = CPU_AT + HvmHwCpu.SIZE;
const CONTEXT_SIZE = END_AT + HvmSaveDescriptor.SIZE;

const CR0_PE = 0x1;
const CR0_ET = 0x10;
const CR0_PG = 0x80000000;
const CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const RFLAGS_IF = 0x200;
/** Access rights as in a VMCS, bits 0-7 and 12-15 of the descriptor's: type, S, DPL, P; D/B and G. */
const CODE32 = 0xc9b;
const CODE64 = 0xa9b;
const DATA32 = 0xc93;
const TSS32_BUSY = 0x8b;
const LDT = 0x82;

const buffer = reserveScratch(CONTEXT_SIZE, (words) => {
  words.set(new Uint32Array(template.buffer));
});
const word = (offset: number): number => (CPU_AT + offset) / 4;
const RIP = word(HvmHwCpu.rip);
const RBX = word(HvmHwCpu.rbx);
const template = makeTemplate();

function makeTemplate(): Uint8Array {
  const bytes = new Uint8Array(CONTEXT_SIZE);
  const view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number) => view.setUint32(at, value, true);
  const descriptor = (at: number, code: number, length: number) => {
    view.setUint16(at + HvmSaveDescriptor.typecode, code, true);
    u32(at + HvmSaveDescriptor.length, length);
  };

  descriptor(0, HVM_SAVE_CODE_HEADER, HvmSaveHeader.SIZE);
  u32(HEADER_AT + HvmSaveHeader.magic, HVM_FILE_MAGIC);
  u32(HEADER_AT + HvmSaveHeader.version, HVM_FILE_VERSION);

  descriptor(CPU_AT - HvmSaveDescriptor.SIZE, HVM_SAVE_CODE_CPU, HvmHwCpu.SIZE);
  u32(CPU_AT + HvmHwCpu.rflags, 0x2);
  u32(CPU_AT + HvmHwCpu.cr0, CR0_PE | CR0_ET);
  u32(CPU_AT + HvmHwCpu.dr6, 0xffff0ff0);
  u32(CPU_AT + HvmHwCpu.dr7, 0x400);
  u32(CPU_AT + HvmHwCpu.cs_limit, 0xffffffff);
  u32(CPU_AT + HvmHwCpu.cs_arbytes, CODE32);
  for (const [limit, rights] of [
    [HvmHwCpu.ds_limit, HvmHwCpu.ds_arbytes],
    [HvmHwCpu.es_limit, HvmHwCpu.es_arbytes],
    [HvmHwCpu.fs_limit, HvmHwCpu.fs_arbytes],
    [HvmHwCpu.gs_limit, HvmHwCpu.gs_arbytes],
    [HvmHwCpu.ss_limit, HvmHwCpu.ss_arbytes],
  ] as const) {
    u32(CPU_AT + limit, 0xffffffff);
    u32(CPU_AT + rights, DATA32);
  }
  u32(CPU_AT + HvmHwCpu.tr_limit, 0x67);
  u32(CPU_AT + HvmHwCpu.tr_arbytes, TSS32_BUSY);
  u32(CPU_AT + HvmHwCpu.ldtr_arbytes, LDT);

  descriptor(END_AT, HVM_SAVE_CODE_END, 0);
  return bytes;
}

/**
 * Gives vCPU 0 of a domain its first state.
 * @param entry guest-physical address of the first instruction
 * @param startInfo guest-physical address of hvm_start_info
 */
export function setStartContext(domain: number, entry: number, startInfo: number): void {
  buffer.words[RIP] = entry;
  buffer.words[RBX] = startInfo;
  setHvmContext(domain, buffer.address, CONTEXT_SIZE);
}

/** A 64-bit value as its low and its high word. */
export type Words = [number, number];

/**
 * Gives vCPU 0 of a PVHv1 domain its first state.
 * @param entry virtual address of the first instruction
 * @param stack virtual address of the stack's end
 * @param startInfo virtual address of start_info
 * @param pageTables guest-physical address of the top page table
 */
export function setPvStartContext(
  domain: number,
  entry: Words,
  stack: Words,
  startInfo: Words,
  pageTables: number,
): void {
  const { words } = pvBuffer;
  words.set(entry, RIP);
  words.set(stack, word(HvmHwCpu.rsp));
  words.set(startInfo, word(HvmHwCpu.rsi));
  words[word(HvmHwCpu.cr3)] = pageTables;
  setHvmContext(domain, pvBuffer.address, CONTEXT_SIZE);
}

const pvBuffer = reserveScratch(CONTEXT_SIZE, (words) => {
  words.set(new Uint32Array(template.buffer));
  words[word(HvmHwCpu.rflags)] = 0x2 | RFLAGS_IF;
  words[word(HvmHwCpu.cr0)] = CR0_PE | CR0_ET | CR0_PG;
  words[word(HvmHwCpu.cr4)] = CR4_PAE;
  words[word(HvmHwCpu.msr_efer)] = EFER_LME | EFER_LMA;
  words[word(HvmHwCpu.cs_arbytes)] = CODE64;
});
