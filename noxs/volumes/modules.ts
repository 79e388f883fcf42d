/**
 * Boot modules as disks: domain 0 grants their pages, read-only, and says so once (MODULE_ADD); what it said is in stable memory. The
 * pages are mapped as long as a vbd has the module.
 */
import { EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC } from "../../abi/errno";
import {
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_okay,
  GNTTABOP_map_grant_ref,
  GNTTABOP_unmap_grant_ref,
  GnttabMapGrantRef,
  GnttabUnmapGrantRef,
} from "../../abi/grant-table";
import { MODULE_PAGE_GRANTS, ModuleAdd, ModulePage, NAME_BYTES } from "../../abi/io/control-block";
import { heapAllocate } from "../../drivers/host/heap";
import { read32 } from "../../drivers/host/host";
import { grantTableOp } from "../../drivers/host/hypercalls";
import { stableRegion } from "../../drivers/host/stable";
import { windowMap, windowRange, windowRangeGive, windowUnmap } from "../../drivers/host/window";
import { MemoryDisk, memoryDiskMake } from "./memory-disk";

const TAG: u32 = 0x564d4f44; // "VMOD"
const MODULES: u32 = 32;
/** Largest module: what a range of the window holds. */
const BYTES_MAX: u64 = 0x10000000;
const BATCH: u32 = 64;

/** In stable memory. */
@unmanaged
class StableModule {
  used: u32;
  pages: u32; // grant of the first ModulePage
  bytes: u64;
}
const STABLE_BYTES: u32 = 128; // a StableModule, and at 64 its name
const NAME: usize = 64;

/** In RAM. */
@unmanaged
class Module extends MemoryDisk {
  users: u32;
  place: usize;
  order: u32;
  handles: usize; // u32 for each page
  handlesFor: u32; // pages that they have room for
}

let table: usize = 0;
let records: usize = 0;
const batch: usize = memory.data(64 * 32, 8);

/** False when there is no memory. */
export function modulesInit(): bool {
  table = stableRegion(TAG, MODULES * STABLE_BYTES);
  records = heapAllocate(MODULES * offsetof<Module>());
  return table != 0 && records != 0;
}

function stableAt(i: u32): StableModule {
  return changetype<StableModule>(table + <usize>i * STABLE_BYTES);
}
function moduleAt(i: u32): Module {
  return changetype<Module>(records + <usize>i * offsetof<Module>());
}

function find(name: usize): i32 {
  for (let i: u32 = 0; i < MODULES; i++) {
    if (!stableAt(i).used) continue;
    const own = table + <usize>i * STABLE_BYTES + NAME;
    let j: u32 = 0;
    while (j < NAME_BYTES - 1 && load<u8>(own + j) == load<u8>(name + j) && load<u8>(own + j)) j++;
    if (load<u8>(own + j) == load<u8>(name + j)) return i;
  }
  return -1;
}

/** MODULE_ADD; `request` is a copy. */
export function moduleAdd(request: usize): i32 {
  const bytes = load<u64>(request, ModuleAdd.bytes);
  if (!load<u8>(request) || bytes == 0 || bytes % 512 != 0 || bytes > BYTES_MAX) return -EINVAL;
  if (find(request + ModuleAdd.name) >= 0) return -EEXIST;
  for (let i: u32 = 0; i < MODULES; i++) {
    const m = stableAt(i);
    if (m.used) continue;
    m.bytes = bytes;
    m.pages = load<u32>(request, ModuleAdd.pages);
    memory.copy(changetype<usize>(m) + NAME, request + ModuleAdd.name, NAME_BYTES);
    store<u8>(changetype<usize>(m) + NAME + NAME_BYTES - 1, 0);
    m.used = 1;
    return 0;
  }
  return -ENOSPC;
}

/** MODULE_REMOVE. */
export function moduleRemove(name: usize): i32 {
  const i = find(name);
  if (i < 0) return -ENOENT;
  if (moduleAt(i).users) return -EBUSY;
  stableAt(i).used = 0;
  return 0;
}

/** What moduleOpen has opened: a BlockDevice. */
export let moduleOpened: usize = 0;

/** Opens a module for a vbd: 0 (`moduleOpened`), -ENOENT, -ENOMEM, -EIO its pages cannot be mapped. */
export function moduleOpen(name: usize): i32 {
  const i = find(name);
  if (i < 0) return -ENOENT;
  const m = moduleAt(i);
  if (!m.users) {
    const rc = map(m, stableAt(i));
    if (rc != 0) return rc;
  }
  m.users++;
  moduleOpened = changetype<usize>(m);
  return 0;
}

