/**
 * Mapping and unmapping grants on behalf of a vCPU, with what a PVHv1 guest gets besides: mappings by linear address.
 *
 * As for any translated guest `host_addr` is guest-physical. But a PV guest passes the linear address at which it wants to see
 * the frame, and LightVM's Mini-OS, whose linear addresses are its guest-physical ones, does so in a hardware container too.
 * So where a PVHv1 guest's own tables have an empty lowest-level entry for the linear address of that number, the entry
 * is filled; unmapping clears an entry that was filled. See docs/decisions/0009-pvhv1.md.
 *
 * Calling context: the guest's hypercall.
 */
import { GNTMAP_readonly, GNTST_okay, GnttabMapGrantRef } from "../../abi/grant-table";
import { hvmPageTableEntry } from "../../arch-x86/hvm";
import * as hw from "../../arch-x86/hw";
import { writableAddress } from "../memory/guest-copy";
import { Vcpu } from "../records/vcpu";
import { grants } from "./grant-frames";
import { grantMap, grantUnmap, Mapping, MAPPING_LINEAR, mappingOf } from "./grant-map";

const PTE_PRESENT: u64 = 1 << 0;
const PTE_WRITE: u64 = 1 << 1;
const PTE_ACCESSED: u64 = 1 << 5;
const PTE_DIRTY: u64 = 1 << 6;
const PTE_FRAME: u64 = 0x000ffffffffff000;

/** As grantMap for the domain of `v`, and for a PVHv1 guest its page-table entry. */
export function grantMapBy(v: Vcpu, op: usize): void {
  grantMap(v.domain, op);
  if (!v.domain.pvhv1 || load<i16>(op, GnttabMapGrantRef.status) != <i16>GNTST_okay) return;
  fillEntry(v, mappingOf(grants(v.domain), load<u32>(op, GnttabMapGrantRef.handle))!);
}

/** As grantUnmap for the domain of `v`, and for a PVHv1 guest its page-table entry. */
export function grantUnmapBy(v: Vcpu, handle: u32, hostAddr: u64): i32 {
  const m = mappingOf(grants(v.domain), handle);
  const filled = m != null && ((<u32>m.flags) & MAPPING_LINEAR) != 0;
  const status = grantUnmap(v.domain, handle, hostAddr);
  // All translations are flushed before the guest runs on: the nested one is gone.
  if (filled && hostAddr && status == GNTST_okay) clearEntry(v, m!.gfn);
  return status;
}

function fillEntry(v: Vcpu, m: Mapping): void {
  const pa = writableAddress(v.domain, hvmPageTableEntry(v, m.gfn << 12));
  if (!pa || hw.load64(pa)) return;
  const rights =
    (<u32>m.flags) & GNTMAP_readonly ? PTE_PRESENT | PTE_ACCESSED : PTE_PRESENT | PTE_ACCESSED | PTE_WRITE | PTE_DIRTY;
  hw.store64(pa, (m.gfn << 12) | rights);
  m.flags = <u16>((<u32>m.flags) | MAPPING_LINEAR);
}

/** Leaves an entry alone that the guest has changed meanwhile. */
function clearEntry(v: Vcpu, gfn: u64): void {
  const pa = writableAddress(v.domain, hvmPageTableEntry(v, gfn << 12));
  if (pa && (hw.load64(pa) & (PTE_FRAME | PTE_PRESENT)) == ((gfn << 12) | PTE_PRESENT)) hw.store64(pa, 0);
}
