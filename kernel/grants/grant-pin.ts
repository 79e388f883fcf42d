/**
 * Pinning and unpinning a grant. "Pinning" checks the entry that the granting domain wrote, marks it as in use by
 * GTF_reading / GTF_writing, counts the use in the active record and takes a reference on the frame.
 *
 * The owner may rewrite its entry at any moment. Flags and domain id are one 32-bit word that is changed only by
 * compare-and-exchange on the value that was checked; the frame number is read once, after the flags are set, and from
 * then on only the active record is used.
 */
import {
  GNTST_bad_gntref,
  GNTST_bad_page,
  GNTST_general_error,
  GNTST_no_space,
  GNTST_okay,
  GrantEntryV1,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_type_mask,
  GTF_writing,
} from "../../abi/grant-table";
import { DOMID_XEN } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { P2M_MODULE, P2M_RAM, P2M_RAM_RO, P2M_SHARED } from "../../arch-x86/p2m-types";
import { Domain, DomainLife } from "../records/domain";
import { frameGet, framePut, frameType, FrameType } from "../memory/frames";
import { Active, activeMake, activeOf, grantEntries, grantEntryPa, grants } from "./grant-frames";
import { entryMfn, entryType, physmapLookup } from "../memory/physmap";
import { isLendableStable } from "../memory/stable-memory";

/** Most uses of one entry. */
const PINS_MAX: u16 = 0x7fff;
/** A guest that changes its entry this often while it is being pinned is refused, as Xen does after five tries. */
const TRIES: u32 = 5;

/**
 * Pins entry `ref` of `owner` for domain `user`.
 * @param readonly the use only reads
 * @param mapping to be mapped (sub-page grants are refused), not copied
 * @returns the frame, on which a reference is held; or a negative GNTST_*, nothing changed
 */
export function grantPin(owner: Domain, ref: u32, user: u32, readonly: bool, mapping: bool): i64 {
  if (!owner.grants || owner.life != DomainLife.Alive) return GNTST_general_error;
  const t = grants(owner);
  if (ref >= grantEntries(t)) return GNTST_bad_gntref;
  hw.lock(owner.grants);
  const mfn = pinLocked(owner, ref, user, readonly, mapping);
  hw.unlock(owner.grants);
  return mfn;
}

function pinLocked(owner: Domain, ref: u32, user: u32, readonly: bool, mapping: bool): i64 {
  const pa = grantEntryPa(grants(owner), ref);
  // A record is allocated only for entries that grant something: guessed references cost the owner nothing.
  if (activeOf(grants(owner), ref) == null && !permits(hw.load32(pa), user, mapping)) return GNTST_general_error;
  const a = activeMake(owner, ref);
  if (a == null) return GNTST_no_space;
  const pinned = (a.reads | a.writes) != 0;
  if (pinned && (a.domid != <u16>user || a.reads >= PINS_MAX || a.writes >= PINS_MAX)) return GNTST_general_error;
  if (!pinned || (!readonly && !a.writes)) {
    const rc = announce(pa, pinned, user, readonly, mapping);
    if (rc != GNTST_okay) return rc;
  }
  let mfn: u64 = a.mfn;
  if (!pinned) mfn = grantedFrame(owner, hw.load32(pa + GrantEntryV1.frame), readonly);
  if (!mfn || !frameGet(mfn, holderOf(owner, mfn))) {
    retract(pa, a, readonly);
    return pinned ? GNTST_general_error : GNTST_bad_page;
  }
  a.mfn = <u32>mfn;
  a.domid = <u16>user;
  if (readonly) a.reads++;
  else a.writes++;
  return mfn;
}

/** Whose a granted frame is: a boot module's is the hypervisor's, which shows it to domain 0. */
function holderOf(owner: Domain, mfn: u64): u32 {
  return frameType(mfn) == FrameType.Module ? DOMID_XEN : owner.id;
}

/**
 * The machine frame behind `gfn` if it is the owner's RAM, its stable memory, or a boot module's that it sees, and permits this use;
 * 0 otherwise.
 */
function grantedFrame(owner: Domain, gfn: u32, readonly: bool): u64 {
  const entry = physmapLookup(owner, gfn);
  const type = entryType(entry);
  if (type == P2M_MODULE && readonly) return entryMfn(entry);
  if (type == P2M_SHARED && isLendableStable(owner, gfn)) return entryMfn(entry);
  return entry && (type == P2M_RAM || (readonly && type == P2M_RAM_RO)) ? entryMfn(entry) : 0;
}

/** Whether an entry's flags and domain id let `user` use it. */
function permits(header: u32, user: u32, mapping: bool): bool {
  const mask: u32 = mapping ? GTF_type_mask | GTF_sub_page : GTF_type_mask;
  return (header & mask) == GTF_permit_access && header >> 16 == user;
}

/** Sets GTF_reading (and GTF_writing) in the shared entry if it grants this use. GNTST_*. */
function announce(pa: u64, pinned: bool, user: u32, readonly: bool, mapping: bool): i32 {
  const flags: u32 = readonly ? GTF_reading : GTF_reading | GTF_writing;
  let seen = hw.load32(pa);
  for (let i: u32 = 0; i < TRIES; i++) {
    if (!pinned && !permits(seen, user, mapping)) return GNTST_general_error;
    if (!readonly && (seen & GTF_readonly) != 0) return GNTST_general_error;
    const found = hw.cmpxchg32(pa, seen, seen | flags);
    if (found == seen) return GNTST_okay;
    seen = found;
  }
  return GNTST_general_error;
}

/** Clears the flags that the remaining uses do not justify. */
function retract(pa: u64, a: Active, readonly: bool): void {
  let flags: u64 = (a.reads | a.writes) == 0 ? GTF_reading : 0;
  if (!readonly && !a.writes) flags |= GTF_writing;
  if (flags) hw.fetchAnd64(pa, ~flags);
}

/**
 * Ends one use. No translation to the frame may be left: the reference dropped here can be the last.
 * @param mfn what grantPin returned
 * @param readonly as it was pinned
 */
export function grantUnpin(owner: Domain, ref: u32, mfn: u64, readonly: bool): void {
  if (owner.grants) {
    const t = grants(owner);
    hw.lock(owner.grants);
    const a = activeOf(t, ref)!;
    assert(<u64>a.mfn == mfn && (readonly ? a.reads : a.writes) != 0, "a grant is let go of that is not in use");
    if (readonly) a.reads--;
    else a.writes--;
    retract(grantEntryPa(t, ref), a, readonly);
    hw.unlock(owner.grants);
  }
  // An owner without a table is dying and its entries have been freed; only this reference is left of the use.
  framePut(mfn);
}
