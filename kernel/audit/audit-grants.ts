/**
 * Audit of grants: every handle is mapped at the address and with the kind it records, and the granting domain's record counts
 * it; every counted use has a handle.
 */
import { GNTMAP_readonly } from "../../abi/grant-table";
import { P2M_GRANT_RO, P2M_GRANT_RW } from "../../arch-x86/p2m-types";
import { rule, violation } from "./audit-report";
import { Domain, DomainLife } from "../records/domain";
import { domainById, domainFirst } from "../records/domain-list";
import { Active, activeOf, grantEntries, grants, NO_HANDLE } from "../grants/grant-frames";
import { Mapping, mappingLimit, mappingOf } from "../grants/grant-map";
import { entryMfn, entryType, physmapLookup } from "../memory/physmap";

/**
 * Audits the grants of all domains, in time linear in handles and entries: each handle is subtracted from the use count of
 * its entry, then all counts must be zero, then the counts are restored.
 */
export function auditGrants(): void {
  each(auditHandles);
  each(auditEntries);
  each(restoreUses);
}

function each(check: (d: Domain) => void): void {
  for (let at = changetype<usize>(domainFirst()); at; at = changetype<Domain>(at).next) {
    const d = changetype<Domain>(at);
    if (d.grants) check(d);
    else rule(d.life != DomainLife.Alive, d, "is alive without a grant table", 0);
  }
}

function auditHandles(d: Domain): void {
  const t = grants(d);
  const limit = mappingLimit(t);
  let used: u32 = 0;
  for (let handle: u32 = 0; handle < limit; handle++) {
    const m = mappingOf(t, handle)!;
    if (!m.flags) continue;
    used++;
    const readonly = (m.flags & GNTMAP_readonly) != 0;
    const entry = physmapLookup(d, m.gfn);
    rule(entry != 0 && entryType(entry) == (readonly ? P2M_GRANT_RO : P2M_GRANT_RW), d, "handle not mapped", handle);
    if (domainById(m.domid) == null) {
      violation(d, "handle of a domain that is gone", handle);
      continue;
    }
    const a = usedEntry(m);
    if (a == null) continue;
    rule(
      <u32>a.domid == d.id && <u64>a.mfn == entryMfn(entry) && (readonly ? a.reads : a.writes) != 0,
      d,
      "handle that its owner does not count",
      handle,
    );
    if (readonly) a.reads--;
    else a.writes--;
  }
  rule(used == t.mapped, d, "count of mapped grants is not", used);
  let free: u32 = 0;
  for (let handle = t.freeHandle; handle != NO_HANDLE && free <= limit; free++) {
    const m = mappingOf(t, handle);
    if (m == null || m.flags != 0) {
      violation(d, "list of free handles leads to", handle);
      return;
    }
    handle = m.ref;
  }
  rule(free + used == limit, d, "free handles are not", limit - used);
}

/** The record of the entry that a handle uses; null if its owner is dying and no longer has a table. */
function usedEntry(m: Mapping): Active | null {
  const owner = domainById(m.domid);
  return owner != null && owner.grants && m.ref < grantEntries(grants(owner)) ? activeOf(grants(owner), m.ref) : null;
}

/** Between hypercalls only mappings use entries: with all handles subtracted, all counts are zero. */
function auditEntries(d: Domain): void {
  const t = grants(d);
  for (let ref: u32 = 0; ref < grantEntries(t); ref++) {
    const a = activeOf(t, ref);
    rule(a == null || (a.reads | a.writes) == 0, d, "uses of a grant without handles", ref);
  }
}

/** Restores the counts that auditHandles subtracted. */
function restoreUses(d: Domain): void {
  const t = grants(d);
  for (let handle: u32 = 0; handle < mappingLimit(t); handle++) {
    const m = mappingOf(t, handle)!;
    const a = m.flags ? usedEntry(m) : null;
    if (a == null) continue;
    if (m.flags & GNTMAP_readonly) a.reads++;
    else a.writes++;
  }
}
