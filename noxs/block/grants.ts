/**
 * Guests' pages: mapped for as long as a request needs them, many in one hypercall; or, where the frontend uses the same ones again and
 * again, until it disconnects.
 */
import {
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_okay,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
} from "../../abi/grant-table";
import { EFAULT, ENOMEM } from "../../abi/errno";
import { BLKIF_OP_READ, BlkifSegment } from "../../abi/io/blkif";
import { VBD_FE_PERSISTENT } from "../../abi/io/control-block";
import { heapAllocate } from "../../drivers/host/heap";
import { grantTableOp } from "../../drivers/host/hypercalls";
import { windowPlace, windowPlaceGive } from "../../drivers/host/window";
import { segmentSet } from "../../drivers/segment";
import { grantsOf, requestRoom, segmentsOf } from "./entries";
import { entrySegments, Mapping, Request, Vbd } from "./records";

/** Elements of a hypercall. */
const BATCH: u32 = 256;
/** Grants that stay mapped, of all vbds and of one. */
const PERSISTENT_MAX: u32 = 16384;
const PERSISTENT_VBD_MAX: u32 = 1056;
const BUCKETS: u32 = 4096;

@unmanaged
class Persistent {
  next: usize; // of its bucket, or free
  vbd: usize;
  gref: u32;
  linear: usize;
  handle: u32;
  machine: u64;
}

const maps: usize = memory.data(256 * 32, 8);
/** For each element: the request, and which of its segments. */
const mapFor: usize = memory.data(256 * 8);
let mapCount: u32 = 0;
const unmaps: usize = memory.data(256 * 24, 8);
let unmapCount: u32 = 0;

let buckets: usize = 0;
let freePersistent: usize = 0;
let persistentCount: u32 = 0;

/** Hypercalls made, for tests and measurements. */
export let grantHypercalls: u32 = 0;

/** False when there is no memory. */
export function grantsInit(): bool {
  buckets = heapAllocate(BUCKETS * 4);
  return buckets != 0;
}

function bucketOf(v: usize, gref: u32): usize {
  const hash = (gref ^ (<u32>v * 7)) * 0x9e3779b1;
  return buckets + ((<usize>(hash >> 20)) << 2);
}

function persistentFind(v: Vbd, gref: u32): usize {
  let at = load<usize>(bucketOf(changetype<usize>(v), gref));
  while (at) {
    const p = changetype<Persistent>(at);
    if (p.gref == gref && p.vbd == changetype<usize>(v)) return at;
    at = p.next;
  }
  return 0;
}

function mappingAt(r: Request, i: u32): Mapping {
  return changetype<Mapping>(grantsOf(r) + <usize>i * offsetof<Mapping>());
}

/** Fills in a segment of a request whose page is mapped. */
function segmentFill(r: Request, i: u32, machine: u64, linear: usize): void {
  const s = entrySegments(r.entry) + <usize>i * BlkifSegment.SIZE;
  const first = (<u32>load<u8>(s, BlkifSegment.first_sect)) << 9;
  const end = (<u32>load<u8>(s, BlkifSegment.last_sect) + 1) << 9;
  segmentSet(segmentsOf(r), i, machine + first, linear + first, end - first);
  r.bytes += end - first;
}

/**
 * Begins to map the pages of a request. When all of them have been tried (mapFlush), Request.status is 0 or an error, and `mapped` says
 * how many segments have a mapping that is to be undone.
 */
export function mapRequest(r: Request): void {
  const e = r.entry;
  const v = r.vbd;
  if (!requestRoom(r)) {
    r.status = -ENOMEM;
    return;
  }
  const keep = (v.stable.features & VBD_FE_PERSISTENT) != 0;
  const flags = keep || e.operation == BLKIF_OP_READ ? GNTMAP_host_map : GNTMAP_host_map | GNTMAP_readonly;
  for (let i: u32 = 0; i < e.count; i++) {
    const m = mappingAt(r, i);
    m.linear = 0;
    m.persistent = 0;
    const gref = load<u32>(entrySegments(e) + <usize>i * BlkifSegment.SIZE, BlkifSegment.gref);
    const known = keep ? persistentFind(v, gref) : 0;
    if (known) {
      m.persistent = known;
      segmentFill(r, i, changetype<Persistent>(known).machine, changetype<Persistent>(known).linear);
      continue;
    }
    if (mapCount == BATCH) mapFlush();
    const place = windowPlace();
    if (!place) {
      r.status = -ENOMEM;
      r.mapped = i;
      return;
    }
    const op = maps + <usize>mapCount * GnttabMapGrantRef.SIZE;
    memory.fill(op, 0, GnttabMapGrantRef.SIZE);
    store<u64>(op, place, GnttabMapGrantRef.host_addr);
    store<u32>(op, flags, GnttabMapGrantRef.flags);
    store<u32>(op, gref, GnttabMapGrantRef.ref);
    store<u16>(op, <u16>v.stable.domid, GnttabMapGrantRef.dom);
    store<usize>(mapFor + ((<usize>mapCount) << 3), changetype<usize>(r));
    store<u32>(mapFor + ((<usize>mapCount) << 3), i, 4);
    mapCount++;
  }
  r.mapped = e.count;
}

