/**
 * All domains, found by id. A two-level table of pointers, its second level allocated by the page on first use; and the
 * list in ascending id that walks over all domains follow.
 */
import { cpuOf } from "./cpu";
import { Domain } from "./domain";

/** Ids 0 .. 0x7FEF, as Xen's DOMID_FIRST_RESERVED; 512 leaves of 64 pointers. */
const LEAF_BITS: u32 = 6;
const LEAF_BYTES: usize = 4 << 6;
const leaves: usize = memory.data(4 * 512);
let first: usize = 0;
/** Set when a dying domain's last frame may have come back: see domainReapLater. */
let reapFlag: bool = false;

/** The domain, dying ones included; null when there is none of that id. */
export function domainById(id: u32): Domain | null {
  if (id >> LEAF_BITS >= 512) return null;
  const leaf = load<usize>(leaves + (((<usize>id) >> LEAF_BITS) << 2));
  if (!leaf) return null;
  return changetype<Domain | null>(load<usize>(leaf + (((<usize>id) & 63) << 2)));
}

/** The domain with the lowest id; follow Domain.next. */
export function domainFirst(): Domain | null {
  return changetype<Domain | null>(first);
}

/**
 * Enters a domain; its id must be free.
 * @param leaf a zeroed block of DOMAIN_LEAF_BYTES, used if `domainNeedsLeaf(id)` said so
 */
export function domainEnter(d: Domain, leaf: usize): void {
  const slot = leaves + (((<usize>d.id) >> LEAF_BITS) << 2);
  if (!load<usize>(slot)) store<usize>(slot, leaf);
  store<usize>(load<usize>(slot) + (((<usize>d.id) & 63) << 2), changetype<usize>(d));
  let before: usize = 0;
  let at = first;
  while (at && changetype<Domain>(at).id < d.id) {
    before = at;
    at = changetype<Domain>(at).next;
  }
  d.next = at;
  if (before) changetype<Domain>(before).next = changetype<usize>(d);
  else first = changetype<usize>(d);
}

/** True when no domain of id's block has been entered: domainEnter then needs a block of DOMAIN_LEAF_BYTES. */
export function domainNeedsLeaf(id: u32): bool {
  return load<usize>(leaves + (((<usize>id) >> LEAF_BITS) << 2)) == 0;
}

export const DOMAIN_LEAF_BYTES: usize = LEAF_BYTES;

/**
 * Takes a domain out.
 * @returns the block of its leaf when it was the last in it: to be freed by the caller; else 0
 */
export function domainRemove(d: Domain): usize {
  const slot = leaves + (((<usize>d.id) >> LEAF_BITS) << 2);
  const leaf = load<usize>(slot);
  store<usize>(leaf + (((<usize>d.id) & 63) << 2), 0);
  if (first == changetype<usize>(d)) {
    first = d.next;
  } else {
    let at = changetype<Domain>(first);
    while (at.next != changetype<usize>(d)) at = changetype<Domain>(at.next);
    at.next = d.next;
  }
  for (let i: usize = 0; i < LEAF_BYTES; i += 4) if (load<usize>(leaf + i)) return 0;
  store<usize>(slot, 0);
  return leaf;
}

/**
 * Asks for a look, at the next turn of the loop, at whether a dying domain can go. Called where freeing the domain on
 * the spot would pull the ground from under the caller.
 */
export function domainReapLater(): void {
  reapFlag = true;
  cpuOf(0).reschedule = 1;
}

/** Reads and clears the request. */
export function domainReapWanted(): bool {
  const wanted = reapFlag;
  reapFlag = false;
  return wanted;
}
