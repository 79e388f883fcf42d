/**
 * Copies between the hypervisor and a guest's memory, by the guest's own addresses: through its page tables for a
 * hardware-virtualised vCPU, straight through the physmap for a software-isolated one, whose linear addresses are its
 * guest-physical ones.
 *
 * All hypercall arguments are copied here, so nothing is trusted: each page is translated, looked up in the physmap and
 * checked for its type at the moment of the copy. As in Xen a write to read-only memory is discarded without an error.
 * Calling context: the vCPU is on this CPU, or its domain is not running.
 */
import { HVM_ACCESS_KERNEL, HVM_ACCESS_READ, HVM_ACCESS_WRITE } from "../../arch-x86/hvm-vcpu";
import { hvmTranslate } from "../../arch-x86/hvm";
import * as hw from "../../arch-x86/hw";
import {
  P2M_FOREIGN,
  P2M_GRANT_RO,
  P2M_GRANT_RW,
  P2M_MFN_MASK,
  P2M_MODULE,
  P2M_NONE,
  P2M_RAM,
  P2M_RAM_RO,
  P2M_SHARED,
  P2M_SHARED_RO,
  P2M_TYPE_MASK,
} from "../../arch-x86/p2m-types";
import { Domain, DomainKind } from "../records/domain";
import { physmapLookup } from "./physmap";
import { softwarePopulate } from "./software-memory";
import { Vcpu } from "../records/vcpu";

const out: usize = memory.data(8, 8);

/** Machine address of guest-physical `gpa`; 0 when there is no memory. Software domains' RAM appears on first touch. */
function machineAddress(d: Domain, gpa: u64): u64 {
  const gfn = gpa >> 12;
  let entry = physmapLookup(d, gfn);
  if (entry == 0 && d.kind == DomainKind.Software && softwarePopulate(d, gfn)) entry = physmapLookup(d, gfn);
  entryType = <u32>(entry & P2M_TYPE_MASK);
  return entryType == P2M_NONE ? 0 : (entry & P2M_MFN_MASK) | (gpa & 0xfff);
}

/** P2M type that machineAddress met. */
let entryType: u32 = P2M_NONE;

/** As machineAddress, from an address of the guest's kernel: run state is written while its user code runs, too. */
function translate(v: Vcpu, gva: u64, access: u32): u64 {
  if (v.domain.kind == DomainKind.Software) return gva >> 32 ? 0 : machineAddress(v.domain, gva);
  if (changetype<usize>(v) != keptFor) {
    if (hvmTranslate(v, gva, access | HVM_ACCESS_KERNEL, out) != 0) return 0;
    return machineAddress(v.domain, load<u64>(out));
  }
  const slot = access == HVM_ACCESS_WRITE ? kept + 16 : kept;
  if (load<u64>(slot) != gva >> 12) {
    if (hvmTranslate(v, gva, access | HVM_ACCESS_KERNEL, out) != 0) return 0;
    store<u64>(slot, gva >> 12);
    store<u64>(slot, load<u64>(out) >> 12, 8);
  }
  return machineAddress(v.domain, (load<u64>(slot, 8) << 12) | (gva & 0xfff));
}

/** The vCPU whose latest translations are cached, 0 for none; for reading and for writing: page, frame. */
let keptFor: usize = 0;
const kept: usize = memory.data(32, 8);
const NO_PAGE: u64 = ~0;

/**
 * Until guestTranslationsForget, translations of the pages copied last by `v`'s page tables are cached, as a
 * TLB would do until the guest continues. The physmap is looked up each time.
 */
export function guestTranslationsKeep(v: Vcpu): void {
  store<u64>(kept, NO_PAGE);
  store<u64>(kept, NO_PAGE, 16);
  keptFor = changetype<usize>(v);
}

export function guestTranslationsForget(): void {
  keptFor = 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function inPage(address: u64, length: u32): u32 {
  const room: u32 = 4096 - <u32>(address & 0xfff);
  return length < room ? length : room;
}

/** Writable types; of the others RAM_RO, GRANT_RO, MODULE and SHARED_RO can only be read. */
function writable(): bool {
  return entryType == P2M_RAM || entryType == P2M_SHARED || entryType == P2M_FOREIGN || entryType == P2M_GRANT_RW;
}

function readable(): bool {
  return (
    writable() ||
    entryType == P2M_RAM_RO ||
    entryType == P2M_GRANT_RO ||
    entryType == P2M_MODULE ||
    entryType == P2M_SHARED_RO
  );
}

/**
 * Copies `length` bytes from the guest's address `gva` to linear `ptr`.
 * @returns false: the guest cannot read there (-EFAULT); part of it may have been copied
 */
export function copyFromGuest(v: Vcpu, ptr: usize, gva: u64, length: u32): bool {
  let done: u32 = 0;
  while (done < length) {
    const at = gva + done;
    const bytes = inPage(at, length - done);
    const pa = translate(v, at, HVM_ACCESS_READ);
    if (!pa || !readable()) return false;
    hw.copyFromPhys(ptr + done, pa, bytes);
    done += bytes;
  }
  return true;
}

/**
 * Copies `length` bytes from linear `ptr` to the guest's address `gva`.
 * @returns false: the guest cannot write there (-EFAULT); part of it may have been copied
 */
export function copyToGuest(v: Vcpu, gva: u64, ptr: usize, length: u32): bool {
  let done: u32 = 0;
  while (done < length) {
    const at = gva + done;
    const bytes = inPage(at, length - done);
    const pa = translate(v, at, HVM_ACCESS_WRITE);
    if (!pa || !readable()) return false;
    if (writable()) hw.copyToPhys(pa, ptr + done, bytes);
    done += bytes;
  }
  return true;
}

/** Machine address of guest-physical `gpa` for one aligned access now; 0 where the domain has no memory that it can write. */
export function writableAddress(d: Domain, gpa: u64): u64 {
  const pa = machineAddress(d, gpa);
  return pa && writable() ? pa : 0;
}

/** Copies to guest-physical memory; false where there is none or it cannot be written. */
export function copyToGuestPhysical(d: Domain, gpa: u64, ptr: usize, length: u32): bool {
  let done: u32 = 0;
  while (done < length) {
    const at = gpa + done;
    const bytes = inPage(at, length - done);
    const pa = machineAddress(d, at);
    if (!pa || !writable()) return false;
    hw.copyToPhys(pa, ptr + done, bytes);
    done += bytes;
  }
  return true;
}
