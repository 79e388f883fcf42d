/**
 * RAM volumes: `ram:SIZE`. Their content is in stable memory, because a write that was answered must survive a restart of the
 * domain. Whom an extent belongs to is in its owner's record; a volume is gone with its vbd.
 */
import { heapAllocate } from "../../drivers/host/heap";
import { stableRegion } from "../../drivers/host/stable";
import { MemoryDisk, memoryDiskMake } from "./memory-disk";

const TAG: u32 = 0x56524d44; // "VRMD"
/** For all of them together. */
export const RAM_BYTES: u32 = 0x1000000;
const EXTENTS: u32 = 64;

@unmanaged
class Extent {
  start: u32; // in the pool, in pages
  pages: u32; // 0: not in use
}

const extents: usize = memory.data(64 * 8);
let pool: usize = 0;
let free: usize = 0;

/** Gets the pool, in stable memory, when it is first needed; false when there is none. */
function poolReady(): bool {
  if (!pool) pool = stableRegion(TAG, RAM_BYTES);
  return pool != 0;
}

function extentAt(i: u32): Extent {
  return changetype<Extent>(extents + ((<usize>i) << 3));
}

/** Whether pages from `start` on are free; if not, where the next free ones may begin. */
let freeFrom: u32 = 0;
function isFree(start: u32, pages: u32): bool {
  for (let i: u32 = 0; i < EXTENTS; i++) {
    const e = extentAt(i);
    if (!e.pages || e.start >= start + pages || start >= e.start + e.pages) continue;
    freeFrom = e.start + e.pages;
    return false;
  }
  return true;
}

function enter(start: u32, pages: u32): bool {
  for (let i: u32 = 0; i < EXTENTS; i++) {
    const e = extentAt(i);
    if (e.pages) continue;
    e.start = start;
    e.pages = pages;
    return true;
  }
  return false;
}

/** Takes memory for a volume, zeroed: its first page in the pool + 1; 0 when there is none. */
export function ramTake(bytes: u32): u32 {
  if (!poolReady()) return 0;
  const pages = (bytes + 4095) >> 12;
  let start: u32 = 0;
  while (start + pages <= RAM_BYTES >> 12 && !isFree(start, pages)) start = freeFrom;
  if (!pages || start + pages > RAM_BYTES >> 12 || !enter(start, pages)) return 0;
  memory.fill(pool + ((<usize>start) << 12), 0, (<usize>pages) << 12);
  return start + 1;
}

/** After a restart: the memory that a volume has. */
export function ramKeep(place: u32, bytes: u32): bool {
  return place != 0 && poolReady() && enter(place - 1, (bytes + 4095) >> 12);
}

export function ramGive(place: u32): void {
  for (let i: u32 = 0; i < EXTENTS; i++) if (extentAt(i).start == place - 1) extentAt(i).pages = 0;
}

/** Opens a volume: a device, 0 when there is no memory. */
export function ramOpen(place: u32, bytes: u32, readOnly: bool): usize {
  const at = free ? free : heapAllocate(offsetof<MemoryDisk>());
  if (!at) return 0;
  if (free) free = changetype<MemoryDisk>(at).free;
  memoryDiskMake(changetype<MemoryDisk>(at), pool + ((<usize>(place - 1)) << 12), bytes, readOnly);
  return at;
}

export function ramClose(device: usize): void {
  changetype<MemoryDisk>(device).free = free;
  free = device;
}

/** The size that `text` names, of at most `length` bytes: a number, with K, M or G behind it; 0 when it is none, or not of whole sectors. */
export function ramSize(text: usize, length: u32): u32 {
  let value: u64 = 0;
  let i: u32 = 0;
  for (; i < length; i++) {
    const c = <u32>load<u8>(text + i);
    if (c < 0x30 || c > 0x39) break;
    value = value * 10 + (c - 0x30);
    if (value > 0xffffffff) return 0;
  }
  if (i == 0) return 0;
  const unit = i < length ? (<u32>load<u8>(text + i)) & 0xdf : 0;
  if (unit == 0x4b) value <<= 10;
  else if (unit == 0x4d) value <<= 20;
  else if (unit == 0x47) value <<= 30;
  else if (unit) return 0;
  if (unit && i + 1 < length && load<u8>(text + i + 1)) return 0;
  return value <= 0xffffffff && value % 512 == 0 ? <u32>value : 0;
}
