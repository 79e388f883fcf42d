/**
 * What is held for a domain beyond its RAM: nested page tables, control blocks, shared_info, frames of its grant table,
 * objects on the hypervisor's heap. Much of it a guest makes grow as it likes, so it is charged to the domain. A domain is
 * promised what it needs for ordinary work when it is created (overheadClaim), may take more as long as there are frames
 * promised to nobody, and has a limit: what exceeds either fails for that domain alone.
 */
import { ENOMEM } from "../../abi/errno";
import { DOMID_XEN } from "../../abi/xen";
import { Domain, DomainKind, DomainLife } from "../records/domain";
import { domainById } from "../records/domain-list";
import { frameAlloc, frameAllocRun, frameFree, frameOwner, FrameType, totalFrames } from "./frames";
import { framesAvailable, promise, promiseAgain, promiseEnd } from "./promises";

/** Frames promised to a domain; to one more for each vCPU; and one page table for so many frames of RAM that it may have. */
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

/** To whom frames taken by arch-x86 are charged, and as what: see frameChargeBegin. */
let chargeOwner: u32 = DOMID_XEN;
let chargeType: u32 = FrameType.Control;

/** Frames charged to `d`: whole ones, and its share of the heap rounded up. */
export function overheadUsed(d: Domain): u32 {
  return d.overheadPages + ((d.heapBytes + 4095) >> 12);
}

/** Frames it may be charged at most. */
export function overheadLimit(d: Domain): u32 {
  if (d.privileged) return u32.MAX_VALUE;
  const tables = d.mempoolBytes ? <u32>(d.mempoolBytes >> 12) : LIMIT_TABLES + d.maxPages / LIMIT_RAM_FRAMES;
  return tables + LIMIT_PER_VCPU * d.vcpuCount;
}

/** Frames promised to it and not taken up yet. */
export function overheadPromised(d: Domain): u32 {
  const used = overheadUsed(d);
  return d.overheadClaim > used ? d.overheadClaim - used : 0;
}

/**
 * Charges `d` with whole frames and bytes of the heap, about to be taken.
 * @returns false, with nothing charged: beyond its limit, or beyond its claim and all others are promised
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

/** Takes a charge back; what of it was promised is so again. */
export function overheadGive(d: Domain, frames: u32, bytes: u32): void {
  assert(d.overheadPages >= frames && d.heapBytes >= bytes, "a domain gives back more than it was charged");
  const before = overheadPromised(d);
  d.overheadPages -= frames;
  d.heapBytes -= bytes;
  promiseAgain(overheadPromised(d) - before);
}

/** Promises `d` so many frames in all, those that it has included. 0; -ENOMEM: they are not available, nothing changed. */
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
 * Promises `d` what follows from its vCPUs and maxPages; a pool that the toolstack has set is promised in full. After a
 * change of any of them. 0; -ENOMEM: not available, and the promise as it was.
 */
export function overheadReclaim(d: Domain): i32 {
  if (d.life != DomainLife.Alive || d.kind == DomainKind.Software) return 0;
  if (d.mempoolBytes >> 12 > totalFrames()) return -ENOMEM;
  const ram = min(d.maxPages, totalFrames());
  const tables = d.mempoolBytes ? <u32>(d.mempoolBytes >> 12) : (ram + CLAIM_RAM_FRAMES - 1) / CLAIM_RAM_FRAMES;
  return overheadClaim(d, tables + CLAIM_BASE + CLAIM_PER_VCPU * d.vcpuCount);
}

/** One zeroed frame of `type` for `d`, charged. Its number, 0 beyond its quota or when none is left. */
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
 * From here to frameChargeEnd, frames that arch-x86 takes count as `type` (Table or Control) of domain `owner`. Calls do
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
