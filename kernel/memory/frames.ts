/**
 * The frame table: owner, use and reference count of each 4 KiB frame of the machine. Allocation is a
 * buddy system, so that runs and superpages can be allocated and freed neighbours merge.
 *
 * A domain's frame carries one reference for its allocation (FRAME_ALLOCATED, on the domain's list) and one for every
 * mapping that others hold. Dropping the allocation only unlinks it; dropping the last reference frees the frame, and
 * only then does the domain's totalPages shrink. So a frame is never reused while it is still accessible.
 *
 * An allocated frame holds zeroes, never another owner's data. A free frame is *clean*, known to hold zeroes, or dirty; a
 * dirty one is zeroed when it is allocated. A processor that has nothing else to do zeroes free frames ahead of time
 * (framesClean), up to a reserve: beyond it the work would only heat the machine, and touch memory that an emulator or
 * hypervisor below has not had to provide yet. What counts is each frame's own mark, which it loses when it is allocated.
 * Calling context: any CPU, interrupts off; the lock is held for short, bounded work only.
 */
import { DOMID_XEN } from "../../abi/xen";
import * as hw from "../../arch-x86/hw";
import { Domain, DomainKind, DomainLife } from "../records/domain";
import { domainById, domainReapLater } from "../records/domain-list";

/** What a frame is used for. Reserved is 0 so that one zeroed, shared page can describe holes in the address space. */
export const enum FrameType {
  /** Not RAM, or RAM that is never allocated (the first MiB). */
  Reserved = 0,
  Free = 1,
  /** A hardware-virtualised guest's RAM. */
  Guest = 2,
  /** P2M page tables. */
  Table = 3,
  /** VMCS, VMCB, FPU areas, permission bitmaps. */
  Control = 4,
  /** Backs the hypervisor's heap (kernel/memory/heap.ts). */
  Heap = 5,
  /** shared_info and grant-table frames: the hypervisor's, mapped by their domain. */
  XenShared = 6,
  /** A software-isolated domain's memory. */
  Engine = 7,
  /** A boot module. */
  Module = 8,
  /** This table. */
  FrameTable = 9,
  /** The shim's image, stacks and page tables. */
  Shim = 10,
  Count = 11,
}

/** The allocation reference is held; for Guest and Engine frames also: it is on its domain's list. */
export const FRAME_ALLOCATED: u8 = 1;

/** One entry; 16 bytes. */
@unmanaged
class Frame {
  /** On a list: the next frame's number. A XenShared frame is on none: gfn + 1 where its domain has it mapped, 0 nowhere. */
  next: u32;
  prev: u32;
  /** Of a free frame: FREE_CLEAN, and in a free block's first frame how many of the block's first frames are clean. */
  refs: u32;
  owner: u16;
  type: u8;
  /** FRAME_ALLOCATED; of a free block's first frame: its order; of the others in the block: ORDER_INSIDE. */
  flags: u8;
}

const ORDER_MAX: u32 = 18; // 1 GiB blocks
const SUPER_ORDER: u32 = 9; // 2 MiB
const ORDER_INSIDE: u8 = 0xff;
/** In a free frame's `refs`: it holds zeroes. */
const FREE_CLEAN: u32 = 0x80000000;
/**
 * Clean frames that are kept ahead of time where allocation finds them: 128 MiB. Of these 16 MiB in blocks smaller than a superpage,
 * the others in superpages: neither kind of allocation may find that the other's memory is all that was cleaned. What is
 * clean behind dirty frames does not count.
 */
const CLEAN_RESERVE: u32 = 32768;
const CLEAN_SMALL: u32 = 4096;
/** Frames that are zeroed, or looked at, in one piece of cleaning, while the lock is held: some microseconds. */
const CLEAN_PIECE: u32 = 16;
const LOOK_PIECE: u32 = 512;
/** Bytes of an entry, as a shift. */
export const FRAME_SHIFT: u64 = 4;

