/**
 * Audit of the IOMMU's page tables: each entry is the mapping of the I/O domain's at that page, of the same frame and with no more
 * rights, where devices may reach; and none of those is missing.
 */
import { dmaTablesLookup, dmaTablesNext, DMA_END } from "../../arch-x86/iommu/tables";
import { P2M_END } from "../../arch-x86/p2m";
import { P2M_GRANT_RO } from "../../arch-x86/p2m-types";
import { dmaConfined, dmaReaches } from "../memory/dma-space";
import { entryMfn, entryType, physmapLookup, physmapNext } from "../memory/physmap";
import { Domain } from "../records/domain";
import { drivesDevices } from "../records/software-domain";
import { rule } from "./audit-report";

const WRITABLE: u64 = 2;

/** Audits what the devices of `d` reach; nothing to do for other domains than the I/O domain. */
export function auditDma(d: Domain): void {
  if (!dmaConfined() || !drivesDevices(d)) return;
  for (let page = dmaTablesNext(0); page != DMA_END; page = dmaTablesNext(page + 1)) {
    const entry = physmapLookup(d, page);
    const same = expected(d, page, entry) == dmaTablesLookup(page);
    rule(entry != 0 && same, d, "devices reach what they may not at", page);
  }
  for (let gfn = physmapNext(d, 0); gfn != P2M_END; gfn = physmapNext(d, gfn + 1)) {
    const entry = physmapLookup(d, gfn);
    if (!dmaReaches(d, gfn, entryType(entry))) continue;
    rule(expected(d, gfn, entry) == dmaTablesLookup(gfn), d, "devices do not reach what they may at", gfn);
  }
}

/** What the tables are to say of a page that is mapped so: as dmaTablesLookup. */
function expected(d: Domain, gfn: u64, entry: u64): u64 {
  const type = entryType(entry);
  if (!dmaReaches(d, gfn, type)) return 0;
  return (entryMfn(entry) << 12) | 1 | (type == P2M_GRANT_RO ? 0 : WRITABLE);
}
