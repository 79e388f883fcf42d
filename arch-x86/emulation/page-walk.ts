/**
 * Guest-virtual to guest-physical address by the guest's own page tables, as its processor would do it now (SDM 3A 4.3
 * to 4.6; APM 2, 5.2 to 5.6): paging off, 32-bit with 4 MiB pages, PAE, and four levels. Every table is read
 * through the physmap, so that a guest cannot make us read anything but its own memory. Accessed and dirty bits are not
 * changed. Access rights are those of the page tables and of the physmap's types; SMEP and SMAP, which protect a kernel from
 * unintended accesses, do not apply to copies that it requested.
 */
import { EFAULT } from "../../abi/errno";
import { CR0_PG, CR0_WP, CR4_LA57, CR4_PAE, CR4_PSE, EFER_LMA, EFER_NXE } from "../control-bits";
import { cpuidEax, load32, load64 } from "../hw";
import { HVM_ACCESS_FETCH, HVM_ACCESS_KERNEL, HVM_ACCESS_WRITE, HvmVcpu } from "../hvm-vcpu";
import { p2mAddress } from "../p2m";
import { getCpl, getCr0, getCr3, getCr4, getEfer } from "../state";

const PTE_PRESENT: u64 = 1 << 0;
const PTE_WRITE: u64 = 1 << 1;
const PTE_USER: u64 = 1 << 2;
const PTE_LARGE: u64 = 1 << 7;
const PTE_NO_EXECUTE: u64 = 1 << 63;
const PTE_FRAME: u64 = 0x000ffffffffff000;

/** Not an address: see lowestEntry. */
export const NO_ENTRY: u64 = ~0;

const RING_USER: u32 = 3;

// Page-fault error code (SDM 3A 4.7).
const PF_PRESENT: u32 = 1 << 0;
const PF_WRITE: u32 = 1 << 1;
const PF_USER: u32 = 1 << 2;
const PF_RESERVED: u32 = 1 << 3;
const PF_FETCH: u32 = 1 << 4;

/** Bits 0..MAXPHYADDR-1; 0 until it is known. */
let physicalMask: u64 = 0;

/** Page-fault error code of the latest failure: that of an access by the guest itself. */
export let translateError: i32 = 0;

/**
 * See hvmTranslate. The access is made at the vCPU's current privilege level, or as its kernel's: HVM_ACCESS_KERNEL.
 * @returns 0, or -EFAULT with `out` untouched and translateError set
 */
export function translate(v: HvmVcpu, gva: u64, access: u32, out: usize): i32 {
  const cr0 = getCr0(v);
  if ((cr0 & CR0_PG) == 0) {
    store<u64>(out, gva & 0xffffffff);
    return 0;
  }
  const efer = getEfer(v);
  const cr4 = getCr4(v);
  const user = (access & HVM_ACCESS_KERNEL) == 0 && getCpl(v) == RING_USER;
  let error: u32 = user ? PF_USER : 0;
  if ((access & HVM_ACCESS_WRITE) != 0) error |= PF_WRITE;
  if ((access & HVM_ACCESS_FETCH) != 0 && (efer & EFER_NXE) != 0) error |= PF_FETCH;

  const pae = (cr4 & CR4_PAE) != 0;
  const long = (efer & EFER_LMA) != 0;
  const noExecute = pae && (efer & EFER_NXE) != 0;
  if ((long && (!isCanonical(gva) || (cr4 & CR4_LA57) != 0)) || (!long && gva >> 32 != 0)) return refuse(error);

  let table: u64;
  let shift: u64;
  if (long) {
    table = getCr3(v) & PTE_FRAME;
    shift = 39;
  } else if (pae) {
    const directory = pdpte(v, gva);
    if ((directory & PTE_PRESENT) == 0) return refuse(error);
    table = directory & PTE_FRAME;
    shift = 21;
  } else {
    return translate32(v, gva, cr0, (cr4 & CR4_PSE) != 0, user, access, error, out);
  }

  const reserved = reservedBits(noExecute, long);
  // A right must be granted at every level; "no execute" holds if any level says so.
  let granted: u64 = PTE_WRITE | PTE_USER;
  let forbidden: u64 = 0;
  let entry: u64 = 0;
  while (true) {
    entry = readTable(v, table + (((gva >> shift) & 511) << 3));
    if ((entry & PTE_PRESENT) == 0) return refuse(error);
    granted &= entry;
    forbidden |= entry;
    if ((entry & reserved) != 0) return refuse(error | PF_PRESENT | PF_RESERVED);
    if (shift == 12) break;
    if ((entry & PTE_LARGE) != 0) {
      if (shift == 39 || (entry & reservedLarge(shift)) != 0) return refuse(error | PF_PRESENT | PF_RESERVED);
      break;
    }
    table = entry & PTE_FRAME;
    shift -= 9;
  }
  if (!allowed(granted, (forbidden & PTE_NO_EXECUTE) != 0, cr0, user, access)) return refuse(error | PF_PRESENT);
  const within = ((<u64>1) << shift) - 1;
  store<u64>(out, (entry & PTE_FRAME & ~within) | (gva & within));
  return 0;
}

