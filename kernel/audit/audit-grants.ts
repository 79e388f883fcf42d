/**
 * Audit of grants: every handle is mapped where it says, as what it says, and the granting domain's record counts it;
 * every counted use has its handle.
 */
import { GNTMAP_readonly } from "../../abi/grant-table";
import { P2M_GRANT_RO, P2M_GRANT_RW } from "../../arch-x86/p2m-types";
import { rule, violation } from "./audit-report";
import { Domain, DomainLife } from "../records/domain";
import { domainById } from "../records/domain-list";
import { activeOf, grantEntries, grants, NO_HANDLE } from "../grants/grant-frames";
import { mappingLimit, mappingOf } from "../grants/grant-map";
import { entryMfn, entryType, physmapLookup } from "../memory/physmap";

export function auditGrants(d: Domain): void {
  if (!d.grants) {
    rule(d.life != DomainLife.Alive, d, "is alive without a grant table", 0);
    return;
  }
  auditHandles(d);
  auditEntries(d);
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
    const owner = domainById(m.domid);
    if (owner == null) {
      violation(d, "handle of a domain that is gone", handle);
    } else if (owner.grants) {
      const a = activeOf(grants(owner), m.ref);
      const counted =
        a != null && <u32>a.domid == d.id && <u64>a.mfn == entryMfn(entry) && (readonly ? a.reads : a.writes) != 0;
      rule(counted, d, "handle that its owner does not count", handle);
    }
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

/** Between hypercalls only mappings use entries, so each use is a handle of the using domain. */
function auditEntries(d: Domain): void {
  const t = grants(d);
  for (let ref: u32 = 0; ref < grantEntries(t); ref++) {
    const a = activeOf(t, ref);
    if (a == null || (a.reads | a.writes) == 0) continue;
    let reads: u32 = 0;
    let writes: u32 = 0;
    const user = domainById(a.domid);
    const handles = user != null && user.grants ? mappingLimit(grants(user)) : 0;
    for (let handle: u32 = 0; handle < handles; handle++) {
      const m = mappingOf(grants(user!), handle)!;
      if (!m.flags || <u32>m.domid != d.id || m.ref != ref) continue;
      if (m.flags & GNTMAP_readonly) reads++;
      else writes++;
    }
    rule(reads == <u32>a.reads && writes == <u32>a.writes, d, "uses of a grant without handles", ref);
  }
}
