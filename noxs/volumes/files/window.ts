/**
 * Windows on a partition: buffers of up to 64 KiB through which the file that is looked for reads FATs and directories. Whoever needs a
 * sector that is not in one has it read, and is run again when it is there.
 */
import { EIO } from "../../../abi/errno";
import { dmaAllocate, dmaMachine } from "../../../drivers/host/dma";
import { Disk } from "../disks/disk";
import { Task, WAIT } from "../disks/task";
import { TaskIo, taskIoMake, taskRead } from "../disks/task-io";

const WINDOW_SECTORS: u32 = 128;

/** Part of a partition that is read through a window, in sectors of 512 bytes: nothing outside of it is. */
@unmanaged
export class Region {
  start: u64; // from the partition's begin
  sectors: u64;
}

@unmanaged
export class Window {
  linear: usize;
  io: TaskIo;
  loading: u32; // 1: what is to be in it is being read
  first: u64; // what is in it, from the partition's begin
  count: u32; // 0: nothing
  wanted: u32; // what `count` will be
}

/** Why windowAt has returned 0: WAIT, or a negative errno. */
export let windowResult: i32 = 0;

/** Allocates a window's buffer; false when there is no memory. */
export function windowMake(w: Window): bool {
  w.io = changetype<TaskIo>(taskIoMake());
  w.linear = dmaAllocate((WINDOW_SECTORS << 9) >> 12);
  return changetype<usize>(w.io) != 0 && w.linear != 0;
}

/** Forgets what is in a window: it may be another disk's, or have been changed. */
export function windowForget(w: Window): void {
  w.count = 0;
  w.loading = 0;
}

/** Most sectors that are read at once, of whole ones of any disk. */
export function windowSectors(d: Disk): u32 {
  return min(min(WINDOW_SECTORS, d.device.sectorsMax), d.device.segmentBytesMax >> 9) & ~7;
}

/**
 * The address of sector `sector` of a region of a partition that begins at sector `partition` of the disk.
 * @returns 0: it is not there; windowResult
 */
export function windowAt(t: Task, w: Window, d: Disk, partition: u64, region: Region, sector: u64): usize {
  if (w.loading) {
    w.loading = 0;
    if (w.io.status != 0) {
      windowResult = w.io.status;
      return 0;
    }
    w.count = w.wanted;
  }
  if (w.count && sector >= w.first && sector - w.first < w.count) return w.linear + ((<usize>(sector - w.first)) << 9);
  const most = windowSectors(d);
  if (!most || sector < region.start || sector - region.start >= region.sectors) {
    windowResult = -EIO;
    return 0;
  }
  const skip = ((sector - region.start) / most) * most;
  w.count = 0;
  w.first = region.start + skip;
  w.wanted = <u32>min<u64>(most, region.sectors - skip);
  w.loading = 1;
  taskRead(w.io, t, d, partition + w.first, w.wanted, w.linear, dmaMachine(w.linear));
  windowResult = WAIT;
  return 0;
}
