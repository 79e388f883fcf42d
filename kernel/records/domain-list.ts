/**
 * All domains, found by id. A two-level table of pointers, its second level allocated by the page on first use; the list in
 * ascending id for walks over all domains; the ids whose domains changed since the last query; and the dying
 * domains whose last frame may have been freed. No operation here depends on the number of domains.
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
  /** Domains that may be ready to be freed, linked by Domain.reapNext: see domainReapLater. */
  reap: usize;
  /** Start of the search for the next domain's id. */
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
 * A free id. Ids are allocated in ascending order with wrap-around, so that an id is not reused while references to
 * its previous domain may still exist. u32.MAX_VALUE: all are in use.
 */
export function domainFreeId(): u32 {
  let id = idSetFree(used, max<u32>(list.nextId, 1), DOMID_FIRST_RESERVED);
  if (id < 0) id = idSetFree(used, 1, DOMID_FIRST_RESERVED);
  if (id < 0) return u32.MAX_VALUE;
  list.nextId = id + 1;
  return id;
}

/**
 * Adds a domain; its id must be free.
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

/** True if there is no domain in id's block yet: domainEnter then needs a block of DOMAIN_LEAF_BYTES. */
export function domainNeedsLeaf(id: u32): bool {
  return load<usize>(leaves + (((<usize>id) >> LEAF_BITS) << 2)) == 0;
}

export const DOMAIN_LEAF_BYTES: usize = LEAF_BYTES;

/**
 * Removes a domain.
 * @returns its leaf if it was the last domain in it, to be freed by the caller; else 0
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

/** Records that a domain has shut down or been freed; the handler of VIRQ_DOM_EXC queries it by domainChangedTake. */
export function domainChanged(id: u32): void {
  idSetAdd(changed, id);
}

/** An id whose domain has changed since it was last returned; -1 for none. */
export function domainChangedTake(): i32 {
  const id = idSetFrom(changed, 0);
  if (id >= 0) idSetRemove(changed, id);
  return id;
}

/** Marks all existing domains as changed, for a new handler that knows of none. */
export function domainChangedAll(): void {
  memory.copy(changed, used, ID_SET_BYTES);
}

// --- Dying domains -------------------------------------------------------------------------------------------------------

/**
 * Queues a dying domain to be checked, and freed if possible, at the next turn of the loop. Called where freeing the
 * domain immediately would free memory that the caller still uses.
 */
export function domainReapLater(d: Domain): void {
  if (d.reapWanted) return;
  d.reapWanted = 1;
  d.reapNext = list.reap;
  list.reap = changetype<usize>(d);
  cpuOf(0).reschedule = 1;
}

/** Dequeues the next domain to be checked; null for none. */
export function domainReapTake(): Domain | null {
  const d = changetype<Domain | null>(list.reap);
  if (d != null) {
    list.reap = d.reapNext;
    d.reapWanted = 0;
  }
  return d;
}

/** Whether any are queued. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function domainReapWanted(): bool {
  return list.reap != 0;
}
