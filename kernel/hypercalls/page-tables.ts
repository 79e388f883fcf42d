/**
 * The page-table hypercalls of PV guests, for PVHv1 guests. Such a guest's tables are its own: the processor translates what
 * they hold once more, so entries are neither checked nor translated here, and frame numbers are guest-physical. Xen
 * 4.4 to 4.9 expected these guests to write their tables themselves and had only mmuext_op's pins for them; LightVM's
 * Mini-OS makes the calls all the same. Errors are those that Xen gives a PV guest. See docs/decisions/0009-pvhv1.md.
 */
import { EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from "../../abi/errno";
import {
  DOMID_SELF,
  MMU_MACHPHYS_UPDATE,
  MMU_NORMAL_PT_UPDATE,
  MMU_PT_UPDATE_PRESERVE_AD,
  MMUEXT_INVLPG_ALL,
  MMUEXT_INVLPG_LOCAL,
  MMUEXT_INVLPG_MULTI,
  MMUEXT_TLB_FLUSH_ALL,
  MMUEXT_TLB_FLUSH_LOCAL,
  MMUEXT_TLB_FLUSH_MULTI,
  MMUEXT_UNPIN_TABLE,
  MmuextOp,
  MmuUpdate,
  UVMF_ALL,
  UVMF_FLUSHTYPE_MASK,
  UVMF_INVLPG,
  UVMF_LOCAL,
  UVMF_TLB_FLUSH,
} from "../../abi/xen";
import { hvmFlush, hvmPageTableEntry } from "../../arch-x86/hvm";
import * as hw from "../../arch-x86/hw";
import { copyFromGuest, copyToGuest, writableAddress } from "../memory/guest-copy";
import { physmapFlush } from "../memory/physmap";
import { scratch } from "../memory/scratch";
import { preemptNeeded } from "../records/cpu";
import { vcpuOf } from "../records/domain-access";
import { domainById } from "../records/domain-list";
import { Vcpu } from "../records/vcpu";
import { mmuextOp } from "./absent-ops";
import { hypercallRestart } from "./hypercall";

/** In the count of a list: the call goes on after a preemption, and what was done before is where it reports to. */
const PREEMPTED: u32 = 0x80000000;
/** The low bits of MmuUpdate.ptr. */
const COMMAND_MASK: u64 = 7;
const PTE_ACCESSED_DIRTY: u64 = 0x60;

/** Whether these calls are not for the caller: another kind of guest, or code outside 64-bit mode. */
function notOffered(v: Vcpu): bool {
  return !v.domain.pvhv1 || v.hypercallCompat != 0;
}

/** Whose pages are meant: 0 the caller's, which it names as DOMID_SELF only. -ESRCH, -EPERM. */
function pagesRefusal(v: Vcpu, id: u32): i32 {
  if (id == DOMID_SELF) return 0;
  return id == v.domain.id || domainById(id) == null ? -ESRCH : -EPERM;
}

/** Whose tables are meant, in the upper half of mmu_update's argument: 0 or its own id plus one. */
function tablesRefusal(v: Vcpu, idPlusOne: u32): i32 {
  if (idPlusOne == 0 || idPlusOne - 1 == v.domain.id) return 0;
  return domainById(idPlusOne - 1) == null ? -ESRCH : -EPERM;
}

/** HYPERVISOR_mmu_update: `count` mmu_update at `list`; the number done is written to `done` unless that is 0. */
export function mmuUpdate(v: Vcpu, list: u64, count: u64, done: u64, who: u64, a5: u64, a6: u64): i64 {
  if (notOffered(v)) return -ENOSYS;
  let rc = tablesRefusal(v, (<u32>who) >> 16);
  if (!rc) rc = pagesRefusal(v, (<u32>who) & 0xffff);
  if (rc) return rc;
  const arg = scratch(v);
  const total = (<u32>count) & ~PREEMPTED;
  const before = doneBefore(v, arg, <u32>count, done);
  let i: u32 = 0;
  for (; i < total && !rc; i++) {
    if (i && preemptNeeded(v)) return goOn(v, list + i * MmuUpdate.SIZE, total - i, done, who, before + i);
    if (!copyFromGuest(v, arg, list + i * MmuUpdate.SIZE, MmuUpdate.SIZE)) rc = -EFAULT;
    else rc = updateEntry(v, load<u64>(arg, MmuUpdate.ptr), load<u64>(arg, MmuUpdate.val));
    if (rc) break;
  }
  report(v, done, before + i);
  return rc;
}

function updateEntry(v: Vcpu, ptr: u64, value: u64): i32 {
  const command = <u32>(ptr & COMMAND_MASK);
  if (command == MMU_MACHPHYS_UPDATE) return -EINVAL; // there is no such table for translated guests
  if (command != MMU_NORMAL_PT_UPDATE && command != MMU_PT_UPDATE_PRESERVE_AD) return -ENOSYS;
  const pa = writableAddress(v.domain, ptr & ~COMMAND_MASK);
  if (!pa) return -EINVAL;
  const kept = command == MMU_PT_UPDATE_PRESERVE_AD ? hw.load64(pa) & PTE_ACCESSED_DIRTY : 0;
  hw.store64(pa, value | kept);
  return 0;
}

/** HYPERVISOR_update_va_mapping: the lowest-level entry for `va` becomes `value`. -EINVAL where there is no such entry. */
export function updateVaMapping(v: Vcpu, va: u64, value: u64, flags: u64, a4: u64, a5: u64, a6: u64): i64 {
  if (notOffered(v)) return -ENOSYS;
  const pa = writableAddress(v.domain, hvmPageTableEntry(v, va));
  if (pa) hw.store64(pa, value);
  const what = (<u32>flags) & UVMF_FLUSHTYPE_MASK;
  const whose = flags & ~(<u64>UVMF_FLUSHTYPE_MASK);
  let rc: i32 = pa ? 0 : -EINVAL;
  if (what == UVMF_TLB_FLUSH || what == UVMF_INVLPG) {
    if (whose == UVMF_LOCAL) hvmFlush(v);
    else if (whose == UVMF_ALL) physmapFlush(v.domain);
    else if (!flushListed(v, whose)) rc = -EFAULT;
  }
  return rc;
}

/** HYPERVISOR_mmuext_op: `count` mmuext_op at `list`. */
export function mmuextOpOrRefusal(v: Vcpu, list: u64, count: u64, done: u64, who: u64, a5: u64, a6: u64): i64 {
  if (notOffered(v)) return mmuextOp(v, list, count, done, who, a5, a6);
  let rc = pagesRefusal(v, (<u32>who) & 0xffff);
  if (rc) return rc;
  const arg = scratch(v);
  const total = (<u32>count) & ~PREEMPTED;
  const before = doneBefore(v, arg, <u32>count, done);
  let i: u32 = 0;
  for (; i < total; i++) {
    if (i && preemptNeeded(v)) return goOn(v, list + i * MmuextOp.SIZE, total - i, done, who, before + i);
    if (!copyFromGuest(v, arg, list + i * MmuextOp.SIZE, MmuextOp.SIZE)) rc = -EFAULT;
    else rc = extended(v, load<u32>(arg, MmuextOp.cmd), load<u64>(arg, MmuextOp.arg2_vcpumask));
    if (rc) break;
  }
  report(v, done, before + i);
  return rc;
}

/** Translations of single addresses are flushed with all others. Pins have no meaning: no table is checked. */
function extended(v: Vcpu, command: u32, mask: u64): i32 {
  if (command <= MMUEXT_UNPIN_TABLE) return 0;
  switch (command) {
    case MMUEXT_TLB_FLUSH_LOCAL:
    case MMUEXT_INVLPG_LOCAL:
      hvmFlush(v);
      return 0;
    case MMUEXT_TLB_FLUSH_ALL:
    case MMUEXT_INVLPG_ALL:
      physmapFlush(v.domain);
      return 0;
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI:
      return flushListed(v, mask) ? 0 : -EINVAL;
    default:
      return -EOPNOTSUPP;
  }
}

/** Flushes the vCPUs in the bitmap at guest address `mask`. False: it cannot be read. */
function flushListed(v: Vcpu, mask: u64): bool {
  const words = scratch(v) + 256;
  const vcpus = v.domain.vcpuCount;
  if (!copyFromGuest(v, words, mask, ((vcpus + 63) >> 6) << 3)) return false;
  for (let i: u32 = 0; i < vcpus; i++) {
    const target = vcpuOf(v.domain, i);
    if (target != null && load<u64>(words + ((<usize>(i >> 6)) << 3)) & ((<u64>1) << (i & 63))) hvmFlush(target);
  }
  return true;
}

/** What a list's earlier pieces have done, which is where `done` points to. */
function doneBefore(v: Vcpu, arg: usize, count: u32, done: u64): u32 {
  if (!(count & PREEMPTED) || !done || !copyFromGuest(v, arg, done, 4)) return 0;
  return load<u32>(arg);
}

/** As Xen does, without an error where it cannot be written. */
function report(v: Vcpu, done: u64, count: u32): void {
  if (!done) return;
  store<u32>(scratch(v), count);
  copyToGuest(v, done, scratch(v), 4);
}

function goOn(v: Vcpu, list: u64, left: u32, done: u64, who: u64, count: u32): i64 {
  report(v, done, count);
  return hypercallRestart(v, list, left | PREEMPTED, done, who, 0, 0);
}
