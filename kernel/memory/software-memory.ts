/**
 * Memory of a software-isolated domain, which is allocated at first touch: zeroed RAM below the current size of its RAM and from
 * the start info to the end of the scratch region, stable memory, boot modules in their window, all where its layout
 * (records/software-domain.ts) has them. No other address is valid unless something is mapped there.
 *
 * Calling context: from its page faults, and from copies on behalf of its hypercalls.
 */
import { BootInfo } from "../../abi/boot-info";
import { P2M_MODULE, P2M_RAM, P2M_SHARED } from "../../arch-x86/p2m-types";
import { Domain, DomainKind } from "../records/domain";
import { SoftwareDomain, softwareOf } from "../records/software-domain";
import { claimAtLeast, claimRelease, ramTouch } from "./claims";
import { domainFrameRelease, sharedFrameMoved, totalFrames } from "./frames";
import { physmapLookup, physmapMap } from "./physmap";
import { isStable, stableFrame } from "./stable-memory";

/** Linear address of BootInfo, kept for the modules' places. */
let boot: usize = 0;

/** Sets the address of BootInfo; before any software-isolated domain runs. */
export function softwareMemoryInit(bootInfo: usize): void {
  boot = bootInfo;
}

/**
 * A software-isolated domain's memory is allocated at first touch, and a failure at that point would crash it. So all memory
 * that it must be able to touch is claimed in advance: for domain 0 its windows and an engine larger than its image, so that it
 * can work when all other memory is in use; growth of the engine beyond that is refused, which its program sees as an exception,
 * unless it can be claimed. For the I/O domain its image, its pages for channels and some more; what it needs for further devices
 * it asks for (XENMEM_populate_physmap), and is refused when memory is out.
 * On machines too small for useful guests (the simulation's) these are fractions of their memory.
 */
function claimedRoom(s: SoftwareDomain): u32 {
  return min(s.layout.room, totalFrames() / 32);
}

/** Whole pages outside RAM and the windows: the call page. */
const OTHER_PAGES: u32 = 1;

/** Frames to be promised to the domain beyond its RAM (kernel/memory/overhead.ts): with page tables for all boot modules it is shown. */
export function softwareOverhead(s: SoftwareDomain): u32 {
  const layout = s.layout;
  let modules: u64 = 0;
  const count = layout.modules < layout.modulesEnd ? <u32>load<u64>(boot + BootInfo.moduleCount) : 0;
  for (let i: u32 = 0; i < count; i++) modules += modulePages(i);
  const total = totalFrames();
  return min(layout.overhead, total / 64) + min(layout.stableRoom, total / 64) + <u32>(modules / 512) + 1;
}

/** Claims the memory that a starting domain without RAM may touch; its image takes the first `image` pages of RAM. */
export function softwareClaim(d: Domain, image: u32): void {
  const s = softwareOf(d);
  s.enginePages = s.layout.ramFixed ? s.layout.ramMax : image;
  s.enginePagesClaimed = image + claimedRoom(s);
  claimRelease(d);
  const window = min(s.layout.scratchEnd - s.layout.startInfo, totalFrames() / 16);
  claimAtLeast(d, s.enginePagesClaimed + window + OTHER_PAGES);
}

/** Lets its engine's memory grow to `pages` of 4 KiB. False: above the limit, or out of memory. */
export function engineGrow(d: Domain, pages: u32): bool {
  const s = softwareOf(d);
  if (pages > s.layout.ramMax) return false;
  if (pages > s.enginePagesClaimed) {
    if (!claimAtLeast(d, d.claimedPages + (pages - s.enginePagesClaimed))) return false;
    s.enginePagesClaimed = pages;
  }
  s.enginePages = pages;
  return true;
}

