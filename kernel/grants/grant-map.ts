/**
 * GNTTABOP_map_grant_ref and unmap_grant_ref: another domain's granted frame at a gfn of the caller, identified by a handle.
 * Handles are in the caller's own table ("maptrack"), so that a mapping can be undone whatever either side does meanwhile:
 * a handle records owner, reference, kind and gfn, and unmapping checks the address against it.
 */
import { ERESTART } from "../../abi/errno";
import {
  GNTMAP_application_map,
  GNTMAP_contains_pte,
  GNTMAP_device_map,
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_bad_domain,
  GNTST_bad_gntref,
  GNTST_bad_handle,
  GNTST_general_error,
  GNTST_no_space,
  GNTST_okay,
  GnttabMapGrantRef,
} from "../../abi/grant-table";
import { P2M_GRANT_RO, P2M_GRANT_RW, P2M_RAM, P2M_RAM_RO } from "../../arch-x86/p2m-types";
import { Domain } from "../records/domain";
import { domainById } from "../records/domain-list";
import { grants, GrantTable, NO_HANDLE } from "./grant-frames";
import { grantPin, grantUnpin } from "./grant-pin";
import { sharedFrameMoved } from "../memory/frames";
import { dmaFrame } from "../memory/dma-space";
import { heapAllocFor, heapFreeFor } from "../memory/heap";
import {
  entryIsShared,
  entryMfn,
  entryType,
  physmapLookup,
  physmapMap,
  physmapMappable,
  physmapUnmap,
} from "../memory/physmap";
import { Vcpu } from "../records/vcpu";
import { preemptNeeded } from "../records/cpu";

/** One handle. */
@unmanaged
export class Mapping {
  /** Grant reference; of a free handle: the next free one, NO_HANDLE at the end. */
  ref: u32;
  domid: u16;
  /** GNTMAP_host_map, GNTMAP_readonly, MAPPING_LINEAR; 0: free. */
  flags: u16;
  gfn: u64;
}

/** In Mapping.flags: the guest's own page-table entry was filled for it, see grant-linear.ts. */
export const MAPPING_LINEAR: u32 = 0x8000;

const MAPPING_BYTES: usize = 16;
const PAGE_MAPPINGS: u32 = 256;
const PAGE_BYTES: usize = 4096;

/** The record of a handle; null when there is no such handle. */
export function mappingOf(t: GrantTable, handle: u32): Mapping | null {
  if (handle / PAGE_MAPPINGS >= t.maptrackPages) return null;
  const page = load<usize>(t.maptrack + ((<usize>(handle / PAGE_MAPPINGS)) << 2));
  return changetype<Mapping | null>(page + <usize>(handle % PAGE_MAPPINGS) * MAPPING_BYTES);
}

/** Handles below this have a record. */
export function mappingLimit(t: GrantTable): u32 {
  return t.maptrackPages * PAGE_MAPPINGS;
}

/** Makes sure there is a free handle; NO_HANDLE at the domain's limit, or out of memory. */
function handleReady(d: Domain): u32 {
  const t = grants(d);
  if (t.freeHandle != NO_HANDLE) return t.freeHandle;
  if (t.maptrackPages >= t.maxMaptrackFrames) return NO_HANDLE;
  if (!t.maptrack) t.maptrack = heapAllocFor(d, (<usize>t.maxMaptrackFrames) << 2);
  if (!t.maptrack) return NO_HANDLE;
  const page = heapAllocFor(d, PAGE_BYTES);
  if (!page) return NO_HANDLE;
  const first = mappingLimit(t);
  store<usize>(t.maptrack + ((<usize>t.maptrackPages) << 2), page);
  t.maptrackPages++;
  for (let i: u32 = 0; i < PAGE_MAPPINGS; i++) {
    mappingOf(t, first + i)!.ref = i + 1 < PAGE_MAPPINGS ? first + i + 1 : NO_HANDLE;
  }
  t.freeHandle = first;
  return first;
}

/** One element of GNTTABOP_map_grant_ref, `op` a copy of it in linear memory; fills in status, handle, dev_bus_addr. */
export function grantMap(d: Domain, op: usize): void {
  store<i16>(op, <i16>mapOne(d, op), GnttabMapGrantRef.status);
}

