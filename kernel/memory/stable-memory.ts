/**
 * Memory of a software-isolated domain that is preserved across its restart: it finds its records there after a crash. The frames
 * belong to the hypervisor, one for each page that was ever touched, and are mapped in the layout's stable range in the same way as
 * shared_info.
 */
import { Domain, DomainKind } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import { frameRefs, FrameType, sharedFrameAt } from "./frames";
import { overheadFrame, overheadFrameFree } from "./overhead";
import { heapAllocFor } from "./heap";

/** Pages per table; a table is allocated when one of its pages is first touched: u32 frames, 0 none yet. */
const TABLE_PAGES: u32 = 1024;
const TABLE_BYTES: usize = 1024 * 4;
/** The list of tables: a pointer for each 4 MiB, for 256 MiB. */
const LIST_BYTES: usize = 64 * 4;
const PAGES_MAX: u32 = 65536;

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

// @ts-expect-error: decorator of AssemblyScript
@inline
function tableSlot(tables: usize, page: u32): usize {
  return tables + ((<usize>page / TABLE_PAGES) << 2);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function recordIn(table: usize, page: u32): usize {
  return table + ((<usize>(page % TABLE_PAGES)) << 2);
}

/** The frame of stable page `gfn`, newly zeroed the first time; 0: out of memory, or already mapped. */
export function stableFrame(d: Domain, gfn: u64): u64 {
  const s = softwareOf(d);
  const page = <u32>(gfn - s.layout.stable);
  assert(page < PAGES_MAX, "stable memory is larger than its list of tables");
  if (!s.stableTables) s.stableTables = heapAllocFor(d, LIST_BYTES);
  if (!s.stableTables) return 0;
  const slot = tableSlot(s.stableTables, page);
  if (!load<usize>(slot)) {
    const table = heapAllocFor(d, TABLE_BYTES);
    if (!table) return 0;
    store<usize>(slot, table);
  }
  const record = recordIn(load<usize>(slot), page);
  const known: u64 = load<u32>(record);
  if (known) return sharedFrameAt(known) ? 0 : known;
  const mfn = overheadFrame(d, FrameType.XenShared);
  if (!mfn) return 0;
  store<u32>(record, <u32>mfn);
  s.stableFrames++;
  return mfn;
}

/**
 * Frees the frame of stable page `gfn`, which is unmapped: the page will be zeroes. One that is referenced, by a grant that another
 * domain has mapped, stays the page's, with what it holds.
 */
export function stableRelease(d: Domain, gfn: u64): void {
  const s = softwareOf(d);
  const page = <u32>(gfn - s.layout.stable);
  const table = s.stableTables ? load<usize>(tableSlot(s.stableTables, page)) : 0;
  if (!table) return;
  const record = recordIn(table, page);
  const mfn: u64 = load<u32>(record);
  if (!mfn || frameRefs(mfn) != 1) return;
  store<u32>(record, 0);
  s.stableFrames--;
  overheadFrameFree(d, mfn);
}
