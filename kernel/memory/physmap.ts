/**
 * A domain's guest-physical memory: the frame and type of each gfn. It is the P2M of arch-x86, which the
 * processor walks for hardware guests; for software domains it is only a record, mirrored in hw's linear-memory pages
 * (gfn = linear address >> 12).
 *
 * Ownership and references are handled by the callers (guest-pages.ts, grant-table.ts); the rule here is that when a
 * function has returned, no translation to an unmapped frame is left: the caller may release the frame.
 */
import { EINVAL, ENOMEM, ERESTART } from "../../abi/errno";
import { hvmFlush } from "../../arch-x86/hvm";
import * as hw from "../../arch-x86/hw";
import {
  P2m,
  P2M_END,
  P2M_NO_MEMORY,
  p2mFree,
  p2mInit,
  p2mLookup,
  p2mMap,
  p2mNext,
  p2mUnmap,
} from "../../arch-x86/p2m";
import {
  P2M_FOREIGN,
  P2M_GRANT_RO,
  P2M_GRANT_RW,
  P2M_MFN_MASK,
  P2M_MMIO,
  P2M_MMIO_RO,
  P2M_MODULE,
  P2M_RAM_RO,
  P2M_SHARED,
  P2M_SHARED_RO,
  P2M_TYPE_MASK,
} from "../../arch-x86/p2m-types";
import { vcpuOf } from "../records/domain-access";
import { dmaConfined, dmaMapped, dmaUnmapped } from "./dma-space";
import { softwareOf } from "../records/software-domain";
import { Domain, DomainKind } from "../records/domain";
import { framePut, FrameType, sharedFrameMoved } from "./frames";
import { frameChargeBegin, frameChargeEnd } from "./overhead";
import { heapAllocFor, heapFreeFor } from "./heap";
import { Vcpu } from "../records/vcpu";
import { preemptNeeded } from "../records/cpu";

/** 2 MiB. */
const SUPERPAGE_ORDER: u32 = 9;

// @ts-expect-error: decorator of AssemblyScript
@inline
function p2mOf(d: Domain): P2m {
  return changetype<P2m>(d.p2m);
}

/** Frame of an entry that physmapLookup returned. */
export function entryMfn(entry: u64): u64 {
  return (entry & P2M_MFN_MASK) >> 12;
}

/** P2M_* type of an entry. */
export function entryType(entry: u64): u32 {
  return <u32>(entry & P2M_TYPE_MASK);
}

/** Whether an entry maps a frame of the hypervisor's own: shared_info, a grant-table frame, the device page. */
export function entryIsShared(entry: u64): bool {
  const type = entryType(entry);
  return type == P2M_SHARED || type == P2M_SHARED_RO;
}

/** Allocates a new domain's empty p2m. The domain is already in the list of domains. 0 or -ENOMEM. */
export function physmapInit(d: Domain): i32 {
  d.p2m = heapAllocFor(d, offsetof<P2m>());
  if (!d.p2m) return -ENOMEM;
  p2mOf(d).maxGfn = d.maxGfn;
  frameChargeBegin(d.id, FrameType.Table);
  const rc = p2mInit(p2mOf(d));
  frameChargeEnd();
  if (rc) {
    heapFreeFor(d, d.p2m, offsetof<P2m>());
    d.p2m = 0;
  }
  return rc;
}

/**
 * Whether a foreign frame or a grant may be mapped at `gfn`: below maxGfn; for a software-isolated domain, where its layout
 * has such mappings.
 */
export function physmapMappable(d: Domain, gfn: u64): bool {
  if (gfn >= d.maxGfn) return false;
  if (d.kind != DomainKind.Software) return true;
  const layout = softwareOf(d).layout;
  return gfn >= layout.map && gfn < layout.mapEnd;
}

/** The entry at `gfn` (frame in P2M_MFN_MASK, type in P2M_TYPE_MASK), 0 when nothing is mapped. */
export function physmapLookup(d: Domain, gfn: u64): u64 {
  return d.p2m && gfn < d.maxGfn ? p2mLookup(p2mOf(d), gfn) : 0;
}

/**
 * Maps one frame.
 * @returns 0; -EINVAL for a gfn out of range, -EEXIST where something is mapped, -ENOMEM; nothing changed on failure
 */
export function physmapMap(d: Domain, gfn: u64, mfn: u64, type: u32): i32 {
  return physmapMapOrder(d, gfn, mfn, type, 0);
}

/** As physmapMap for 2^order consecutive frames (order 0..9), all or none; gfn and mfn naturally aligned. */
export function physmapMapOrder(d: Domain, gfn: u64, mfn: u64, type: u32, order: u32): i32 {
  const frames: u64 = (<u64>1) << order;
  if (!d.p2m || gfn >= d.maxGfn || frames > d.maxGfn - gfn || ((gfn | mfn) & (frames - 1)) != 0) return -EINVAL;
  frameChargeBegin(d.id, FrameType.Table);
  const rc = mapPieces(d, gfn, mfn, type, order);
  frameChargeEnd();
  if (rc) return rc;
  if (gfn + frames - 1 > d.highestGfn) d.highestGfn = gfn + frames - 1;
  if (d.kind != DomainKind.Software) return 0;
  for (let i: u64 = 0; i < frames; i++) {
    const failed = hw.spaceMap(softwareOf(d).space, <u32>(gfn + i), mfn + i, spaceFlags(type));
    if (!failed) continue;
    assert(failed == 1, "a page of a software domain is mapped but not in its p2m");
    takeBack(d, gfn, frames, i);
    return -ENOMEM;
  }
  if (!dmaConfined()) return 0;
  frameChargeBegin(d.id, FrameType.Table);
  const reachable = dmaMapped(d, gfn, mfn, type, order);
  frameChargeEnd();
  if (reachable) return 0;
  takeBack(d, gfn, frames, frames);
  return -ENOMEM;
}

