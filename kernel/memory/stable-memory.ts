/**
 * Memory of domain 0 that outlives it: what the control plane keeps there, its successor finds after a crash. The frames
 * are the hypervisor's own, one for each page that was ever touched, and show at DOM0_STABLE as shared_info shows at its
 * place.
 */
import { DOM0_STABLE, DOM0_STABLE_END } from "../../abi/domain0-layout";
import { Domain } from "../records/domain";
import { FrameType, sharedFrameAt } from "./frames";
import { overheadFrame } from "./overhead";

const FIRST: u64 = DOM0_STABLE >> 12;
const PAGES: u64 = (DOM0_STABLE_END - DOM0_STABLE) >> 12;
/** For each page the u32 number of its frame, 0 none yet. */
const PAGE_RECORD: usize = 4;
const records: usize = memory.data(256 * 4, 4);
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
  const known: u64 = load<u32>(record);
  if (known) return sharedFrameAt(known) ? 0 : known;
  const mfn = overheadFrame(d, FrameType.XenShared);
  if (!mfn) return 0;
  store<u32>(record, <u32>mfn);
  count++;
  return mfn;
}