function mapOne(d: Domain, op: usize): i32 {
  const flags = load<u32>(op, GnttabMapGrantRef.flags);
  if (!(flags & (GNTMAP_device_map | GNTMAP_host_map))) return GNTST_bad_gntref;
  if (flags & (GNTMAP_device_map | GNTMAP_application_map | GNTMAP_contains_pte)) return GNTST_general_error;
  const owner = domainById(load<u16>(op, GnttabMapGrantRef.dom));
  if (owner == null) return GNTST_bad_domain;
  const handle = handleReady(d);
  if (handle == NO_HANDLE) return GNTST_no_space;
  const ref = load<u32>(op, GnttabMapGrantRef.ref);
  const gfn = load<u64>(op, GnttabMapGrantRef.host_addr) >> 12;
  const readonly = (flags & GNTMAP_readonly) != 0;
  const mfn = grantPin(owner, ref, d.id, readonly, true);
  if (mfn < 0) return <i32>mfn;
  // Only the plain kind of mapping exists for translated guests: no guest-available bits of page-table entries.
  const plain = (flags & ~GNTMAP_readonly) == GNTMAP_host_map;
  if (!plain || !place(d, gfn, mfn, readonly ? P2M_GRANT_RO : P2M_GRANT_RW)) {
    grantUnpin(owner, ref, mfn, readonly);
    return GNTST_general_error;
  }
  const t = grants(d);
  const m = mappingOf(t, handle)!;
  t.freeHandle = m.ref;
  t.mapped++;
  d.foreignMaps++;
  m.ref = ref;
  m.domid = <u16>owner.id;
  m.flags = <u16>(GNTMAP_host_map | (flags & GNTMAP_readonly));
  m.gfn = gfn;
  store<u64>(op, dmaFrame(d, gfn, mfn) << 12, GnttabMapGrantRef.dev_bus_addr);
  store<u32>(op, handle, GnttabMapGrantRef.handle);
  return GNTST_okay;
}

/**
 * Maps a granted frame. As on Xen, RAM that was at this gfn stays the domain's but is no longer mapped; a grant or
 * foreign frame there is refused.
 */
function place(d: Domain, gfn: u64, mfn: u64, type: u32): bool {
  if (!physmapMappable(d, gfn)) return false;
  const present = physmapLookup(d, gfn);
  if (present) {
    const was = entryType(present);
    const shared = entryIsShared(present);
    if (was != P2M_RAM && was != P2M_RAM_RO && !shared) return false;
    if (!physmapUnmap(d, gfn)) return false;
    if (shared) sharedFrameMoved(entryMfn(present), 0);
  }
  return physmapMap(d, gfn, mfn, type) == 0;
}

/**
 * One element of GNTTABOP_unmap_grant_ref.
 * @returns GNTST_*
 */
export function grantUnmap(d: Domain, handle: u32, hostAddr: u64): i32 {
  const t = grants(d);
  const m = mappingOf(t, handle);
  if (m == null || !m.flags) return GNTST_bad_handle;
  if (!hostAddr) return GNTST_okay; // as Xen: an address of 0 is ignored
  if (hostAddr >> 12 != m.gfn) return GNTST_general_error;
  drop(d, t, m, handle);
  return GNTST_okay;
}

/** Ends a mapping: first the translation, then the use of the grant and its reference, then the handle. */
function drop(d: Domain, t: GrantTable, m: Mapping, handle: u32): void {
  const old = physmapUnmap(d, m.gfn);
  assert(
    old != 0 && (entryType(old) == P2M_GRANT_RO || entryType(old) == P2M_GRANT_RW),
    "a mapped grant is not mapped",
  );
  d.foreignMaps--;
  grantUnpin(domainById(m.domid)!, m.ref, entryMfn(old), (m.flags & GNTMAP_readonly) != 0);
  m.flags = 0;
  m.ref = t.freeHandle;
  t.freeHandle = handle;
  t.mapped--;
}

/**
 * Removes every mapping of a domain that is dying (or is domain 0 being restarted) and frees the handles. Before
 * physmapTeardown. May be called again.
 * @param caller the vCPU whose slice limits the work; null: no limit
 * @returns 0, or -ERESTART when it is to be called again
 */
export function grantTableReleaseMappings(d: Domain, caller: Vcpu | null = null): i32 {
  if (!d.grants) return 0;
  const t = grants(d);
  // Free handles count as work, too: a guest chooses which ones are free, and there may be a quarter of a million.
  while (t.mapped != 0) {
    const handle = t.releaseAt++;
    const m = mappingOf(t, handle)!;
    if (m.flags) drop(d, t, m, handle);
    if ((handle & 63) == 63 && caller != null && preemptNeeded(caller)) return -ERESTART;
  }
  t.releaseAt = 0;
  for (let i: u32 = 0; i < t.maptrackPages; i++) {
    heapFreeFor(d, load<usize>(t.maptrack + ((<usize>i) << 2)), PAGE_BYTES);
  }
  heapFreeFor(d, t.maptrack, (<usize>t.maxMaptrackFrames) << 2);
  t.maptrack = 0;
  t.maptrackPages = 0;
  t.freeHandle = NO_HANDLE;
  return 0;
}