/** Undoes the mapping of pages of a software domain, of which the first `shown` are in its linear memory. */
function takeBack(d: Domain, gfn: u64, frames: u64, shown: u64): void {
  for (let i: u64 = 0; i < frames; i++) {
    if (i < shown) hw.spaceUnmap(softwareOf(d).space, <u32>(gfn + i));
    p2mUnmap(p2mOf(d), gfn + i);
  }
}

/** One 2 MiB entry where it fits (order 9), else 4 KiB ones; all or none. Software domains have 4 KiB ones only. */
function mapPieces(d: Domain, gfn: u64, mfn: u64, type: u32, order: u32): i32 {
  if (order == SUPERPAGE_ORDER && d.kind == DomainKind.Hvm) return p2mMap(p2mOf(d), gfn, mfn, type, order);
  const frames: u64 = (<u64>1) << order;
  for (let i: u64 = 0; i < frames; i++) {
    const rc = p2mMap(p2mOf(d), gfn + i, mfn + i, type, 0);
    if (!rc) continue;
    while (i > 0) p2mUnmap(p2mOf(d), gfn + --i);
    return rc;
  }
  return 0;
}

/** hw.spaceMap's flags for a mapping of this type. */
function spaceFlags(type: u32): u32 {
  if (type == P2M_MMIO) return hw.SPACE_WRITABLE | hw.SPACE_UNCACHED;
  if (type == P2M_MMIO_RO) return hw.SPACE_UNCACHED;
  return type == P2M_RAM_RO || type == P2M_GRANT_RO || type == P2M_MODULE || type == P2M_SHARED_RO
    ? 0
    : hw.SPACE_WRITABLE;
}

/**
 * Unmaps one gfn; translations of it are flushed on every vCPU before its next entry.
 * @returns the entry that was there, 0 when there was none (or, rarely, no memory to split the superpage it is part of)
 */
export function physmapUnmap(d: Domain, gfn: u64): u64 {
  if (!d.p2m || gfn >= d.maxGfn) return 0;
  frameChargeBegin(d.id, FrameType.Table);
  const old = dmaConfined() && !dmaUnmapped(d, gfn) ? 0 : p2mUnmap(p2mOf(d), gfn);
  frameChargeEnd();
  if (!old || old == P2M_NO_MEMORY) return 0;
  if (d.kind == DomainKind.Software) hw.spaceUnmap(softwareOf(d).space, <u32>gfn);
  else physmapFlush(d);
  return old;
}

/** Makes every vCPU of `d` flush its nested translations before it next runs. */
export function physmapFlush(d: Domain): void {
  if (d.kind != DomainKind.Hvm) return;
  for (let i: u32 = 0; i < d.vcpuCount; i++) {
    const v = vcpuOf(d, i);
    if (v != null) hvmFlush(v);
  }
}

/** Whether nothing is mapped at `frames` gfns from `gfn` on. */
export function physmapEmpty(d: Domain, gfn: u64, frames: u64): bool {
  return !d.p2m || p2mNext(p2mOf(d), gfn, gfn + frames) == P2M_END;
}

/** The first mapped gfn at or above `gfn`, or ~0. */
export function physmapNext(d: Domain, gfn: u64): u64 {
  return d.p2m ? p2mNext(p2mOf(d), gfn) : P2M_END;
}

/**
 * Empties the p2m of a domain that will not run meanwhile: references held by mappings of foreign frames are dropped, the
 * domain's own RAM stays on its list. Grants have been unmapped before (grantTableReleaseMappings).
 * @param caller the vCPU whose slice limits the work; null: no limit
 * @returns 0, or -ERESTART when it is to be called again
 */
export function physmapClear(d: Domain, caller: Vcpu | null = null): i32 {
  if (!d.p2m) return 0;
  // A hardware guest without foreign frames needs no walk: its tables are dropped as a whole.
  if (d.kind == DomainKind.Hvm && !d.foreignMaps) return 0;
  let visited: u32 = 0;
  for (let gfn = p2mNext(p2mOf(d), 0); gfn != P2M_END; gfn = p2mNext(p2mOf(d), gfn + 1)) {
    const entry = p2mLookup(p2mOf(d), gfn);
    const type = entryType(entry);
    assert(type != P2M_GRANT_RO && type != P2M_GRANT_RW, "a grant is still mapped in a p2m being cleared");
    if (d.kind == DomainKind.Software || type == P2M_FOREIGN) {
      const mfn = entryMfn(physmapUnmap(d, gfn));
      if (type == P2M_FOREIGN) {
        d.foreignMaps--;
        framePut(mfn);
      } else if (entryIsShared(entry)) {
        sharedFrameMoved(mfn, 0);
      }
    }
    if ((++visited & 0xff) == 0 && caller != null && preemptNeeded(caller)) return -ERESTART;
  }
  return 0;
}

/** physmapClear, then frees the p2m. The domain is dying; may be called again. 0 or -ERESTART. */
export function physmapTeardown(d: Domain, caller: Vcpu | null = null): i32 {
  if (!d.p2m) return 0;
  const rc = physmapClear(d, caller);
  if (rc) return rc;
  frameChargeBegin(d.id, FrameType.Table);
  p2mFree(p2mOf(d));
  frameChargeEnd();
  heapFreeFor(d, d.p2m, offsetof<P2m>());
  d.p2m = 0;
  return 0;
}
