/**
 * All domains, found by id. A two-level table of pointers, its second level allocated by the page on first use; the list in
 * ascending id that walks over all domains follow; the ids whose domains changed since somebody asked; and the dying
 * domains whose last frame may have come back. Nothing here takes longer where there are more domains.
 */
import { DOMID_FIRST_RESERVED } from "../../abi/xen";
import { cpuOf } from "./cpu";
import { Domain } from "./domain";
import { ID_SET_BYTES, idSetAdd, idSetBelow, idSetFree, idSetFrom, idSetRemove } from "./id-set";

/** Ids 0 .. 0x7FEF, as Xen's DOMID_FIRST_RESERVED; 512 leaves of 64 pointers. */
const LEAF_BITS: u32 = 6;
const LEAF_BYTES: usize = 4 << 6;
const leaves: usize = memory.data(4 * 512);

@unmanaged
class DomainList {
  /** The domain with the lowest id. */
  first: usize;
  /** Domains that may be ready to go, linked by Domain.reapNext: see domainReapLater. */
  reap: usize;
  /** Where the search for the next domain's id begins. */
  nextId: u32;
}

const list = changetype<DomainList>(memory.data(12, 4));
/** Ids that are in use, and those whose domains have changed. */
const used: usize = memory.data(4160, 8);
const changed: usize = memory.data(4160, 8);

/** The domain, dying ones included; null when there is none of that id. */
export function domainById(id: u32): Domain | null {
  if (id >> LEAF_BITS >= 512) return null;
  const leaf = load<usize>(leaves + (((<usize>id) >> LEAF_BITS) << 2));
  if (!leaf) return null;
  return changetype<Domain | null>(load<usize>(leaf + (((<usize>id) & 63) << 2)));
}

/** The domain with the lowest id; follow Domain.next. */
export function domainFirst(): Domain | null {
  return changetype<Domain | null>(list.first);
}

/** The domain with the lowest id that is `from` or larger; null for none. */
export function domainFrom(from: u32): Domain | null {
  const id = idSetFrom(used, from);
  return id < 0 ? null : domainById(id);
}

/**
 * An id that no domain has. Ids are given out in turn, so that a name is not reused while someone may still mean the old
 * bearer. u32.MAX_VALUE: all are taken.
 */
export function domainFreeId(): u32 {
  let id = idSetFree(used, max<u32>(list.nextId, 1), DOMID_FIRST_RESERVED);
  if (id < 0) id = idSetFree(used, 1, DOMID_FIRST_RESERVED);
  if (id < 0) return u32.MAX_VALUE;
  list.nextId = id + 1;
  return id;
}

/**
 * Enters a domain; its id must be free.
 * @param leaf a zeroed block of DOMAIN_LEAF_BYTES, used if `domainNeedsLeaf(id)` said so
 */
export function domainEnter(d: Domain, leaf: usize): void {
  const slot = leaves + (((<usize>d.id) >> LEAF_BITS) << 2);
  if (!load<usize>(slot)) store<usize>(slot, leaf);
  store<usize>(load<usize>(slot) + (((<usize>d.id) & 63) << 2), changetype<usize>(d));
  const below = idSetBelow(used, d.id);
  idSetAdd(used, d.id);
  if (below < 0) {
    d.next = list.first;
    list.first = changetype<usize>(d);
  } else {
    const before = domainById(below)!;
    d.previous = changetype<usize>(before);
    d.next = before.next;
    before.next = changetype<usize>(d);
  }
  if (d.next) changetype<Domain>(d.next).previous = changetype<usize>(d);
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
  if (d.previous) changetype<Domain>(d.previous).next = d.next;
  else list.first = d.next;
  if (d.next) changetype<Domain>(d.next).previous = d.previous;
  if (!idSetRemove(used, d.id)) return 0;
  store<usize>(slot, 0);
  return leaf;
}

// --- Changes -------------------------------------------------------------------------------------------------------------

/** Notes that a domain has shut down or gone; whoever handles VIRQ_DOM_EXC asks by domainChangedTake. */
export function domainChanged(id: u32): void {
  idSetAdd(changed, id);
}

/** An id whose domain has changed since it was last returned; -1 for none. */
export function domainChangedTake(): i32 {
  const id = idSetFrom(changed, 0);
  if (id >= 0) idSetRemove(changed, id);
  return id;
}

/** All that there are count as changed: somebody begins to ask who knows of none. */
export function domainChangedAll(): void {
  memory.copy(changed, used, ID_SET_BYTES);
}

// --- Dying domains -------------------------------------------------------------------------------------------------------

/**
 * Asks for a look, at the next turn of the loop, at whether a dying domain can go. Called where freeing the domain on
 * the spot would pull the ground from under the caller.
 */
export function domainReapLater(d: Domain): void {
  if (d.reapWanted) return;
  d.reapWanted = 1;
  d.reapNext = list.reap;
  list.reap = changetype<usize>(d);
  cpuOf(0).reschedule = 1;
}

/** Takes the next domain to be looked at; null for none. */
export function domainReapTake(): Domain | null {
  const d = changetype<Domain | null>(list.reap);
  if (d != null) {
    list.reap = d.reapNext;
    d.reapWanted = 0;
  }
  return d;
}

/** Whether there are any. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function domainReapWanted(): bool {
  return list.reap != 0;
}
