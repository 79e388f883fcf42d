/**
 * Memory of domain 0 that outlives it: what the control plane keeps there, its successor finds after a crash. The frames
 * are the hypervisor's own, one for each page that was ever touched, and show at DOM0_STABLE as shared_info shows at its
 * place.
 */
import { DOM0_STABLE, DOM0_STABLE_END } from "../abi/software";
import { Domain } from "./domain";
import { frameAlloc, FrameType } from "./frames";

const FIRST: u64 = DOM0_STABLE >> 12;
const PAGES: u64 = (DOM0_STABLE_END - DOM0_STABLE) >> 12;
/** For each page its frame, 0 none yet, and the gfn + 1 where it is mapped, 0 nowhere. */
const PAGE_RECORD: usize = 16;
const records: usize = memory.data(256 * 16, 8);
/** Pages that have had a frame are below this. */
let used: u64 = 0;
/** Frames there are. */
let count: u32 = 0;

/** Frames that stable memory has so far. */
export function stableFrames(): u32 {
  return count;
}

/** True for a page of the region. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function isStable(gfn: u64): bool {
  return gfn - FIRST < PAGES;
}

/** The frame of stable page `gfn`, a zeroed one at the first time; 0: memory is out, or it is mapped already. */
export function stableFrame(d: Domain, gfn: u64): u64 {
  const page = gfn - FIRST;
  const record = records + <usize>page * PAGE_RECORD;
  if (load<u64>(record, 8)) return 0;
  if (!load<u64>(record)) {
    const mfn = frameAlloc(d.id, FrameType.XenShared);
    if (!mfn) return 0;
    store<u64>(record, mfn);
    count++;
    if (page >= used) used = page + 1;
  }
  return load<u64>(record);
}

function recordOf(mfn: u64): usize {
  for (let page: u64 = 0; page < used; page++) {
    const record = records + <usize>page * PAGE_RECORD;
    if (load<u64>(record) == mfn && mfn) return record;
  }
  return 0;
}

/** Where stable frame `mfn` is mapped: gfn + 1, 0 nowhere or not a stable frame. */
export function stableAt(mfn: u64): u64 {
  const record = recordOf(mfn);
  return record ? load<u64>(record, 8) : 0;
}

/** Notes where it is mapped now: gfn + 1, 0 nowhere. False when it is not a stable frame. */
export function stableMoved(mfn: u64, gfnPlusOne: u64): bool {
  const record = recordOf(mfn);
  if (!record) return false;
  store<u64>(record, gfnPlusOne, 8);
  return true;
}
