/**
 * Records that survive a restart of domain 0, at most one for each domain (or other number chosen by the caller), in memory
 * that the hypervisor preserves when it restarts domain 0. Only domain 0 can write there. A record is replaced by writing the
 * new one elsewhere first: a crash in the middle leaves the old one.
 */
import { DOM0_STABLE, DOM0_STABLE_END } from "../../abi/domain0-layout.ts";
import { memory } from "./host.ts";
import { encodeText } from "./hypercall.ts";
import { canWrite } from "./hypercalls/xen-version.ts";
import { PAGE_SIZE, words } from "./window.ts";

/** "TVSR". */
const MAGIC = 0x52535654;
/** Words of a record's header. */
const MAGIC_AT = 0;
const DOMAIN_AT = 1;
const PAGES_AT = 2;
const LENGTH_AT = 3;
const SEQUENCE_AT = 4;
const HEADER_BYTES = 20;

/** The last pages are not for records: the lists of boot modules' grants, which the I/O domain has mapped for as long as it reads them. */
export const MODULE_LIST_PAGES = 72;
export const MODULE_LISTS = DOM0_STABLE_END - MODULE_LIST_PAGES * PAGE_SIZE;

const PAGES = (MODULE_LISTS - DOM0_STABLE) / PAGE_SIZE;
/** The first page has the number of pages ever written: reading beyond would allocate them. */
const USED_AT = 0;
/** Pages that one record may have. */
const RECORD_PAGES = 8;
/** Larger records cannot use this half of the pages, so that a few domains with much state cannot use all. */
const SMALL_PAGES = 2;
const PAGES_FOR_SMALL = PAGES / 2;
/** The longest record, in bytes. */
export const RECORD_BYTES = RECORD_PAGES * PAGE_SIZE - HEADER_BYTES;

/** Pages that are part of no record. */
let free = PAGES - 1;
/** No page from here on has ever been part of one; those before it are, or are on `runs`. */
let fresh = 1;
/** Free runs of pages by their length, up to a record's: their first pages. */
const runs: number[][] = Array.from({ length: RECORD_PAGES + 1 }, () => []);
/** Where each domain's record is: PLACE x its first page + its number of pages. */
const places = new Map<number, number>();
const PLACE = 16;
let sequence = 0;
/** The first page says that at least so many have been written. */
let known = 0;

/** Pages that records have, and pages that any has ever had, for `js`. */
export function stablePages(): { used: number; touched: number } {
  return { used: PAGES - 1 - free, touched: fresh - 1 };
}

function header(page: number): Uint32Array {
  return words(memory, DOM0_STABLE + page * PAGE_SIZE, HEADER_BYTES / 4);
}

/** Where the bytes of the record at `page` begin. */
function bodyOf(page: number): number {
  return DOM0_STABLE + page * PAGE_SIZE + HEADER_BYTES;
}

/** Calls `each` with the places, in order and none across pages, that a record's bytes lie in. */
function forEachPiece(page: number, length: number, each: (address: number, count: number) => void): void {
  for (let at = HEADER_BYTES, left = length; left > 0;) {
    const count = Math.min(PAGE_SIZE - (at % PAGE_SIZE), left);
    each(DOM0_STABLE + page * PAGE_SIZE + at, count);
    at += count;
    left -= count;
  }
}

/** Allocates a run of pages, in a constant number of steps. Undefined: there is none. */
function takeRun(pages: number): number | undefined {
  if (pages > RECORD_PAGES || free < pages) return undefined;
  if (pages > SMALL_PAGES && free - pages < PAGES_FOR_SMALL) return undefined;
  const page = runs[pages]!.pop() ?? takeFresh(pages) ?? takeOfLonger(pages) ?? (joinRuns(), takeOfLonger(pages));
  if (page !== undefined) free -= pages;
  return page;
}

function takeFresh(pages: number): number | undefined {
  if (fresh + pages > PAGES) return undefined;
  // Touching a page that memory is out for would be domain 0's end; the hypervisor, asked to write there, only refuses.
  for (let page = fresh; page < fresh + pages; page++) if (!canWrite(DOM0_STABLE + page * PAGE_SIZE)) return undefined;
  fresh += pages;
  return fresh - pages;
}

function takeOfLonger(pages: number): number | undefined {
  for (let length = pages; length <= RECORD_PAGES; length++) {
    const page = runs[length]!.pop();
    if (page === undefined) continue;
    if (length > pages) runs[length - pages]!.push(page + pages);
    return page;
  }
  return undefined;
}

