/**
 * Changes of a guest's physical memory that move ownership or references: allocating RAM, freeing it, unmapping a page,
 * mapping frames of the hypervisor or of another domain. The errors and the order of checks are those of Xen's
 * guest_remove_page, p2m_add_page, p2m_add_foreign and xenmem_add_to_physmap_one.
 *
 * What an entry means for ownership:
 *   RAM       the domain's own frame, kept by its allocation; the mapping holds no reference
 *   SHARED    shared_info or a grant-table frame, kept by the domain; no reference. SHARED_RO: the device page, likewise
 *   FOREIGN   one reference on the other domain's frame, counted in foreignMaps
 *   GRANT_*   as FOREIGN, but can only be unmapped by its handle (grant-table.ts)
 *   MODULE    a boot module in domain 0's window; permanent
 *   MMIO      a device's registers: not memory, no reference
 */
import { EINVAL, EEXIST, ENOENT, ENOMEM, ENXIO, EPERM, EXDEV } from "../../abi/errno";
import {
  P2M_FOREIGN,
  P2M_GRANT_RO,
  P2M_GRANT_RW,
  P2M_MODULE,
  P2M_RAM,
  P2M_RAM_RO,
  P2M_SHARED,
} from "../../arch-x86/p2m-types";
import { Domain, DomainKind } from "../records/domain";
import { claimRestore, ramAlloc } from "./claims";
import { domainFrameRelease, frameGet, framePut, sharedFrameAt, sharedFrameMoved } from "./frames";
import { softwarePopulate } from "./software-memory";
import {
  entryIsShared,
  entryMfn,
  entryType,
  physmapEmpty,
  physmapLookup,
  physmapMap,
  physmapMapOrder,
  physmapMappable,
  physmapUnmap,
} from "./physmap";

/**
 * Allocates 2^order frames of RAM and maps them at `gfn`. RAM that was mapped there remains allocated to the domain, unmapped, as
 * on Xen. All or nothing.
 * @returns 0, -ENOMEM, -EINVAL (range, alignment), -EPERM where a grant or foreign frame is in the way
 */
export function giveRam(d: Domain, gfn: u64, order: u32): i32 {
  const frames: u64 = (<u64>1) << order;
  if (gfn >= d.maxGfn || frames > d.maxGfn - gfn) return -EINVAL;
  if (<u64>d.totalPages + frames > d.maxPages) return -ENOMEM;
  if (!physmapEmpty(d, gfn, frames)) {
    for (let i: u64 = 0; i < frames; i++) {
      const type = entryType(physmapLookup(d, gfn + i));
      if (type == P2M_FOREIGN || type == P2M_GRANT_RO || type == P2M_GRANT_RW || type == P2M_MODULE) return -EPERM;
    }
  }
  const claimed = d.claimedPages;
  const rc = giveRamRun(d, gfn, order);
  if (rc) claimRestore(d, claimed);
  return rc;
}

function giveRamRun(d: Domain, gfn: u64, order: u32): i32 {
  const frames: u64 = (<u64>1) << order;
  if ((gfn & (frames - 1)) == 0) {
    const mfn = ramAlloc(d, order);
    if (mfn) {
      const rc = mapOver(d, gfn, mfn, order);
      if (!rc) return 0;
      for (let i: u64 = 0; i < frames; i++) domainFrameRelease(d, mfn + i);
      if (!order || rc != -ENOMEM) return rc;
    } else if (!order) {
      return -ENOMEM;
    }
  }
  return giveRamSingly(d, gfn, frames);
}

/**
 * Allocates 2^order consecutive, naturally aligned frames of RAM and maps them at `gfn`, where nothing is mapped: for devices'
 * access. Never in pieces.
 * @returns 0, -EINVAL (alignment), -EEXIST, -ENOMEM no such run, or at maxPages
 */
export function giveRun(d: Domain, gfn: u64, order: u32): i32 {
  const frames: u64 = (<u64>1) << order;
  if ((gfn & (frames - 1)) != 0) return -EINVAL;
  if (!physmapEmpty(d, gfn, frames)) return -EEXIST;
  const mfn = ramAlloc(d, order);
  if (!mfn) return -ENOMEM;
  const rc = physmapMapOrder(d, gfn, mfn, P2M_RAM, order);
  if (rc) for (let i: u64 = 0; i < frames; i++) domainFrameRelease(d, mfn + i);
  return rc;
}

/** Maps a run, unmapping previous contents first. An order-0 failure restores the previous mapping. */
function mapOver(d: Domain, gfn: u64, mfn: u64, order: u32): i32 {
  const rc = physmapMapOrder(d, gfn, mfn, P2M_RAM, order);
  if (rc != -EEXIST) return rc;
  if (order) return -ENOMEM; // the caller continues page by page
  const old = physmapUnmap(d, gfn);
  if (!old) return -ENOMEM;
  if (entryIsShared(old)) sharedFrameMoved(entryMfn(old), 0);
  return physmapMap(d, gfn, mfn, P2M_RAM); // its table exists: cannot fail
}

/** Memory is fragmented, or something is mapped inside the range: single frames, all or none. */
function giveRamSingly(d: Domain, gfn: u64, frames: u64): i32 {
  for (let i: u64 = 0; i < frames; i++) {
    const mfn = ramAlloc(d, 0);
    let rc: i32 = -ENOMEM;
    if (mfn) {
      rc = mapOver(d, gfn + i, mfn, 0);
      if (rc) domainFrameRelease(d, mfn);
    }
    if (rc) {
      while (i > 0) {
        i--;
        domainFrameRelease(d, entryMfn(physmapUnmap(d, gfn + i)));
      }
      return rc;
    }
  }
  return 0;
}