/** Maps what mapRequest has collected: one hypercall. */
export function mapFlush(): void {
  if (!mapCount) return;
  const count = mapCount;
  mapCount = 0;
  grantHypercalls++;
  const failed = grantTableOp(GNTTABOP_map_grant_ref, maps, count) != 0;
  for (let j: u32 = 0; j < count; j++) {
    const op = maps + <usize>j * GnttabMapGrantRef.SIZE;
    const r = changetype<Request>(load<usize>(mapFor + ((<usize>j) << 3)));
    const i = load<u32>(mapFor + ((<usize>j) << 3), 4);
    const place = <usize>load<u64>(op, GnttabMapGrantRef.host_addr);
    if (failed || load<i16>(op, GnttabMapGrantRef.status) != GNTST_okay) {
      windowPlaceGive(place);
      r.status = -EFAULT;
      continue;
    }
    const m = mappingAt(r, i);
    m.linear = place;
    m.handle = load<u32>(op, GnttabMapGrantRef.handle);
    const machine = load<u64>(op, GnttabMapGrantRef.dev_bus_addr);
    segmentFill(r, i, machine, place);
    if (r.vbd.stable.features & VBD_FE_PERSISTENT) {
      persistentAdd(r.vbd, m, load<u32>(op, GnttabMapGrantRef.ref), machine);
    }
  }
}

/** Keeps a mapping, unless there are too many, or its page is mapped already. */
function persistentAdd(v: Vbd, m: Mapping, gref: u32, machine: u64): void {
  if (v.persistent == PERSISTENT_VBD_MAX || persistentCount == PERSISTENT_MAX || persistentFind(v, gref)) return;
  const at = freePersistent ? freePersistent : heapAllocate(offsetof<Persistent>());
  if (!at) return;
  const p = changetype<Persistent>(at);
  if (freePersistent) freePersistent = p.next;
  p.vbd = changetype<usize>(v);
  p.gref = gref;
  p.linear = m.linear;
  p.handle = m.handle;
  p.machine = machine;
  const bucket = bucketOf(p.vbd, gref);
  p.next = load<usize>(bucket);
  store<usize>(bucket, at);
  persistentCount++;
  v.persistent++;
  m.persistent = at;
  m.linear = 0;
}

/** Undoes the mappings of a request, with unmapFlush. */
export function unmapRequest(r: Request): void {
  for (let i: u32 = 0; i < r.mapped; i++) {
    const m = mappingAt(r, i);
    if (m.linear) unmapLater(m.linear, m.handle);
    m.linear = 0;
  }
  r.mapped = 0;
}

function unmapLater(linear: usize, handle: u32): void {
  if (unmapCount == BATCH) unmapFlush();
  const op = unmaps + <usize>unmapCount * GnttabUnmapGrantRef.SIZE;
  memory.fill(op, 0, GnttabUnmapGrantRef.SIZE);
  store<u64>(op, linear, GnttabUnmapGrantRef.host_addr);
  store<u32>(op, handle, GnttabUnmapGrantRef.handle);
  unmapCount++;
}

/** Unmaps what has been collected: one hypercall. */
export function unmapFlush(): void {
  if (!unmapCount) return;
  grantHypercalls++;
  grantTableOp(GNTTABOP_unmap_grant_ref, unmaps, unmapCount);
  for (let i: u32 = 0; i < unmapCount; i++) {
    windowPlaceGive(<usize>load<u64>(unmaps + <usize>i * GnttabUnmapGrantRef.SIZE, GnttabUnmapGrantRef.host_addr));
  }
  unmapCount = 0;
}

/** Unmaps everything that was kept mapped of a vbd, which has no request in progress. */
export function persistentDrop(v: Vbd): void {
  if (!v.persistent) return;
  for (let b: u32 = 0; b < BUCKETS; b++) {
    let link = buckets + ((<usize>b) << 2);
    while (load<usize>(link)) {
      const at = load<usize>(link);
      const p = changetype<Persistent>(at);
      if (p.vbd != changetype<usize>(v)) {
        link = at + offsetof<Persistent>("next");
        continue;
      }
      store<usize>(link, p.next);
      unmapLater(p.linear, p.handle);
      p.next = freePersistent;
      freePersistent = at;
      persistentCount--;
    }
  }
  v.persistent = 0;
  unmapFlush();
}
