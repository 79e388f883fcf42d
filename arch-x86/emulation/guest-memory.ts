/**
 * Reading and writing a guest's memory at its linear addresses, for the few instructions that are emulated. Bytes of
 * RAM only; a frame that is mapped read-only is not written.
 */
import { copyFromPhys, store8 } from "../hw";
import { HVM_ACCESS_FETCH, HVM_ACCESS_READ, HVM_ACCESS_WRITE, HvmVcpu } from "../hvm-vcpu";
import { p2mLookup } from "../p2m";
import { P2M_FOREIGN, P2M_GRANT_RW, P2M_MFN_MASK, P2M_RAM, P2M_SHARED, P2M_TYPE_MASK } from "../p2m-types";
import { translate } from "./page-walk";
import { getRip, getSegmentBase, is64, SEG_CS } from "../state";

const PAGE_SIZE: u64 = 4096;
const PAGE_MASK: u64 = PAGE_SIZE - 1;
const gpaSlot: usize = memory.data(8);

/** Linear address of the instruction at RIP. */
export function codeAddress(v: HvmVcpu): u64 {
  const rip = getRip(v);
  return is64(v) ? rip : (getSegmentBase(v, SEG_CS) + rip) & 0xffffffff;
}

/** Machine address behind a linear address: 0 when the guest's tables do not map it; 1 when they do, to no RAM for `access`. */
function machineAddress(v: HvmVcpu, gva: u64, access: u32): u64 {
  if (translate(v, gva, access, gpaSlot) != 0) return 0;
  const gpa = load<u64>(gpaSlot);
  const entry = p2mLookup(v.p2m, gpa >> 12);
  if (entry == 0) return 1;
  if (access == HVM_ACCESS_WRITE) {
    const type = <u32>(entry & P2M_TYPE_MASK);
    if (type != P2M_RAM && type != P2M_FOREIGN && type != P2M_GRANT_RW && type != P2M_SHARED) return 1;
  }
  return (entry & P2M_MFN_MASK) | (gpa & PAGE_MASK);
}

/** Copies code or data to `ptr` up to `length` bytes or the first inaccessible byte; returns how many. */
function guestRead(v: HvmVcpu, gva: u64, ptr: usize, length: u32, access: u32): u32 {
  let done: u32 = 0;
  while (done < length) {
    const at = gva + done;
    const from = machineAddress(v, at, access);
    if (from <= 1) break;
    const run = min<u32>(length - done, <u32>(PAGE_SIZE - (at & PAGE_MASK)));
    copyFromPhys(ptr + done, from, run);
    done += run;
  }
  return done;
}

/** Copies up to `length` bytes of code from RIP on to `ptr`; returns how many were readable. */
export function guestFetchCode(v: HvmVcpu, ptr: usize, length: u32): u32 {
  return guestRead(v, codeAddress(v), ptr, length, HVM_ACCESS_FETCH);
}

/** Copies the `length` bytes of code that lie before RIP to `ptr`. False: they cannot be fetched from there. */
export function guestFetchBefore(v: HvmVcpu, ptr: usize, length: u32): bool {
  if (getRip(v) < length) return false;
  return guestRead(v, codeAddress(v) - length, ptr, length, HVM_ACCESS_FETCH) == length;
}

/** Copies `length` bytes of data to `ptr`. False: one of them is inaccessible. */
export function guestReadData(v: HvmVcpu, gva: u64, ptr: usize, length: u32): bool {
  return guestRead(v, gva, ptr, length, HVM_ACCESS_READ) == length;
}

/**
 * Writes `length` bytes from `ptr`. What the guest's tables map to no writable RAM is left out, as a bus would.
 * @returns how many bytes could be translated: `length`, or the offset of the first page fault
 */
export function guestWriteData(v: HvmVcpu, gva: u64, ptr: usize, length: u32): u32 {
  for (let i: u32 = 0; i < length; i++) {
    const to = machineAddress(v, gva + i, HVM_ACCESS_WRITE);
    if (to == 0) return i;
    if (to != 1) store8(to, load<u8>(ptr + i));
  }
  return length;
}