let table: usize = 0;
/** The table has no entries for frame numbers from here up. */
let limit: u64 = 0;
let ramFrames: u32 = 0;
let freeCount: u32 = 0;
/** Free frames that are clean; of them, those that small blocks begin with, and in superpages that others begin with. */
let cleanCount: u32 = 0;
let readySmall: u32 = 0;
let readySuper: u32 = 0;

const lockWord: usize = memory.data(4);
/** The free blocks that are known to be clean, those that begin with a clean superpage, and the others: u32 mfn by order. */
const cleanHeads: usize = memory.data(4 * 19);
const begunHeads: usize = memory.data(4 * 19);
const dirtyHeads: usize = memory.data(4 * 19);
const typeCounts: usize = memory.data(4 * 11); // u32 by FrameType

// @ts-expect-error: decorator of AssemblyScript
@inline
function at(mfn: u64): Frame {
  return changetype<Frame>(table + <usize>(mfn << FRAME_SHIFT));
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function count(type: u32, by: i32): void {
  const p = typeCounts + ((<usize>type) << 2);
  store<u32>(p, load<u32>(p) + <u32>by);
}

// --- Free blocks --------------------------------------------------------------------------------------------------------

/** The list of blocks of an order of which so many frames, from the first one on, are clean. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function headOf(order: u32, clean: u32): usize {
  const heads = clean >> order ? cleanHeads : order > SUPER_ORDER && clean >> SUPER_ORDER ? begunHeads : dirtyHeads;
  return heads + ((<usize>order) << 2);
}

/** Counts a block that begins with so many clean frames as ready, or (`by` -1) no longer. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function countReady(order: u32, clean: u32, by: i32): void {
  if (order < SUPER_ORDER) readySmall += by * clean;
  else readySuper += by * ((clean >> SUPER_ORDER) << SUPER_ORDER);
}

/** How many frames of a free block, from its first one on, are known to be clean. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function cleanAtStart(mfn: u64): u32 {
  return at(mfn).refs & ~FREE_CLEAN;
}

/** Puts a block on its list. @param clean how many frames from the first one on are clean */
function pushFree(mfn: u64, order: u32, clean: u32): void {
  const f = at(mfn);
  const head = headOf(order, clean);
  const first = load<u32>(head);
  f.type = <u8>FrameType.Free;
  f.flags = <u8>order;
  f.refs = (f.refs & FREE_CLEAN) | clean;
  countReady(order, clean, 1);
  f.prev = 0;
  f.next = first;
  if (first) at(first).prev = <u32>mfn;
  store<u32>(head, <u32>mfn);
}

/** Takes a block off its list; returns how many frames from its first one on are clean. */
function unlinkFree(mfn: u64, order: u32): u32 {
  const f = at(mfn);
  const clean = cleanAtStart(mfn);
  if (f.prev) at(f.prev).next = f.next;
  else store<u32>(headOf(order, clean), f.next);
  if (f.next) at(f.next).prev = f.prev;
  f.flags = ORDER_INSIDE;
  f.refs &= FREE_CLEAN;
  countReady(order, clean, -1);
  return clean;
}

/**
 * Removes a block of 2^order frames from the free lists, splitting a larger one; 0 when there is none. Clean ones first, then
 * from where a larger block begins clean. Its frames keep their marks, which the caller looks at: `begin`.
 */
function takeBlock(order: u32): u64 {
  let mfn = takeFrom(cleanHeads, order, 0);
  if (!mfn) mfn = takeFrom(begunHeads, order, 1 << order);
  if (!mfn) mfn = takeFrom(dirtyHeads, order, 0);
  return mfn ? mfn : takeFrom(begunHeads, order, 0);
}

/** @param least how many frames from the first one on are clean */
function takeFrom(heads: usize, order: u32, least: u32): u64 {
  for (let o = order; o <= ORDER_MAX; o++) {
    const mfn: u64 = load<u32>(heads + ((<usize>o) << 2));
    if (!mfn || cleanAtStart(mfn) < least) continue;
    const clean = unlinkFree(mfn, o);
    while (o > order) {
      o--;
      const half: u32 = 1 << o;
      pushFree(mfn + half, o, clean > half ? clean - half : 0);
    }
    return mfn;
  }
  return 0;
}

/** Frees a block and merges it with its free neighbours. @param startClean how many frames from the first one on are clean */
function giveBlock(start: u64, startOrder: u32, startClean: u32): void {
  let mfn = start;
  let order = startOrder;
  let clean = startClean;
  at(mfn).type = <u8>FrameType.Free;
  while (order < ORDER_MAX) {
    const size: u32 = 1 << order;
    const buddy = mfn ^ (<u64>size);
    if (buddy + size > limit) break;
    const b = at(buddy);
    if (b.type != <u8>FrameType.Free || b.flags != <u8>order) break;
    const other = unlinkFree(buddy, order);
    if (buddy < mfn) {
      at(mfn).flags = ORDER_INSIDE;
      at(mfn).refs &= FREE_CLEAN;
      mfn = buddy;
      clean = other == size ? size + clean : other;
    } else if (clean == size) {
      clean += other;
    }
    order++;
  }
  pushFree(mfn, order, clean);
}

/** Frees [start, end), whose entries are already marked free, dirty and ORDER_INSIDE, in blocks as large as possible. */
function giveRun(start: u64, end: u64): void {
  while (start < end) {
    let order: u32 = 0;
    while (order < ORDER_MAX && (start & ((<u64>1) << order)) == 0 && start + ((<u64>2) << order) <= end) order++;
    giveBlock(start, order, 0);
    start += (<u64>1) << order;
  }
}

/** Adds [start, end) of unused RAM to the free lists. */
export function framesAdd(start: u64, end: u64): void {
  for (let mfn = start; mfn < end; mfn++) {
    const f = at(mfn);
    f.refs = 0;
    f.owner = <u16>DOMID_XEN;
    f.type = <u8>FrameType.Free;
    f.flags = ORDER_INSIDE;
  }
  giveRun(start, end);
  const frames = <u32>(end - start);
  freeCount += frames;
  count(FrameType.Free, frames);
}

// --- Start ---------------------------------------------------------------------------------------------------------------

/**
 * The table is at linear `address`, for frame numbers below `end`, all its entries Reserved. Once, before anything else here.
 * @param ram frames of RAM in the machine
 * @param low of them, those that are never allocated
 */
export function framesTable(address: usize, end: u64, ram: u64, low: u64): void {
  table = address;
  limit = end;
  ramFrames = <u32>ram;
  count(FrameType.Reserved, <i32>low);
}

/** A frame of RAM is the hypervisor's forever. Two modules may share one, which is the first's. */
export function frameHold(mfn: u64, type: u32): void {
  const f = at(mfn);
  if (f.type != <u8>FrameType.Reserved) return;
  f.owner = <u16>DOMID_XEN;
  f.refs = 1;
  f.flags = FRAME_ALLOCATED;
  f.type = <u8>type;
  count(type, 1);
}

// --- Queries -------------------------------------------------------------------------------------------------------------

/** Frames of RAM in the machine. */
export function totalFrames(): u32 {
  return ramFrames;
}

export function freeFrames(): u32 {
  return freeCount;
}

/** Frames of one FrameType; over all types they sum to totalFrames(). */
export function framesOfType(type: u32): u32 {
  return type < <u32>FrameType.Count ? load<u32>(typeCounts + ((<usize>type) << 2)) : 0;
}

/** Frame numbers below this have an entry in the table. */
export function framesLimit(): u64 {
  return limit;
}

/** RAM that this table manages (free or allocated); excludes holes and the shim's memory. */
export function frameValid(mfn: u64): bool {
  if (mfn >= limit) return false;
  const type = at(mfn).type;
  return type != <u8>FrameType.Reserved && type != <u8>FrameType.Shim;
}

/** The owner's domain id; DOMID_XEN for the hypervisor's and for what is not RAM. */
export function frameOwner(mfn: u64): u32 {
  return mfn < limit && at(mfn).type != <u8>FrameType.Reserved ? <u32>at(mfn).owner : DOMID_XEN;
}

export function frameType(mfn: u64): u32 {
  return mfn < limit ? <u32>at(mfn).type : <u32>FrameType.Reserved;
}

export function frameRefs(mfn: u64): u32 {
  return mfn < limit && at(mfn).type != <u8>FrameType.Free ? at(mfn).refs : 0;
}

/** The allocation reference is held (see FRAME_ALLOCATED). */
export function frameAllocated(mfn: u64): bool {
  return mfn < limit && at(mfn).type != <u8>FrameType.Free && (at(mfn).flags & FRAME_ALLOCATED) != 0;
}

/** The next frame on the same domain's list, 0 at its end. */
export function frameNext(mfn: u64): u64 {
  return at(mfn).next;
}

// --- Frames of the hypervisor's own, and of a domain outside its list ---------------------------------------------------

function frameBegin(mfn: u64, owner: u32, type: u32): void {
  const f = at(mfn);
  f.next = 0;
  f.prev = 0;
  f.refs = 1;
  f.owner = <u16>owner;
  f.type = <u8>type;
  f.flags = FRAME_ALLOCATED;
}

/** One zeroed frame with one reference; its number, 0 if out of memory. */
export function frameAlloc(owner: u32, type: u32): u64 {
  return frameAllocRun(1, owner, type);
}

/** `frames` zeroed, consecutive frames, each with one reference, to be freed one by one: the first one's number; 0 for none. */
export function frameAllocRun(frames: u32, owner: u32, type: u32): u64 {
  let order: u32 = 0;
  while ((<u32>1) << order < frames) order++;
  if (order > ORDER_MAX) return 0;
  hw.lock(lockWord);
  const mfn = takeBlock(order);
  if (mfn) {
    for (let i: u64 = frames; i < (<u64>1) << order; i++) giveBlock(mfn + i, 0, at(mfn + i).refs ? 1 : 0);
    taken(mfn, frames, type);
  }
  hw.unlock(lockWord);
  if (!mfn) return 0;
  begin(mfn, frames);
  for (let i: u64 = 0; i < frames; i++) frameBegin(mfn + i, owner, type);
  return mfn;
}

/** Counts frames of a block just taken as those of a type. */
function taken(mfn: u64, frames: u32, type: u32): void {
  for (let i: u64 = 0; i < frames; i++) if (at(mfn + i).refs) cleanCount--;
  freeCount -= frames;
  count(FrameType.Free, -(<i32>frames));
  count(type, frames);
}

/** Makes frames of a block just taken, which nobody else finds, hold zeroes. Without the lock: it may take long. */
function begin(mfn: u64, frames: u32): void {
  for (let i: u64 = 0; i < frames; i++) if (!at(mfn + i).refs) hw.zeroFrame(mfn + i);
}

/** The first block on the lists of the orders from `order` up, below `end`; 0 for none. */
function firstFree(heads: usize, order: u32, end: u32): u64 {
  for (let o = order; o < end; o++) {
    const mfn = load<u32>(heads + ((<usize>o) << 2));
    if (mfn) return mfn;
  }
  return 0;
}

/** The block of superpages that is allocated from next when the clean ones are used up; 0 for none. */
function nextSuper(): u64 {
  const begun = firstFree(begunHeads, SUPER_ORDER, ORDER_MAX + 1);
  return begun ? begun : firstFree(dirtyHeads, SUPER_ORDER, ORDER_MAX + 1);
}

/** The block whose cleaning is due; 0 when enough is clean. What has no dirty block left leaves its part to the other. */
function nextToClean(): u64 {
  let mfn: u64 = 0;
  if (readySmall < CLEAN_SMALL) mfn = firstFree(dirtyHeads, 0, SUPER_ORDER);
  if (!mfn && readySuper < CLEAN_RESERVE - CLEAN_SMALL) mfn = nextSuper();
  if (mfn || readySmall + readySuper >= CLEAN_RESERVE) return mfn;
  mfn = nextSuper();
  return mfn ? mfn : firstFree(dirtyHeads, 0, SUPER_ORDER);
}

/**
 * A piece of cleaning: zeroes some dirty free frames, unless enough are clean. Blocks that are nearly allocated, the smallest,
 * come first.
 * @returns false when there is nothing to do
 */
export function framesClean(): bool {
  if (cleanCount == freeCount) return false;
  hw.lock(lockWord);
  const mfn = nextToClean();
  if (mfn) {
    const order = <u32>at(mfn).flags;
    const size: u32 = 1 << order;
    let clean = unlinkFree(mfn, order);
    const end = min(size, clean + LOOK_PIECE);
    for (let zeroed: u32 = 0; clean < end && zeroed < CLEAN_PIECE; clean++) {
      const f = at(mfn + clean);
      if (f.refs) continue;
      hw.zeroFrame(mfn + clean);
      f.refs = FREE_CLEAN;
      cleanCount++;
      zeroed++;
    }
    pushFree(mfn, order, clean);
  }
  hw.unlock(lockWord);
  return mfn != 0;
}

/** Drops the allocation reference of a frame got from frameAlloc; the frame is freed if it was the last one. */
export function frameFree(mfn: u64): void {
  const f = at(mfn);
  assert((f.flags & FRAME_ALLOCATED) != 0 && f.type != <u8>FrameType.Free, "frame freed twice");
  f.flags &= ~FRAME_ALLOCATED;
  framePut(mfn);
}

// --- A domain's memory ---------------------------------------------------------------------------------------------------

/**
 * 2^order zeroed, consecutive frames of RAM for a domain, naturally aligned, on its list, with their allocation references;
 * all or none. Promises to others are checked by claims.ts, through which all callers go.
 * @returns the first one's number; 0 when the domain is at maxPages, is not alive, or memory is out
 */
export function domainFrameAllocRun(d: Domain, order: u32): u64 {
  const frames: u32 = 1 << order;
  if (order > ORDER_MAX || d.life != DomainLife.Alive || d.totalPages + frames > d.maxPages) return 0;
  const type: u32 = d.kind == DomainKind.Software ? FrameType.Engine : FrameType.Guest;
  hw.lock(lockWord);
  const mfn = takeBlock(order);
  if (mfn) taken(mfn, frames, type);
  hw.unlock(lockWord);
  if (!mfn) return 0;
  begin(mfn, frames);
  hw.lock(lockWord);
  listRun(d, mfn, frames, type);
  d.totalPages += frames;
  hw.unlock(lockWord);
  return mfn;
}

/** Gives a run of frames to a domain, the last one at the head of its list. */
function listRun(d: Domain, mfn: u64, frames: u32, type: u32): void {
  let next = d.firstFrame;
  if (next) at(next).prev = <u32>mfn;
  for (let i: u32 = 0; i < frames; i++) {
    const here = <u32>mfn + i;
    const f = at(here);
    f.next = next;
    f.prev = here + 1;
    f.refs = 1;
    f.owner = <u16>d.id;
    f.type = <u8>type;
    f.flags = FRAME_ALLOCATED;
    next = here;
  }
  at(next).prev = 0;
  d.firstFrame = next;
}

/**
 * domainFrameRelease of up to `most` frames from the head of the domain's list. Consecutive frames, the usual case,
 * are freed together.
 */
export function domainFramesRelease(d: Domain, most: u32): void {
  hw.lock(lockWord);
  const type: u32 = d.kind == DomainKind.Software ? FrameType.Engine : FrameType.Guest;
  let first: u64 = 0; // the run to be freed, growing downwards
  let end: u64 = 0;
  let freed: u32 = 0;
  for (let n: u32 = 0; n < most && d.firstFrame; n++) {
    const mfn: u64 = d.firstFrame;
    const f = at(mfn);
    d.firstFrame = f.next;
    f.next = 0;
    f.prev = 0;
    f.flags &= ~FRAME_ALLOCATED;
    if (--f.refs) continue; // freed with its last reference
    f.owner = <u16>DOMID_XEN;
    f.type = <u8>FrameType.Free;
    f.flags = ORDER_INSIDE;
    freed++;
    if (mfn + 1 != first) {
      giveRun(first, end);
      end = mfn + 1;
    }
    first = mfn;
  }
  giveRun(first, end);
  if (d.firstFrame) at(d.firstFrame).prev = 0;
  assert(d.totalPages >= freed, "more frames on a domain's list than it has");
  d.totalPages -= freed;
  freeCount += freed;
  count(type, -(<i32>freed));
  count(FrameType.Free, freed);
  if (freed && d.life == DomainLife.Dying) domainReapLater(d);
  hw.unlock(lockWord);
}

/** Removes a frame from its domain's list and drops its allocation reference; it stays allocated while others map it. */
export function domainFrameRelease(d: Domain, mfn: u64): void {
  hw.lock(lockWord);
  const f = at(mfn);
  assert(f.owner == <u16>d.id && (f.flags & FRAME_ALLOCATED) != 0, "release of a frame that is not the domain's");
  if (f.prev) at(f.prev).next = f.next;
  else d.firstFrame = f.next;
  if (f.next) at(f.next).prev = f.prev;
  f.next = 0;
  f.prev = 0;
  f.flags &= ~FRAME_ALLOCATED;
  hw.unlock(lockWord);
  framePut(mfn);
}

/**
 * Takes a reference on a frame that `owner` has allocated (its RAM, or the hypervisor's frames held for it).
 * @returns false, with no reference taken, if it is not that domain's or is being freed
 */
export function frameGet(mfn: u64, owner: u32): bool {
  if (!frameValid(mfn)) return false;
  hw.lock(lockWord);
  const f = at(mfn);
  const ok =
    f.owner == <u16>owner &&
    f.type != <u8>FrameType.Free &&
    (f.flags & FRAME_ALLOCATED) != 0 &&
    f.refs != u32.MAX_VALUE;
  if (ok) f.refs++;
  hw.unlock(lockWord);
  return ok;
}

/** Drops a reference; the frame is freed with the last one. */
export function framePut(mfn: u64): void {
  hw.lock(lockWord);
  const f = at(mfn);
  assert(mfn < limit && f.refs != 0 && f.type != <u8>FrameType.Free, "reference dropped on a frame that has none");
  f.refs--;
  if (f.refs == 0) {
    const type = <u32>f.type;
    assert((f.flags & FRAME_ALLOCATED) == 0, "last reference dropped while allocated");
    if (type == FrameType.Guest || type == FrameType.Engine) {
      const d = domainById(f.owner);
      assert(d != null && d.totalPages != 0, "frame of a domain that is gone");
      d!.totalPages--;
      if (d!.life == DomainLife.Dying) domainReapLater(d!);
    }
    f.owner = <u16>DOMID_XEN;
    giveBlock(mfn, 0, 0);
    freeCount++;
    count(type, -1);
    count(FrameType.Free, 1);
  }
  hw.unlock(lockWord);
}

/** Where its domain has the XenShared frame `mfn` (shared_info, grant table, stable memory) mapped, recorded only here: gfn + 1, 0 nowhere. */
export function sharedFrameAt(mfn: u64): u64 {
  assert(at(mfn).type == <u8>FrameType.XenShared, "not a frame that a domain shares with the hypervisor");
  return at(mfn).next;
}

/** Records where its domain has the XenShared frame `mfn` mapped: gfn + 1, 0 nowhere. */
export function sharedFrameMoved(mfn: u64, gfnPlusOne: u64): void {
  assert(at(mfn).type == <u8>FrameType.XenShared, "not a frame that a domain shares with the hypervisor");
  at(mfn).next = <u32>gfnPlusOne;
}
