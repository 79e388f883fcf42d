/**
 * Entry of the unit tests' own module (test/unit/arch-x86): parts of arch-x86 that need no kernel, called one by one from
 * Node. Not part of the hypervisor.
 */
import { acpiCpus, acpiIommu } from "./host/acpi";
import { contextLoad, contextSave } from "./hvm-hw-cpu";
import { guestCpuid } from "./cpuid";
import { guestCr4Accepted } from "./cpuid-policy";
import { instructionLength } from "./emulation/decode";
import { fpuHostInit } from "./fpu";
import {
  hvmCpuInit,
  hvmEnter,
  hvmInjectNmi,
  hvmOfferInterrupt,
  hvmVcpuFree,
  hvmEmulateAccess,
  hvmExplainEntryFailure,
  hvmTranslate,
  hvmVcpuInit,
} from "./hvm";
import { HvmVcpu } from "./hvm-vcpu";
import { sayEnd } from "./log";
import { P2m, p2mFree, p2mInit, p2mLookup, p2mMap, p2mNext, p2mSetGibPages, p2mSetType, p2mUnmap } from "./p2m";
import { translateError } from "./emulation/page-walk";
import {
  setCr0,
  setCr3,
  setCr4,
  setEfer,
  setRflags,
  setRip,
  setSegment,
  getCr0,
  getEfer,
  getRflags,
  getRip,
} from "./state";
import { supply } from "./supply";
import { tscSetKhz } from "./host/tsc";
import { setVendor } from "./vendor";
import { Vlapic, vlapicAccept, vlapicPost, vlapicVector } from "./vlapic/state";
import { ipiDestination, ipiMatches } from "./vlapic/destination";
import { vlapicRead, vlapicWrite } from "./vlapic/registers";
import { vlapicInit, vlapicReset } from "./vlapic/reset";
import { vlapicTimerFire, vlapicTimerNext } from "./vlapic/timer";
import { guestRdmsr, guestWrmsr } from "./msr-policy";
import { injectException } from "./inject";

@external("unit", "allocFrame") declare function testAlloc(): u64;
@external("unit", "log") declare function testLog(ptr: usize, length: u32): void;
@external("unit", "freeFrame") declare function testFree(mfn: u64): void;

function alloc(): u64 {
  return testAlloc();
}
function run(count: u32): u64 {
  const first = testAlloc();
  for (let i: u32 = 1; i < count; i++) testAlloc();
  return first;
}
function free(mfn: u64): void {
  testFree(mfn);
}
function log(ptr: usize, length: u32): void {
  testLog(ptr, length);
}

const table = changetype<P2m>(memory.data(offsetof<P2m>()));
const vcpu = changetype<HvmVcpu>(memory.data(offsetof<HvmVcpu>()));
/** Where `walk` leaves the address, and room for one hvm_hw_cpu record. */
export const out: usize = memory.data(8, 8);
export const record: usize = memory.data(1032, 8);

/** The vCPU's registers, and its exit fields' places in it. */
export const registers: usize = changetype<usize>(vcpu);
export const APIC_VECTOR: usize = offsetof<HvmVcpu>("apicVector");
export const CONTROL_PA: usize = offsetof<HvmVcpu>("controlPa");
export const HELD_CLASS: usize = offsetof<HvmVcpu>("heldClass");
export const STATE_PA: usize = offsetof<HvmVcpu>("statePa");
export const EXIT_GPA: usize = offsetof<HvmVcpu>("exitGpa");
export const EXIT_VALUE: usize = offsetof<HvmVcpu>("exitValue");
export const EXIT_ACCESS: usize = offsetof<HvmVcpu>("exitAccess");
export const EXIT_PORT: usize = offsetof<HvmVcpu>("exitPort");
export const EXIT_SIZE: usize = offsetof<HvmVcpu>("exitSize");
export const EVENT_PENDING: usize = offsetof<HvmVcpu>("eventPending");
export const FLUSH_PENDING: usize = offsetof<HvmVcpu>("flushPending");

/** A machine of one vendor, with an empty physmap, whose TSC counts nanoseconds. */
export function begin(vendor: u32, maxGfn: u64): i32 {
  supply(alloc, run, free, log);
  setVendor(vendor);
  tscSetKhz(1000000);
  fpuHostInit();
  table.maxGfn = maxGfn;
  return p2mInit(table);
}
export function gibPages(on: bool): void {
  p2mSetGibPages(on);
}
export function end(): void {
  p2mFree(table);
}
export function tables(): u32 {
  return table.tablePages;
}
export function map(gfn: u64, mfn: u64, type: u32, order: u32): i32 {
  return p2mMap(table, gfn, mfn, type, order);
}
export function unmap(gfn: u64): u64 {
  return p2mUnmap(table, gfn);
}
export function lookup(gfn: u64): u64 {
  return p2mLookup(table, gfn);
}
export function setType(gfn: u64, type: u32): i32 {
  return p2mSetType(table, gfn, type);
}
export function next(gfn: u64): u64 {
  return p2mNext(table, gfn);
}