function giveRun(page: number, pages: number): void {
  runs[pages]!.push(page);
  free += pages;
}

/** Rebuilds the list of free runs, merging neighbours: when memory is full or fragmented. */
function joinRuns(): void {
  const taken = new Uint8Array(PAGES);
  for (const place of places.values()) {
    const page = Math.floor(place / PLACE);
    taken.fill(1, page, page + (place % PLACE));
  }
  for (const list of runs) list.length = 0;
  for (let page = 1; page < fresh;) {
    let length = 0;
    while (length < RECORD_PAGES && page + length < fresh && taken[page + length] === 0) length++;
    if (length > 0) runs[length]!.push(page);
    page += Math.max(length, 1);
  }
}

function pagesFor(length: number): number {
  return Math.ceil((HEADER_BYTES + length) / PAGE_SIZE);
}

/**
 * Keeps a text without NUL characters as the record of a domain, in UTF-8.
 * @returns false when there is no room: then the old record stays
 */
export function saveRecord(domain: number, text: string): boolean {
  // As many pages as it takes in ASCII, and as many as it does take if that is not what it is.
  let pages = pagesFor(text.length);
  let page = takeRun(pages);
  if (page === undefined) return false;
  const length = encodeText(text, bodyOf(page), pages * PAGE_SIZE - HEADER_BYTES);
  if (pagesFor(length) > pages) {
    giveRun(page, pages);
    pages = pagesFor(length);
    page = takeRun(pages);
    if (page === undefined) return false;
    encodeText(text, bodyOf(page), length);
  }
  if (page + pages > known) {
    known = page + pages;
    const first = header(0);
    if (first[USED_AT]! < known) first[USED_AT] = known;
  }
  const head = header(page);
  head[DOMAIN_AT] = domain;
  head[PAGES_AT] = pages;
  head[LENGTH_AT] = length;
  head[SEQUENCE_AT] = ++sequence;
  // Last: a record is whole, or it is none.
  head[MAGIC_AT] = MAGIC;
  dropRecord(domain);
  places.set(domain, page * PLACE + pages);
  return true;
}

/** Forgets a domain's record. */
export function dropRecord(domain: number): void {
  const place = places.get(domain);
  if (place === undefined) return;
  const page = Math.floor(place / PLACE);
  header(page)[MAGIC_AT] = 0;
  giveRun(page, place % PLACE);
  places.delete(domain);
}

/** The record at `page` if there is a whole one. */
function readRecord(page: number): { domain: number; pages: number; sequence: number; bytes: string } | null {
  const head = header(page);
  const [, domain, pages, length, number] = head as unknown as number[];
  if (head[MAGIC_AT] !== MAGIC || pages! < 1 || pages! > RECORD_PAGES || page + pages! > PAGES) {
    return null;
  }
  if (length! > pages! * PAGE_SIZE - HEADER_BYTES) return null;
  let bytes = "";
  forEachPiece(page, length!, (address, count) => {
    bytes += String.fromCharCode.apply(null, memory.bytes(address, count) as unknown as number[]);
  });
  return { domain: domain!, pages: pages!, sequence: number!, bytes };
}

/**
 * Finds the records of the domain 0 that was here before; at the machine's start there are none. Once, at the start of
 * domain 0.
 * @param each called between two records: there may be many
 * @returns the records' bytes, as byte strings, by domain; those not wanted are to be dropped
 */
export function loadRecords(each: () => void = () => {}): Map<number, string> {
  const found = new Map<number, { page: number; sequence: number; bytes: string }>();
  const used = Math.min(header(0)[USED_AT]!, PAGES);
  for (let page = 1; page < used;) {
    each();
    const record = readRecord(page);
    if (record === null) {
      page++;
      continue;
    }
    const other = found.get(record.domain);
    if (other === undefined || other.sequence < record.sequence) {
      if (other !== undefined) header(other.page)[MAGIC_AT] = 0;
      found.set(record.domain, { page, ...record });
      places.set(record.domain, page * PLACE + record.pages);
    } else {
      header(page)[MAGIC_AT] = 0;
    }
    sequence = Math.max(sequence, record.sequence);
    page += record.pages;
  }
  fresh = Math.max(used, 1);
  for (const place of places.values()) free -= place % PLACE;
  joinRuns();
  return new Map([...found].map(([domain, { bytes }]) => [domain, bytes]));
}
