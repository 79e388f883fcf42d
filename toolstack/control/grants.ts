/**
 * Domain 0's own grant table: which of its pages another domain may map. A reference is for one purpose for good, so that a domain
 * 0 that was restarted, whose table is empty then, grants a page of stable memory again as it was: others may have it mapped.
 * Frames of the table are mapped when an entry in them is first used.
 */
import { DOM0_CONTROL_PAGES, DOM0_STABLE } from "../../abi/domain0-layout.ts";
import { GNTTAB_NR_RESERVED_ENTRIES, GrantEntryV1, GTF_permit_access } from "../../abi/grant-table.ts";
import { NET_SHARED_PAGES } from "../../abi/net.ts";
import { memory } from "./host.ts";
import { mapGrantTable } from "./hypercalls/memory.ts";
import { releaseMapPage, takeMapPage } from "./map-space.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "./window.ts";

/** References of the rings and buffers of domain 0's own interface (net/): in the table's first frame, as the first of the others. */
export const NET_REFS = GNTTAB_NR_RESERVED_ENTRIES;
/** References of NoXS control pages (noxs/control-pages.ts): CONTROL_PAGE_REFS + their numbers. */
export const CONTROL_PAGE_REFS = NET_REFS + NET_SHARED_PAGES;
/** References of boot modules' pages and of lists of them (noxs/module-grants.ts): from here to GRANT_REFS_END. */
export const MODULE_REFS = CONTROL_PAGE_REFS + (DOM0_STABLE - DOM0_CONTROL_PAGES) / PAGE_SIZE;
/** Entries of a grant table of the largest size. */
export const GRANT_REFS_END = 32768;

const FRAME_ENTRIES = PAGE_SIZE / GrantEntryV1.SIZE;
/** Where the table's frames are mapped, by their numbers. */
const frames = new Map<number, number>();

/** Address of an entry. Throws HypercallError when the table's frame cannot be had. */
function entryOf(ref: number): number {
  const frame = Math.floor(ref / FRAME_ENTRIES);
  const at = frames.get(frame) ?? mapFrame(frame);
  return at + (ref % FRAME_ENTRIES) * GrantEntryV1.SIZE;
}

function mapFrame(frame: number): number {
  const page = takeMapPage();
  try {
    mapGrantTable(frame, page);
  } catch (error) {
    releaseMapPage(page);
    throw error;
  }
  frames.set(frame, page);
  return page;
}

/**
 * Lets `domain` map the page at `address`, which is there.
 * @param flags GTF_readonly: for reading only
 * @throws HypercallError
 */
export function grantPage(ref: number, domain: number, address: number, flags = 0): void {
  const entry = entryOf(ref);
  memory.store32(entry + GrantEntryV1.frame, address >>> PAGE_SHIFT);
  memory.store32(entry, GTF_permit_access | flags | (domain << 16));
}

/** Ends a grant. Nobody may have the page mapped: its domain is gone, or was never started. */
export function endGrant(ref: number): void {
  memory.store32(entryOf(ref), 0);
}
