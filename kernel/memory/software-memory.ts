/**
 * Memory of a software-isolated domain, which is allocated at first touch: zeroed RAM below the engine's current
 * size and from the start info to the end of the scratch region, stable memory after that, boot modules in their window.
 * No other address is valid.
 *
 * Calling context: from its page faults, and from copies on behalf of its hypercalls.
 */
import { BootInfo } from "../../abi/boot-info";
import { DOM0_MAP, DOM0_MODULES, DOM0_SCRATCH_END, DOM0_START_INFO } from "../../abi/domain0-layout";
import { P2M_MODULE, P2M_RAM, P2M_SHARED } from "../../arch-x86/p2m-types";
import { Domain } from "../records/domain";
import { softwareOf } from "../records/software-domain";
import { claimAtLeast, claimRelease, ramTouch } from "./claims";
import { domainFrameRelease, sharedFrameMoved, totalFrames } from "./frames";
import { physmapLookup, physmapMap } from "./physmap";
import { isStable, stableFrame } from "./stable-memory";

/** Linear address of BootInfo, kept for the modules' places. */
let boot: usize = 0;

/** Sets the address of BootInfo; before domain 0 runs. */
export function softwareMemoryInit(bootInfo: usize): void {
  boot = bootInfo;
}

/**
 * Domain 0's memory is allocated at first touch, and a failure at that point would crash it. So all memory that it may
 * touch is claimed in advance: its windows and an engine larger than its image, so that it can work when all other memory is
 * in use; growth of the engine beyond that is refused, which its program sees as an exception, unless it can be claimed.
 * On machines too small for useful guests (the simulation's) these are fractions of their memory.
 */
const ENGINE_ROOM: u32 = 1024;
const WINDOW_PAGES: u32 = (DOM0_SCRATCH_END - DOM0_START_INFO) >> 12;

/** Whole pages outside the engine and the windows: the call page. */
const OTHER_PAGES: u32 = 1;
/** Frames for page tables, event channels and other allocations for domain 0, and those of stable memory. */
const OVERHEAD: u32 = 160;
const STABLE_FRAMES: u32 = 256;

/** Frames to be promised to domain 0 beyond its RAM (kernel/memory/overhead.ts): with page tables for all boot modules. */
export function softwareOverhead(): u32 {
  let modules: u64 = 0;
  const count = <u32>load<u64>(boot + BootInfo.moduleCount);
  for (let i: u32 = 0; i < count; i++) modules += modulePages(i);
  const total = totalFrames();
  return min(OVERHEAD, total / 64) + min(STABLE_FRAMES, total / 64) + <u32>(modules / 512) + 1;
}

/** Claims the memory that a starting domain without RAM may touch; its engine's memory initially has `image` pages. */
export function softwareClaim(d: Domain, image: u32): void {
  const s = softwareOf(d);
  const total = totalFrames();
  s.enginePages = image;
  s.enginePagesClaimed = image + min(ENGINE_ROOM, total / 32);
  claimRelease(d);
  claimAtLeast(d, s.enginePagesClaimed + min(WINDOW_PAGES, total / 16) + OTHER_PAGES);
}

/** Lets its engine's memory grow to `pages` of 4 KiB. False: above the limit, or out of memory. */
export function engineGrow(d: Domain, pages: u32): bool {
  const s = softwareOf(d);
  if (pages > s.enginePagesMax) return false;
  if (pages > s.enginePagesClaimed) {
    if (!claimAtLeast(d, d.claimedPages + (pages - s.enginePagesClaimed))) return false;
    s.enginePagesClaimed = pages;
  }
  s.enginePages = pages;
  return true;
}

/** Linear address of boot module `index` in domain 0; its first page holds its first byte. */
export function moduleAddress(index: u32): u64 {
  let page: u64 = DOM0_MODULES >> 12;
  for (let i: u32 = 0; i < index; i++) page += modulePages(i);
  return (page << 12) | (load<u64>(boot + BootInfo.modules + <usize>index * BootInfo.MODULE_RECORD) & 0xfff);
}

/** Whether all modules up to `index` fit the module region. */
export function moduleFits(index: u32): bool {
  return moduleAddress(index) + modulePages(index) * 4096 <= DOM0_MAP;
}

function modulePages(index: u32): u64 {
  const r = boot + BootInfo.modules + <usize>index * BootInfo.MODULE_RECORD;
  return ((load<u64>(r) & 0xfff) + load<u64>(r + 8) + 0xfff) >> 12;
}

/** Frame that shows at `gfn` of the module region, 0 none. */
function moduleFrame(gfn: u64): u64 {
  let page: u64 = DOM0_MODULES >> 12;
  const modules = <u32>load<u64>(boot + BootInfo.moduleCount);
  for (let i: u32 = 0; i < modules; i++) {
    const pages = modulePages(i);
    const base = load<u64>(boot + BootInfo.modules + <usize>i * BootInfo.MODULE_RECORD) >> 12;
    if (gfn < page + pages) return base + (gfn - page);
    page += pages;
  }
  return 0;
}

/**
 * Maps memory at `gfn` of a software domain if the layout has memory there and nothing is mapped yet.
 * @returns false: not a valid address, or out of memory
 */
export function softwarePopulate(d: Domain, gfn: u64): bool {
  if (isModule(gfn)) {
    const mfn = moduleFrame(gfn);
    return mfn != 0 && physmapMap(d, gfn, mfn, P2M_MODULE) == 0;
  }
  if (isStable(gfn)) {
    const mfn = stableFrame(d, gfn);
    if (!mfn || physmapMap(d, gfn, mfn, P2M_SHARED)) return false;
    sharedFrameMoved(mfn, gfn + 1);
    return true;
  }
  return isTouchable(d, gfn) && softwareGiveFrame(d, gfn) != 0;
}

/** Whether a fault at linear `address` that softwareTouchPage could not resolve was due to lack of memory. */
export function softwareLacksMemory(d: Domain, address: u64, write: bool): bool {
  const gfn = address >> 12;
  if (physmapLookup(d, gfn)) return false;
  if (isModule(gfn)) return !write && moduleFrame(gfn) != 0;
  return isStable(gfn) || isTouchable(d, gfn);
}

/** Whether `gfn` is backed by zeroed RAM at first touch. */
function isTouchable(d: Domain, gfn: u64): bool {
  return gfn < softwareOf(d).enginePages || (gfn >= DOM0_START_INFO >> 12 && gfn < DOM0_SCRATCH_END >> 12);
}

/** A page fault at linear `address`: true when the access can be tried again. */
export function softwareTouchPage(d: Domain, address: u64, write: bool): bool {
  const gfn = address >> 12;
  return physmapLookup(d, gfn) == 0 && !(write && isModule(gfn)) && softwarePopulate(d, gfn);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function isModule(gfn: u64): bool {
  return gfn >= DOM0_MODULES >> 12 && gfn < DOM0_MAP >> 12;
}

/** Maps a fresh zeroed frame of RAM at `gfn`; its number, 0 when memory is out or something is mapped there. */
export function softwareGiveFrame(d: Domain, gfn: u64): u64 {
  const mfn = ramTouch(d);
  if (!mfn) return 0;
  if (physmapMap(d, gfn, mfn, P2M_RAM) == 0) return mfn;
  domainFrameRelease(d, mfn);
  return 0;
}
