/**
 * Memory of domain 0 that is preserved across its restart: the control plane finds its records there after a crash. The frames
 * belong to the hypervisor, one for each page that was ever touched, and are mapped at DOM0_STABLE in the same way as
 * shared_info.
 */
import { DOM0_STABLE, DOM0_STABLE_END } from "../../abi/domain0-layout";
import { Domain } from "../records/domain";
import { FrameType, sharedFrameAt } from "./frames";
import { overheadFrame } from "./overhead";
import { heapAllocFor } from "./heap";

const FIRST: u64 = DOM0_STABLE >> 12;
const PAGES: u64 = (DOM0_STABLE_END - DOM0_STABLE) >> 12;
/** Pages per table; a table is allocated when one of its pages is first touched: u32 frames, 0 none yet. */
const TABLE_PAGES: u32 = 1024;
const TABLE_BYTES: usize = 1024 * 4;
/** The tables, a pointer for each 4 MiB of the region; and the number of frames. */
const tables: usize = memory.data(16 * 4, 4);
const count: usize = memory.data(4, 4);

/** Frames that stable memory has so far. */
export function stableFrames(): u32 {
  return load<u32>(count);
}

/** True for a page of the region. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function isStable(gfn: u64): bool {
  return gfn - FIRST < PAGES;
}

/** The frame of stable page `gfn`, newly zeroed the first time; 0: out of memory, or already mapped. */
export function stableFrame(d: Domain, gfn: u64): u64 {
  const page = <u32>(gfn - FIRST);
  const slot = tables + ((<usize>page / TABLE_PAGES) << 2);
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
  store<u32>(count, load<u32>(count) + 1);
  return mfn;
}