/**
 * Unmaps the page at `gfn` and frees it if it is the domain's own RAM (XENMEM_decrease_reservation).
 * @returns 0; -ENOENT nothing there; -ENXIO a page that is not the domain's own; -ENOMEM
 */
export function removePage(d: Domain, gfn: u64): i32 {
  const entry = physmapLookup(d, gfn);
  if (!entry) return -ENOENT;
  const type = entryType(entry);
  const shared = entryIsShared(entry);
  if (type != P2M_RAM && type != P2M_RAM_RO && !shared) return -ENXIO;
  if (!physmapUnmap(d, gfn)) return -ENOMEM;
  if (shared) sharedFrameMoved(entryMfn(entry), 0);
  else domainFrameRelease(d, entryMfn(entry));
  return 0;
}

/**
 * Removes the mapping at `gfn` without freeing the domain's own RAM (XENMEM_remove_from_physmap); the reference on a foreign
 * frame is dropped.
 * @returns 0; -ENOENT nothing there, or a grant; -EPERM a boot module; -ENOMEM
 */
export function unhookPage(d: Domain, gfn: u64): i32 {
  const entry = physmapLookup(d, gfn);
  const type = entryType(entry);
  if (!entry || type == P2M_GRANT_RO || type == P2M_GRANT_RW) return -ENOENT;
  if (type == P2M_MODULE) return -EPERM;
  if (!physmapUnmap(d, gfn)) return -ENOMEM;
  if (entryIsShared(entry)) sharedFrameMoved(entryMfn(entry), 0);
  if (type == P2M_FOREIGN) {
    d.foreignMaps--;
    framePut(entryMfn(entry));
  }
  return 0;
}

/** Clears `gfn` for a new mapping: frees RAM, unmaps a frame of the hypervisor. 0 or as removePage, never -ENOENT. */
function makeRoom(d: Domain, gfn: u64): i32 {
  const rc = removePage(d, gfn);
  return rc == -ENOENT ? 0 : rc;
}

/**
 * Maps a frame of the hypervisor's own at `gfn`, removing its previous mapping.
 * @param type P2M_SHARED; P2M_SHARED_RO for the device page
 * @returns 0, -EINVAL, -ENXIO (a grant or foreign frame is there), -ENOMEM
 */
export function mapShared(d: Domain, gfn: u64, mfn: u64, type: u32 = P2M_SHARED): i32 {
  if (gfn >= d.maxGfn) return -EINVAL;
  const present = physmapLookup(d, gfn);
  if (present && entryType(present) == type && entryMfn(present) == mfn) return 0;
  let rc = makeRoom(d, gfn);
  if (!rc) rc = physmapMap(d, gfn, mfn, type);
  if (rc) return rc;
  const old = sharedFrameAt(mfn);
  if (old) physmapUnmap(d, old - 1);
  sharedFrameMoved(mfn, gfn + 1);
  return 0;
}

/**
 * The frame behind `gfn`, with a reference, so that the hypervisor can write to it even if the mapping changes.
 * @returns 0 when there is none of the domain's own RAM
 */
export function pinRam(d: Domain, gfn: u64): u64 {
  const entry = physmapLookup(d, gfn);
  return entryType(entry) == P2M_RAM && frameGet(entryMfn(entry), d.id) ? entryMfn(entry) : 0;
}

/** Moves the page at `from` to `to` (XENMAPSPACE_gmfn). 0, -EINVAL no page of the domain's own at `from`, -EXDEV, ... */
export function movePage(d: Domain, from: u64, to: u64): i32 {
  const entry = physmapLookup(d, from);
  const type = entryType(entry);
  const shared = entryIsShared(entry);
  if (!entry || to >= d.maxGfn || (type != P2M_RAM && !shared)) return -EINVAL;
  if (from == to) return 0;
  if (shared) return -EXDEV;
  let rc = makeRoom(d, to);
  if (!rc) rc = physmapMap(d, to, entryMfn(entry), type);
  if (rc) return rc;
  if (physmapUnmap(d, from)) return 0;
  physmapUnmap(d, to); // no memory to split the superpage that `from` is part of
  return -ENOMEM;
}

/**
 * Maps RAM of `owner` at `gfn` of `d`, with a reference (XENMAPSPACE_gmfn_foreign). A software-isolated domain's RAM that it has
 * not touched yet is given to it first.
 * @returns 0; -EINVAL no RAM there, or not a place for it; -ENXIO a grant or foreign frame is in the way; -ENOMEM
 */
export function mapForeign(d: Domain, gfn: u64, owner: Domain, ownerGfn: u64): i32 {
  let entry = physmapLookup(owner, ownerGfn);
  if (!entry && owner.kind == DomainKind.Software && softwarePopulate(owner, ownerGfn)) {
    entry = physmapLookup(owner, ownerGfn);
  }
  if (!entry || entryType(entry) != P2M_RAM) return -EINVAL;
  return mapForeignFrame(d, gfn, owner, entryMfn(entry));
}

/** As mapForeign for a frame known by its number: the owner's RAM, or a frame of Xen's own held for it. */
export function mapForeignFrame(d: Domain, gfn: u64, owner: Domain, mfn: u64): i32 {
  if (!physmapMappable(d, gfn)) return -EINVAL;
  if (!frameGet(mfn, owner.id)) return -EINVAL;
  let rc = makeRoom(d, gfn);
  if (!rc) rc = physmapMap(d, gfn, mfn, P2M_FOREIGN);
  if (rc) framePut(mfn);
  else d.foreignMaps++;
  return rc;
}
