/**
 * Stable memory: RAM from IO_STABLE up that a restart of the domain leaves as it is. It is given out in regions by tag, each
 * at the same address in every run; a region is zeroed when it is first given out.
 */
import { IO_STABLE, IO_STABLE_END } from "../../abi/io/layout";

const MAGIC: u32 = 0x53544231; // "STB1"
const PAGE: usize = 4096;
const REGIONS: u32 = 64;

/** The directory, the first page: this, then REGIONS of Region. */
@unmanaged
class Directory {
  magic: u32;
  count: u32;
  /** First byte that belongs to no region. */
  top: u32;
  /** The highest port that a guest may know by its number (kept-ports.ts). */
  port: u32;
}

@unmanaged
class Region {
  tag: u32;
  start: u32;
  bytes: u32;
}

function regionAt(i: u32): Region {
  return changetype<Region>(<usize>IO_STABLE + offsetof<Directory>() + <usize>i * offsetof<Region>());
}

/**
 * The region with this tag, page aligned.
 * @returns its address; 0 when there is no room, or an earlier run gave out another size
 */
export function stableRegion(tag: u32, bytes: u32): usize {
  const directory = changetype<Directory>(IO_STABLE);
  if (directory.magic != MAGIC) {
    directory.count = 0;
    directory.top = IO_STABLE + <u32>PAGE;
    directory.magic = MAGIC;
  }
  for (let i: u32 = 0; i < directory.count; i++) {
    const r = regionAt(i);
    if (r.tag == tag) return r.bytes == bytes ? <usize>r.start : 0;
  }
  const size = (bytes + <u32>PAGE - 1) & ~(<u32>PAGE - 1);
  if (directory.count == REGIONS || size > IO_STABLE_END - directory.top) return 0;
  const r = regionAt(directory.count);
  r.tag = tag;
  r.bytes = bytes;
  r.start = directory.top;
  directory.top += size;
  directory.count++;
  return r.start;
}

/** The highest port that a guest may know by its number, in this run or an earlier one; 0: none. */
export function stableHighestPort(): u32 {
  const directory = changetype<Directory>(IO_STABLE);
  return directory.magic == MAGIC ? directory.port : 0;
}

/** Notes it; after the first region was given out. */
export function stableHighestPortSet(port: u32): void {
  changetype<Directory>(IO_STABLE).port = port;
}

/** Whether the region with this tag has been given out, in this run or an earlier one. */
export function stableIsThere(tag: u32): bool {
  const directory = changetype<Directory>(IO_STABLE);
  if (directory.magic != MAGIC) return false;
  for (let i: u32 = 0; i < directory.count; i++) if (regionAt(i).tag == tag) return true;
  return false;
}
