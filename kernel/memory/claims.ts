/**
 * Allocation of RAM to domains, subject to claims. XENMEM_claim_pages reserves memory for a domain that is being built,
 * so that building several at once cannot leave each with half of what it needs; the claim shrinks as the domain is allocated
 * RAM. Domain 0's claim is what it may touch and has not touched yet (software-memory.ts).
 */
import { EINVAL, ENOMEM } from "../../abi/errno";
import { Domain, DomainKind, DomainLife } from "../records/domain";
import { domainFrameAllocRun } from "./frames";
import { framesAvailable, promise, promiseAgain, promiseEnd } from "./promises";

/**
 * Claims enough frames for `d` to have `pages` in total; 0 cancels the claim.
 * @returns 0; -EINVAL: dying, domain 0, it already has a claim, fewer than it has, more than it may have; -ENOMEM
 */
export function claimPages(d: Domain, pages: u64): i32 {
  if (d.kind == DomainKind.Software) return -EINVAL;
  if (pages == 0) {
    claimRelease(d);
    return 0;
  }
  if (d.life != DomainLife.Alive || d.claimedPages || pages <= d.totalPages || pages > d.maxPages) return -EINVAL;
  const wanted = <u32>pages - d.totalPages;
  if (!promise(wanted)) return -ENOMEM;
  d.claimedPages = wanted;
  return 0;
}

/** Cancels the rest of a domain's claim: it is built, or dying. */
export function claimRelease(d: Domain): void {
  promiseEnd(d.claimedPages);
  d.claimedPages = 0;
}

/** Raises the claim of `d` to at least `frames`, as far as unpromised frames are available. False: not all. */
export function claimAtLeast(d: Domain, frames: u32): bool {
  if (frames <= d.claimedPages) return true;
  const more = min(frames - d.claimedPages, framesAvailable());
  if (!promise(more)) return false;
  d.claimedPages += more;
  return d.claimedPages >= frames;
}

/**
 * As domainFrameAllocRun, from frames that `d` has claimed or that are not promised. The claim shrinks only when memory
 * was allocated. Domain 0's claim is for memory it touches, not for explicit requests.
 * @returns the first frame's number; 0: at maxPages, not alive, or memory is out or promised to others
 */
export function ramAlloc(d: Domain, order: u32): u64 {
  return alloc(d, order, d.kind == DomainKind.Software ? 0 : d.claimedPages);
}

/** As ramAlloc for one frame that domain 0 touches. */
export function ramTouch(d: Domain): u64 {
  return alloc(d, 0, d.claimedPages);
}

function alloc(d: Domain, order: u32, claimed: u32): u64 {
  const frames: u32 = 1 << order;
  const own = min(frames, claimed);
  if (frames - own > framesAvailable()) return 0;
  const mfn = domainFrameAllocRun(d, order);
  if (!mfn) return 0;
  d.claimedPages -= own;
  promiseEnd(own);
  return mfn;
}

/** The memory allocated since the claim was `claimed` has been freed: the claim is restored. */
export function claimRestore(d: Domain, claimed: u32): void {
  if (claimed <= d.claimedPages) return;
  promiseAgain(claimed - d.claimedPages);
  d.claimedPages = claimed;
}
