/** Creating a software-isolated domain: the same for domain 0 and the I/O domain, which differ by layout and privilege. */
import { Domain, DomainKind } from "../records/domain";
import { domainCreate, vcpuCreate } from "../domains/domain-life";
import { domainUnpause } from "../scheduling/scheduler";
import { SoftwareDomain, SoftwareLayout, softwareOf } from "../records/software-domain";
import { heapAllocFor } from "../memory/heap";
import { overheadClaim } from "../memory/overhead";
import { softwareOverhead } from "../memory/software-memory";
import { softwareBegin } from "./software-restart";

/**
 * Most frames charged to one without privilege beyond its stable memory: page tables for all of its layout, handles of 131,072
 * mappings, its grant table, and 131,072 event channels; an IOMMU's page tables for what devices can be given to reach.
 */
const OVERHEAD_MAX: u32 = 2048 + 292;

const error: usize = memory.data(4);

/**
 * Builds a software-isolated domain with one vCPU and unpauses it. Once for each, from `start`.
 * @param privileged it is the control plane: it may act on others, and its code uses the vector registers
 * @param space number of its linear memory
 * @param pages most frames of RAM that it may have
 * @returns null when out of memory; what has been allocated then stays
 */
export function softwareCreate(
  id: u32,
  privileged: bool,
  space: u32,
  layout: SoftwareLayout,
  pages: u32,
): Domain | null {
  const d = domainCreate(id, DomainKind.Software, 0, 1, error);
  if (d == null) return null;
  d.privileged = privileged ? 1 : 0;
  d.software = heapAllocFor(d, offsetof<SoftwareDomain>());
  if (!d.software) return null;
  const s = softwareOf(d);
  s.layout = layout;
  s.space = space;
  s.usesFpu = d.privileged;
  d.maxPages = pages;
  if (!privileged) d.mempoolBytes = (<u64>(layout.stableEnd - layout.stable + OVERHEAD_MAX)) << 12;
  if (overheadClaim(d, softwareOverhead(s)) != 0) return null;
  if (vcpuCreate(d, 0) != 0 || !softwareBegin(d)) return null;
  domainUnpause(d);
  return d;
}
