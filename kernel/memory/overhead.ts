/**
 * Memory allocated on behalf of a domain beyond its RAM: nested page tables, control blocks, shared_info, frames of its grant
 * table, objects on the hypervisor's heap. A guest can make much of it grow, so it is charged to the domain. A domain is
 * promised what it needs for ordinary work when it is created (overheadClaim), may use more as long as there are unpromised
 * frames, and has a limit: allocations beyond either fail for that domain only.
 */
import { ENOMEM } from "../../abi/errno";
import { DOMID_XEN } from "../../abi/xen";
import { Domain, DomainKind, DomainLife } from "../records/domain";
import { domainById } from "../records/domain-list";
import { frameAlloc, frameAllocRun, frameFree, frameOwner, FrameType, totalFrames } from "./frames";
import { framesAvailable, promise, promiseAgain, promiseEnd } from "./promises";

/** Frames promised to a domain; in addition for each vCPU; and RAM frames of its limit per promised page table. */
const CLAIM_BASE: u32 = 24;
const CLAIM_PER_VCPU: u32 = 4;
const CLAIM_RAM_FRAMES: u32 = 512;

/**
 * Most frames: as many page tables as Xen's toolstack would allow a domain with one vCPU (1 MiB, and 8 KiB for each MiB of
 * RAM), or what was set as its pool; and some for each vCPU.
 */
const LIMIT_TABLES: u32 = 256;
const LIMIT_RAM_FRAMES: u32 = 128;
const LIMIT_PER_VCPU: u32 = 32;

/** The domain charged for frames allocated by arch-x86, and their type: see frameChargeBegin. */
let chargeOwner: u32 = DOMID_XEN;
let chargeType: u32 = FrameType.Control;

/** Frames charged to `d`: whole ones, and its share of the heap rounded up. */
function overheadUsed(d: Domain): u32 {
  return d.overheadPages + ((d.heapBytes + 4095) >> 12);
}

/** The most frames that may be charged to it. */
function overheadLimit(d: Domain): u32 {
  if (d.privileged) return u32.MAX_VALUE;
  const tables = d.mempoolBytes ? <u32>(d.mempoolBytes >> 12) : LIMIT_TABLES + d.maxPages / LIMIT_RAM_FRAMES;
  return tables + LIMIT_PER_VCPU * d.vcpuCount;
}

/** Frames promised to it and not used yet. */
export function overheadPromised(d: Domain): u32 {
  const used = overheadUsed(d);
  return d.overheadClaim > used ? d.overheadClaim - used : 0;
}

/**
 * Charges `d` for whole frames and bytes of heap about to be allocated.
 * @returns false, with nothing charged: beyond its limit, or beyond its claim with no unpromised frames left
 */
export function overheadTake(d: Domain, frames: u32, bytes: u32): bool {
  const used = overheadUsed(d);
  const promisedBefore = overheadPromised(d);
  d.overheadPages += frames;
  d.heapBytes += bytes;
  const more = overheadUsed(d) - used;
  if (!more) return true;
  const kept = promisedBefore - overheadPromised(d);
  if (overheadUsed(d) > overheadLimit(d) || more - kept > framesAvailable()) {
    d.overheadPages -= frames;
    d.heapBytes -= bytes;
    return false;
  }
  promiseEnd(kept);
  return true;
}

/** Reverses a charge; the part that came from its promise is promised again. */
export function overheadGive(d: Domain, frames: u32, bytes: u32): void {
  assert(d.overheadPages >= frames && d.heapBytes >= bytes, "a domain gives back more than it was charged");
  const before = overheadPromised(d);
  d.overheadPages -= frames;
  d.heapBytes -= bytes;
  promiseAgain(overheadPromised(d) - before);
}

/** Promises `d` this many frames in total, including those in use. 0; -ENOMEM: not available, nothing changed. */
export function overheadClaim(d: Domain, frames: u32): i32 {
  const before = overheadPromised(d);
  const claim = d.overheadClaim;
  d.overheadClaim = frames;
  const after = overheadPromised(d);
  if (after > before && !promise(after - before)) {
    d.overheadClaim = claim;
    return -ENOMEM;
  }
  if (after < before) promiseEnd(before - after);
  return 0;
}

/**
 * Promises `d` what its vCPUs and maxPages require; a pool size set by the toolstack is promised in full. Called after a
 * change of any of these. 0; -ENOMEM: not available, the promise is unchanged.
 */
export function overheadReclaim(d: Domain): i32 {
  if (d.life != DomainLife.Alive || d.kind == DomainKind.Software) return 0;
  if (d.mempoolBytes >> 12 > totalFrames()) return -ENOMEM;
  const ram = min(d.maxPages, totalFrames());
  const tables = d.mempoolBytes ? <u32>(d.mempoolBytes >> 12) : (ram + CLAIM_RAM_FRAMES - 1) / CLAIM_RAM_FRAMES;
  return overheadClaim(d, tables + CLAIM_BASE + CLAIM_PER_VCPU * d.vcpuCount);
}

/** One zeroed frame of `type`, charged to `d`. Its number, 0 beyond its quota or out of memory. */
export function overheadFrame(d: Domain, type: u32): u64 {
  if (!overheadTake(d, 1, 0)) return 0;
  const mfn = frameAlloc(d.id, type);
  if (!mfn) overheadGive(d, 1, 0);
  return mfn;
}

/** Undoes overheadFrame. */
export function overheadFrameFree(d: Domain, mfn: u64): void {
  frameFree(mfn);
  overheadGive(d, 1, 0);
}

/**
 * Until frameChargeEnd, frames allocated by arch-x86 are charged to domain `owner` as `type` (Table or Control). Calls do
 * not nest.
 */
export function frameChargeBegin(owner: u32, type: u32): void {
  chargeOwner = owner;
  chargeType = type;
}

export function frameChargeEnd(): void {
  chargeOwner = DOMID_XEN;
  chargeType = FrameType.Control;
}

/** supply.ts's AllocFrame. */
export function archFrameAlloc(): u64 {
  if (chargeOwner == DOMID_XEN) return framesAvailable() ? frameAlloc(chargeOwner, chargeType) : 0;
  return overheadFrame(domainById(chargeOwner)!, chargeType);
}

/** supply.ts's AllocRun: forever the hypervisor's. */
export function archFrameAllocRun(frames: u32): u64 {
  return frameAllocRun(frames, DOMID_XEN, FrameType.Control);
}

/** supply.ts's FreeFrame. */
export function archFrameFree(mfn: u64): void {
  const owner = frameOwner(mfn);
  if (owner == DOMID_XEN) frameFree(mfn);
  else overheadFrameFree(domainById(owner)!, mfn);
}