/** Linear address of boot module `index` in `d`; its first page holds its first byte. */
export function moduleAddress(d: Domain, index: u32): u64 {
  let page: u64 = softwareOf(d).layout.modules;
  for (let i: u32 = 0; i < index; i++) page += modulePages(i);
  return (page << 12) | (load<u64>(boot + BootInfo.modules + <usize>index * BootInfo.MODULE_RECORD) & 0xfff);
}

/** Whether all modules up to `index` fit the module region. */
export function moduleFits(d: Domain, index: u32): bool {
  return moduleAddress(d, index) + modulePages(index) * 4096 <= (<u64>softwareOf(d).layout.modulesEnd) << 12;
}

function modulePages(index: u32): u64 {
  const r = boot + BootInfo.modules + <usize>index * BootInfo.MODULE_RECORD;
  return ((load<u64>(r) & 0xfff) + load<u64>(r + 8) + 0xfff) >> 12;
}

/** Frame that shows at `gfn` of the module region, 0 none. */
function moduleFrame(d: Domain, gfn: u64): u64 {
  let page: u64 = softwareOf(d).layout.modules;
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
  if (isModule(d, gfn)) {
    const mfn = moduleFrame(d, gfn);
    return mfn != 0 && physmapMap(d, gfn, mfn, P2M_MODULE) == 0;
  }
  if (isStable(d, gfn)) {
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
  if (isModule(d, gfn)) return !write && moduleFrame(d, gfn) != 0;
  return isStable(d, gfn) || isTouchable(d, gfn);
}

/** Whether `gfn` is backed by zeroed RAM at first touch. */
function isTouchable(d: Domain, gfn: u64): bool {
  const s = softwareOf(d);
  return gfn < s.enginePages || (gfn >= s.layout.startInfo && gfn < s.layout.scratchEnd);
}

/** A page fault at linear `address`: true when the access can be tried again. */
export function softwareTouchPage(d: Domain, address: u64, write: bool): bool {
  const gfn = address >> 12;
  return physmapLookup(d, gfn) == 0 && !(write && isModule(d, gfn)) && softwarePopulate(d, gfn);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function isModule(d: Domain, gfn: u64): bool {
  const layout = softwareOf(d).layout;
  return gfn >= layout.modules && gfn < layout.modulesEnd;
}

/** Whether [gfn, gfn + frames) lies within pages [first, end). */
function within(gfn: u64, frames: u64, first: u32, end: u32): bool {
  return gfn >= first && gfn < end && frames <= end - gfn;
}

/**
 * Whether `d` may have `frames` pages from `gfn` on changed at its own request to or from mappings of P2M type `type`: RAM,
 * a frame of the hypervisor's (P2M_SHARED), or devices' registers (P2M_MMIO). Only a software-isolated domain without privilege is
 * held to its layout.
 */
export function layoutAllows(d: Domain, gfn: u64, frames: u64, type: u32): bool {
  if (d.kind != DomainKind.Software || d.privileged) return true;
  const layout = softwareOf(d).layout;
  if (type == P2M_RAM) return within(gfn, frames, 0, layout.ramMax) || isDma(d, gfn, frames);
  if (type == P2M_SHARED) return within(gfn, frames, layout.shared, layout.sharedEnd);
  return within(gfn, frames, layout.mmio, layout.mmioEnd);
}

/** Whether [gfn, gfn + frames) is in the domain's region for devices' access. */
export function isDma(d: Domain, gfn: u64, frames: u64): bool {
  if (d.kind != DomainKind.Software) return false;
  const layout = softwareOf(d).layout;
  return within(gfn, frames, layout.dma, layout.dmaEnd);
}

/** Maps a fresh zeroed frame of RAM at `gfn`; its number, 0 when memory is out or something is mapped there. */
export function softwareGiveFrame(d: Domain, gfn: u64): u64 {
  const mfn = ramTouch(d);
  if (!mfn) return 0;
  if (physmapMap(d, gfn, mfn, P2M_RAM) == 0) return mfn;
  domainFrameRelease(d, mfn);
  return 0;
}
