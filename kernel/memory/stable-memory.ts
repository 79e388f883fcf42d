/**
 * Memory of a software-isolated domain that is preserved across its restart: it finds its records there after a crash. The frames
 * belong to the hypervisor, one for each page that was ever touched, and are mapped in the layout's stable range in the same way as
 * shared_info.
 */
import { Domain, DomainKind } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import { FrameType, sharedFrameAt } from "./frames";
import { overheadFrame } from "./overhead";
import { heapAllocFor } from "./heap";

/** Pages per table; a table is allocated when one of its pages is first touched: u32 frames, 0 none yet. */
const TABLE_PAGES: u32 = 1024;
const TABLE_BYTES: usize = 1024 * 4;
/** The list of tables: a pointer for each 4 MiB, for 128 MiB. */
const LIST_BYTES: usize = 32 * 4;
const PAGES_MAX: u32 = 32768;

/** True for a page of the domain's stable memory. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function isStable(d: Domain, gfn: u64): bool {
  const layout = softwareOf(d).layout;
  return gfn >= layout.stable && gfn < layout.stableEnd;
}

/** Whether a frame of the hypervisor's that `d` has mapped at `gfn` is its memory as RAM is, which it may grant: its stable memory. */
export function isLendableStable(d: Domain, gfn: u64): bool {
  return d.kind == DomainKind.Software && isStable(d, gfn);
}

/** The frame of stable page `gfn`, newly zeroed the first time; 0: out of memory, or already mapped. */
export function stableFrame(d: Domain, gfn: u64): u64 {
  const s = softwareOf(d);
  const page = <u32>(gfn - s.layout.stable);
  assert(page < PAGES_MAX, "stable memory is larger than its list of tables");
  if (!s.stableTables) s.stableTables = heapAllocFor(d, LIST_BYTES);
  if (!s.stableTables) return 0;
  const slot = s.stableTables + ((<usize>page / TABLE_PAGES) << 2);
  if (!load<usize>(slot)) {
    const table = heapAllocFor(d, TABLE_BYTES);
    if (!table) return 0;
    store<usize>(slot, table);
  }
  const record = load<usize>(slot) + ((<usize>(page % TABLE_PAGES)) << 2);
  const known: u64 = load<u32>(record);
  if (known) return sharedFrameAt(known) ? 0 : known;
  const mfn = overheadFrame(d, FrameType.XenShared);
  if (!mfn) return 0;
  store<u32>(record, <u32>mfn);
  s.stableFrames++;
  return mfn;
}