export function moduleClose(device: usize): void {
  const m = changetype<Module>(device);
  if (--m.users) return;
  unmap(m, <u32>((m.sectors + 7) >> 3));
  windowRangeGive(m.place, m.order);
}

/** Maps all pages of a module; on an error none. */
function map(m: Module, s: StableModule): i32 {
  const pages = <u32>((s.bytes + 4095) >> 12);
  if (m.handlesFor < pages) {
    m.handles = heapAllocate((<usize>pages) << 2);
    if (!m.handles) return -ENOMEM;
    m.handlesFor = pages;
  }
  let order: u32 = 0;
  while ((<u32>1) << order < pages) order++;
  const place = windowRange(order);
  if (!place) return -ENOMEM;
  const handles = m.handles;
  const handlesFor = m.handlesFor;
  let done: u32 = 0;
  let next = s.pages;
  let rc: i32 = 0;
  // Pages of grants lead to each other; there are no more of them than the module needs.
  for (let steps: u32 = 0; done < pages && rc == 0 && steps < pages; steps++) {
    const list = windowMap(0, next);
    if (!list) {
      rc = -EIO;
      break;
    }
    const count = min(min(read32(list + ModulePage.count), MODULE_PAGE_GRANTS), pages - done);
    next = read32(list + ModulePage.next);
    if (!count) rc = -EIO;
    for (let at: u32 = 0; at < count && rc == 0; at += BATCH) {
      const some = min(BATCH, count - at);
      rc = mapSome(list + ModulePage.grants + ((<usize>at) << 2), some, place, done, handles);
      if (rc == 0) done += some;
    }
    windowUnmap(list);
  }
  if (done < pages) {
    m.place = place;
    m.handles = handles;
    unmap(m, done);
    windowRangeGive(place, order);
    return rc ? rc : -EIO;
  }
  memoryDiskMake(m, place, s.bytes, true);
  m.place = place;
  m.order = order;
  m.handles = handles;
  m.handlesFor = handlesFor;
  m.users = 0;
  return 0;
}

/** Maps some pages behind the first `done`; all of them or none. */
function mapSome(grants: usize, count: u32, place: usize, done: u32, handles: usize): i32 {
  memory.fill(batch, 0, count * GnttabMapGrantRef.SIZE);
  for (let i: u32 = 0; i < count; i++) {
    const op = batch + <usize>i * GnttabMapGrantRef.SIZE;
    store<u64>(op, <u64>(place + ((<usize>(done + i)) << 12)), GnttabMapGrantRef.host_addr);
    store<u32>(op, GNTMAP_host_map | GNTMAP_readonly, GnttabMapGrantRef.flags);
    store<u32>(op, read32(grants + ((<usize>i) << 2)), GnttabMapGrantRef.ref);
  }
  if (grantTableOp(GNTTABOP_map_grant_ref, batch, count) != 0) return -EIO;
  let mapped: u32 = 0;
  while (mapped < count) {
    const op = batch + <usize>mapped * GnttabMapGrantRef.SIZE;
    if (load<i16>(op, GnttabMapGrantRef.status) != GNTST_okay) break;
    store<u32>(handles + ((<usize>(done + mapped)) << 2), load<u32>(op, GnttabMapGrantRef.handle));
    mapped++;
  }
  if (mapped == count) return 0;
  // Those behind the one that failed may be mapped too.
  for (let i: u32 = 0; i < count; i++) {
    const op = batch + <usize>i * GnttabMapGrantRef.SIZE;
    if (load<i16>(op, GnttabMapGrantRef.status) != GNTST_okay) continue;
    unmapOne(place + ((<usize>(done + i)) << 12), load<u32>(op, GnttabMapGrantRef.handle));
  }
  return -EIO;
}

const single: usize = memory.data(32, 8);

function unmapOne(linear: usize, handle: u32): void {
  memory.fill(single, 0, GnttabUnmapGrantRef.SIZE);
  store<u64>(single, linear, GnttabUnmapGrantRef.host_addr);
  store<u32>(single, handle, GnttabUnmapGrantRef.handle);
  grantTableOp(GNTTABOP_unmap_grant_ref, single, 1);
}

function unmap(m: Module, pages: u32): void {
  for (let i: u32 = 0; i < pages; i++) {
    unmapOne(m.place + ((<usize>i) << 12), load<u32>(m.handles + ((<usize>i) << 2)));
  }
}
