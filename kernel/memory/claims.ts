/**
 * XENMEM_claim_pages: memory set aside for a domain that is being built, so that building several at once cannot leave
 * each with half of what it needs. A claim shrinks as the domain is given RAM; other domains cannot use the frames.
 */
import { EINVAL, ENOMEM } from "../../abi/errno";
import { Domain, DomainLife } from "../records/domain";
import { freeFrames } from "./frames";

/** Frames claimed by all domains and not yet allocated. */
let claimedTotal: u32 = 0;

/**
 * Claims so many frames that `d` would have `pages` in all; 0 gives the claim up.
 * @returns 0; -EINVAL: dying, a claim stands already, fewer than it has, more than it may have; -ENOMEM
 */
export function claimPages(d: Domain, pages: u64): i32 {
  if (pages == 0) {
    claimRelease(d);
    return 0;
  }
  if (d.life != DomainLife.Alive || d.claimedPages || pages <= d.totalPages || pages > d.maxPages) return -EINVAL;
  const wanted = <u32>pages - d.totalPages;
  if (wanted > freeFrames() - claimedTotal) return -ENOMEM;
  d.claimedPages = wanted;
  claimedTotal += wanted;
  return 0;
}

/** Gives up what is left of a domain's claim: it is built, or dying. */
export function claimRelease(d: Domain): void {
  claimedTotal -= d.claimedPages;
  d.claimedPages = 0;
}

/** Whether `d` may be given `frames` more; takes them off its claim. */
export function claimUse(d: Domain, frames: u32): bool {
  const own = min(frames, d.claimedPages);
  const free = freeFrames();
  if (claimedTotal - d.claimedPages + frames > free) return false;
  d.claimedPages -= own;
  claimedTotal -= own;
  return true;
}

/** Frames claimed by all domains: part of the free ones (physinfo's outstanding_pages). */
export function claimsTotal(): u32 {
  return claimedTotal;
}