export function cpuInit(): i32 {
  return hvmCpuInit(0);
}
export function vcpuInit(): i32 {
  memory.fill(changetype<usize>(vcpu), 0, offsetof<HvmVcpu>());
  return hvmVcpuInit(vcpu, table);
}
export function vcpuFree(): void {
  hvmVcpuFree(vcpu);
}
export function enter(deadline: u64): u32 {
  return hvmEnter(vcpu, deadline);
}
export function offerInterrupt(vector: u32): bool {
  return hvmOfferInterrupt(vcpu, vector);
}
export function raiseException(vector: u32, errorCode: i32, cr2: u64): void {
  injectException(vcpu, vector, errorCode, cr2);
}
export function injectNmi(): void {
  hvmInjectNmi(vcpu);
}
/** Logs the words. */
export function explain(): void {
  hvmExplainEntryFailure(vcpu);
  sayEnd();
}

/** Puts the vCPU into code of 16, 32 or 64 bits at `rip`. */
export function code(bits: u32, rip: u64): void {
  setSegment(vcpu, 1, 8, bits == 64 ? 0xa9b : bits == 32 ? 0xc9b : 0x9b, bits == 16 ? 0xffff : 0xffffffff, 0);
  setEfer(vcpu, bits == 64 ? 0x500 : 0);
  setRip(vcpu, rip);
}
export function privilege(cpl: u32): void {
  setSegment(vcpu, 2, 16, 0xc93 | (cpl << 5), 0xffffffff, 0);
}
export function paging(cr0: u64, cr3: u64, cr4: u64, efer: u64): void {
  setCr0(vcpu, cr0);
  setCr3(vcpu, cr3);
  setCr4(vcpu, cr4);
  setEfer(vcpu, efer);
}
export function rip(): u64 {
  return getRip(vcpu);
}
export function cr0(): u64 {
  return getCr0(vcpu);
}
export function efer(): u64 {
  return getEfer(vcpu);
}
export function flags(): u64 {
  return getRflags(vcpu);
}
export function setFlags(value: u64): void {
  setRflags(vcpu, value);
}

export function walk(gva: u64, access: u32): i32 {
  return hvmTranslate(vcpu, gva, access, out);
}
export function walkError(): i32 {
  return translateError;
}
export function length(): u32 {
  return instructionLength(vcpu);
}
export function emulate(access: u32): bool {
  vcpu.exitAccess = access;
  return hvmEmulateAccess(vcpu);
}
export function save(): void {
  contextSave(vcpu, record);
}
export function restore(): i32 {
  return contextLoad(vcpu, record);
}

// --- Local APIC: two vCPUs of a domain, of which the first is the one above ---------------------------------------------

const second = changetype<HvmVcpu>(memory.data(offsetof<HvmVcpu>()));
const apics: usize = memory.data(2 * 256, 8);

function apicVcpu(n: u32): HvmVcpu {
  return n == 0 ? vcpu : second;
}
/** Gives both an APIC after power-on; their ids are those of vCPUs `id` and `id` + 1. */
export function apicBegin(id: u32): void {
  memory.fill(changetype<usize>(second), 0, offsetof<HvmVcpu>());
  assert(hvmVcpuInit(second, table) == 0);
  assert(offsetof<Vlapic>() <= 256);
  for (let n: u32 = 0; n < 2; n++) {
    const v = apicVcpu(n);
    v.vlapic = apics + 256 * n;
    v.guestVcpuId = id + n;
    vlapicReset(v);
    v.apicEffects = 0;
  }
}
export function apicInit(n: u32): void {
  vlapicInit(apicVcpu(n));
}
export function apicRead(n: u32, register: u32): u32 {
  return vlapicRead(apicVcpu(n), register);
}
export function apicWrite(n: u32, register: u32, value: u32): void {
  vlapicWrite(apicVcpu(n), register, value);
}
export function apicPost(n: u32, vector: u32): bool {
  return vlapicPost(apicVcpu(n), vector);
}
/** The vector to be delivered now. */
export function apicVector(): u32 {
  return vlapicVector(vcpu);
}
export function apicAccept(): void {
  vlapicAccept(vcpu);
}
/** What was left for the kernel to do since the last time. */
export function apicEffects(): u32 {
  const effects = vcpu.apicEffects;
  vcpu.apicEffects = 0;
  return effects;
}
export function apicTimerNext(): u64 {
  return vlapicTimerNext(vcpu);
}
export function apicTimerFire(): bool {
  return vlapicTimerFire(vcpu);
}
/** Whether vCPU `n` is a destination of the first one's ICR. */
export function apicMeans(n: u32): bool {
  const l = changetype<Vlapic>(vcpu.vlapic);
  return ipiMatches(apicVcpu(n), vcpu, l.icr, ipiDestination(l));
}
export function readMsr(n: u32, msr: u32): bool {
  vcpu.exitValue = 0;
  const done = guestRdmsr(apicVcpu(n), msr);
  if (n != 0) vcpu.exitValue = second.exitValue;
  return done;
}
export function writeMsr(n: u32, msr: u32, value: u64): bool {
  return guestWrmsr(apicVcpu(n), msr, value);
}

// --- CPUID ------------------------------------------------------------------------------------------------------------

/** The guest's CPUID: its results are left in the registers. */
export function cpuid(leaf: u32, subleaf: u32): void {
  guestCpuid(vcpu, leaf, subleaf);
}
export function cr4Accepted(value: u64): bool {
  return guestCr4Accepted(0, value);
}

// --- ACPI -------------------------------------------------------------------------------------------------------------

export function acpiProcessors(rsdp: u64): u32 {
  return acpiCpus(rsdp);
}
export function acpiIommus(rsdp: u64): u32 {
  return acpiIommu(rsdp);
}