/**
 * Guest-physical address of the lowest-level entry for `gva` in the four-level tables that CR3 points to, whether the entry is
 * present or not and whatever rights the levels above it give.
 * @returns NO_ENTRY where there is none: not in long mode, not canonical, a table is missing, a large page
 */
export function lowestEntry(v: HvmVcpu, gva: u64): u64 {
  if ((getEfer(v) & EFER_LMA) == 0 || (getCr4(v) & CR4_LA57) != 0 || !isCanonical(gva)) return NO_ENTRY;
  let table = getCr3(v) & PTE_FRAME;
  for (let shift: u64 = 39; shift > 12; shift -= 9) {
    const entry = readTable(v, table + (((gva >> shift) & 511) << 3));
    if ((entry & PTE_PRESENT) == 0 || (entry & PTE_LARGE) != 0) return NO_ENTRY;
    table = entry & PTE_FRAME;
  }
  return table + (((gva >> 12) & 511) << 3);
}

/** Two levels of 1024 entries of 32 bits; 4 MiB pages may lie above 4 GiB (PSE-36, SDM 3A, table 4-4). */
function translate32(
  v: HvmVcpu,
  gva: u64,
  cr0: u64,
  large: bool,
  user: bool,
  access: u32,
  error: u32,
  out: usize,
): i32 {
  const directory = getCr3(v) & 0xfffff000;
  const upper = readTable32(v, directory + ((gva >> 22) << 2));
  if ((upper & PTE_PRESENT) == 0) return refuse(error);
  let granted = upper;
  let gpa: u64;
  if (large && (upper & PTE_LARGE) != 0) {
    if ((upper & (1 << 21)) != 0) return refuse(error | PF_PRESENT | PF_RESERVED);
    gpa = (upper & 0xffc00000) | ((upper & 0x1fe000) << 19) | (gva & 0x3fffff);
  } else {
    const lower = readTable32(v, (upper & 0xfffff000) + (((gva >> 12) & 1023) << 2));
    if ((lower & PTE_PRESENT) == 0) return refuse(error);
    granted &= lower;
    gpa = (lower & 0xfffff000) | (gva & 0xfff);
  }
  if (!allowed(granted, false, cr0, user, access)) return refuse(error | PF_PRESENT);
  store<u64>(out, gpa);
  return 0;
}

/** SDM 3A 4.6.1, without SMEP, SMAP and protection keys. */
function allowed(granted: u64, noExecute: bool, cr0: u64, user: bool, access: u32): bool {
  if (user && (granted & PTE_USER) == 0) return false;
  if ((access & HVM_ACCESS_WRITE) != 0 && (granted & PTE_WRITE) == 0 && (user || (cr0 & CR0_WP) != 0)) return false;
  return (access & HVM_ACCESS_FETCH) == 0 || !noExecute;
}

/**
 * PAE's table of four entries gives the page directory of a GiB. Its entries carry no rights, and their reserved bits
 * were checked when CR3 was loaded.
 */
function pdpte(v: HvmVcpu, gva: u64): u64 {
  return readTable(v, (getCr3(v) & 0xffffffe0) + ((gva >> 30) << 3));
}

/** Bits that are reserved in an entry of any level: beyond the processor's addresses, and the rest up to bit 62 in PAE. */
function reservedBits(noExecute: bool, long: bool): u64 {
  if (physicalMask == 0) physicalMask = ((<u64>1) << (cpuidEax(0x80000008, 0) & 0xff)) - 1;
  return (PTE_FRAME & ~physicalMask) | (noExecute ? 0 : PTE_NO_EXECUTE) | (long ? 0 : 0x7ff0000000000000);
}

/** Bits that are reserved besides in an entry for 2^shift bytes: those of its frame within it but one, which is PAT's. */
function reservedLarge(shift: u64): u64 {
  return (((<u64>1) << shift) - 1) & 0xffffffffffffe000;
}

function isCanonical(gva: u64): bool {
  return <u64>((<i64>(gva << 16)) >> 16) == gva;
}

/** Reads a page-table entry out of the guest's memory; where there is none, the ones that a bus would give. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function readTable(v: HvmVcpu, gpa: u64): u64 {
  const at = p2mAddress(v.p2m, gpa);
  return at == 0 ? ~(<u64>0) : load64(at);
}
function readTable32(v: HvmVcpu, gpa: u64): u64 {
  const at = p2mAddress(v.p2m, gpa);
  return at == 0 ? 0xffffffff : load32(at);
}

function refuse(error: u32): i32 {
  translateError = <i32>error;
  return -EFAULT;
}
