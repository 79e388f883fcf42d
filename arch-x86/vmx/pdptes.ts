/**
 * With PAE paging the four page-directory-pointer entries are registers, loaded when CR3 is (SDM 3A 4.4.1). The
 * processor does that for the guest's own instructions; when the hypervisor emulates a change of paging mode, it must load them.
 */
import { cpuidEax, load64 } from "../hw";
import { HvmVcpu } from "../hvm-vcpu";
import { p2mLookup } from "../p2m";
import { P2M_MFN_MASK } from "../p2m-types";
import { vmxWrite } from "./state";
import { VMCS } from "./vmcs";

const ENTRIES: u32 = 4;
const TABLE_MASK: u64 = 0xffffffe0;
const PRESENT: u64 = 1;
const RESERVED_LOW: u64 = 0x1e6;

/**
 * Reads the entries from the table that `cr3` names.
 * @returns false, with nothing changed, if the table is not in the guest's memory or has a reserved bit set: #GP
 */
export function loadPdptes(v: HvmVcpu, cr3: u64): bool {
  const gpa = cr3 & TABLE_MASK;
  const frame = p2mLookup(v.p2m, gpa >> 12) & P2M_MFN_MASK;
  if (frame == 0) return false;
  const table = frame | (gpa & 0xfff);
  const reserved = RESERVED_LOW | (~(<u64>0) << (cpuidEax(0x80000008, 0) & 0xff));
  for (let i: u32 = 0; i < ENTRIES; i++) {
    const entry = load64(table + 8 * i);
    if ((entry & PRESENT) != 0 && (entry & reserved) != 0) return false;
  }
  for (let i: u32 = 0; i < ENTRIES; i++) vmxWrite(v, VMCS.GUEST_PDPTE0 + 2 * i, load64(table + 8 * i));
  return true;
}
