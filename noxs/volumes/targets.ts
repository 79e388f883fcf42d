/**
 * What a vbd's target may be, by its name: `volume:NAME`, `ram:SIZE`, `module:NAME`, `part:LABEL`, `file:[LABEL/]PATH`; each is a
 * BlockDevice when open.
 */
import { EBUSY, EINVAL, ENOENT, ENOMEM, EROFS } from "../../abi/errno";
import { VBD_TARGET_BYTES } from "../../abi/io/control-block";
import { BlockDevice, BlockRequest, blockTaken } from "../../drivers/block";
import { heapAllocate } from "../../drivers/host/heap";
import { diskCount, DiskInfo, diskInfoAt, disksReady, isNamed, Partition, partitionAt, WRITTEN } from "./disk-list";
import { Disk, diskSubmit } from "./disks/disk";
import { Task, WAIT } from "./disks/task";
import { File, fileClose } from "./files/file";
import { fileOpen, fileOpened, fileOpenedIdentity, fileRefusal } from "./files/open";
import { moduleClose, moduleOpen, moduleOpened } from "./modules";
import { opened, volumeClose, volumeOpen } from "./open";
import { RAM_BYTES, ramClose, ramGive, ramKeep, ramOpen, ramSize, ramTake } from "./ram";
import { cacheEnter, cacheLeave } from "./store/cache";
import { storeAt, STORE_READY, STORES_MAX } from "./store/store";
import { Volume } from "./store/volume";

// Target.kind
const VOLUME: u32 = 1;
const RAM: u32 = 2;
const MODULE: u32 = 3;
const PART: u32 = 4;
const FILE: u32 = 5;

/** An open target. */
@unmanaged
export class Target {
  kind: u32; // 0: not open
  device: usize; // BlockDevice
  write: u32;
  kept: u32; // to be kept over a restart: the place of a RAM volume, the identity of a file
}

/** A partition as a disk. */
@unmanaged
class PartDisk extends BlockDevice {
  disk: Disk;
  partition: Partition;
  free: usize;
}

let freeParts: usize = 0;

/** VbdRefusal of the target that targetOpen has just refused; 0: the status says all. */
export let targetRefusal: usize = 0;

/** Length of the kind's name and the colon, if `text` begins with it. */
function prefix(text: usize, kind: string): u32 {
  const length = kind.length;
  for (let i = 0; i < length; i++) {
    if (load<u8>(text + i) != load<u16>(changetype<usize>(kind) + (i << 1))) return 0;
  }
  return length;
}

/**
 * Opens a target for a vbd. The task is run again after each wait, with the same arguments.
 * @param text VBD_TARGET_BYTES, NUL-padded
 * @param t.kept of a target that was open before a restart, else 0
 * @returns 0, WAIT, -EINVAL not a target, -ENOENT, -EBUSY, -EROFS, -ENOMEM, -EIO; of a file also what VbdRefusal has
 */
export function targetOpen(task: Task, text: usize, write: bool, t: Target): i32 {
  let rc: i32 = -EINVAL;
  let at = prefix(text, "volume:");
  t.write = write ? 1 : 0;
  targetRefusal = 0;
  if (at) {
    rc = openVolume(task, text + at, write);
    t.kind = VOLUME;
    t.device = rc == 0 ? opened : 0;
  } else if ((at = prefix(text, "part:"))) {
    rc = openPart(task, text + at, write);
    t.kind = PART;
    t.device = rc == 0 ? partOpened : 0;
  } else if ((at = prefix(text, "file:"))) {
    rc = fileOpen(task, text + at, VBD_TARGET_BYTES - at, write, t.kept);
    t.kind = FILE;
    t.device = rc == 0 ? fileOpened : 0;
    if (rc == 0) t.kept = fileOpenedIdentity;
    else if (rc < 0) targetRefusal = fileRefusal();
  } else if ((at = prefix(text, "module:"))) {
    rc = write ? -EROFS : moduleOpen(text + at);
    t.kind = MODULE;
    t.device = rc == 0 ? moduleOpened : 0;
  } else if ((at = prefix(text, "ram:"))) {
    rc = openRam(ramSize(text + at, VBD_TARGET_BYTES - at), t);
    t.kind = RAM;
  }
  if (rc != 0) t.kind = 0;
  return rc;
}

/** Whether only a machine with a disk can have such a target. */
export function targetNeedsDisk(text: usize): bool {
  return prefix(text, "module:") == 0 && prefix(text, "ram:") == 0;
}

function openVolume(task: Task, name: usize, write: bool): i32 {
  // Stores are known when all disks have been looked at.
  if (!disksReady(task) || !cacheEnter(task)) return WAIT;
  let rc: i32 = -ENOENT;
  for (let i: u32 = 0; i < STORES_MAX && rc == -ENOENT; i++) {
    if (storeAt(i).state == STORE_READY) rc = volumeOpen(task, storeAt(i), name, write);
  }
  if (rc != WAIT) cacheLeave(task);
  return rc;
}

function openRam(bytes: u32, t: Target): i32 {
  if (!bytes) return -EINVAL;
  if (bytes > RAM_BYTES) return -ENOMEM;
  if (t.kept) {
    if (!ramKeep(t.kept, bytes)) return -ENOMEM;
  } else {
    t.kept = ramTake(bytes);
    if (!t.kept) return -ENOMEM;
  }
  t.device = ramOpen(t.kept, bytes, !t.write);
  return t.device ? 0 : -ENOMEM;
}

/** The vbd needs the target no more: its requests are done. A RAM volume is gone. */
export function targetClose(t: Target): void {
  if (t.kind == VOLUME) {
    volumeClose(changetype<Volume>(t.device), t.write != 0);
  } else if (t.kind == MODULE) {
    moduleClose(t.device);
  } else if (t.kind == FILE) {
    fileClose(changetype<File>(t.device));
    t.kept = 0;
  } else if (t.kind == RAM) {
    ramClose(t.device);
    ramGive(t.kept);
    t.kept = 0;
  } else if (t.kind == PART) {
    const d = changetype<PartDisk>(t.device);
    if (t.write) d.partition.users = 0;
    else d.partition.users--;
    d.free = freeParts;
    freeParts = t.device;
  }
  t.kind = 0;
  t.device = 0;
}

// --- Partitions ----------------------------------------------------------------------------------------------------------

let partOpened: usize = 0;

/** Opens the first partition with this label; those of volume stores are none. */
function openPart(task: Task, label: usize, write: bool): i32 {
  let length: u32 = 0;
  while (load<u8>(label + length)) length++;
  if (!length) return -EINVAL;
  if (!disksReady(task)) return WAIT;
  for (let i: u32 = 0; i < diskCount(); i++) {
    const info = diskInfoAt(i);
    for (let j: u32 = 0; j < info.count; j++) {
      const p = partitionAt(info, j);
      if (!p.isStore && isNamed(p, label, length)) return openFound(info, p, write);
    }
  }
  return -ENOENT;
}

function openFound(info: DiskInfo, p: Partition, write: bool): i32 {
  const on = info.disk.device;
  if (write && on.readOnly) return -EROFS;
  if (p.users == WRITTEN || p.filesWritten || info.changing) return -EBUSY;
  if (write && (p.users | p.filesRead) != 0) return -EBUSY;
  const at = freeParts ? freeParts : heapAllocate(offsetof<PartDisk>());
  if (!at) return -ENOMEM;
  const d = changetype<PartDisk>(at);
  if (freeParts) freeParts = d.free;
  memory.fill(at, 0, offsetof<PartDisk>());
  d.disk = info.disk;
  d.partition = p;
  d.features = on.features;
  d.readOnly = write ? 0 : 1;
  d.sectors = p.sectors;
  d.sectorSize = on.sectorSize;
  d.physicalSectorSize = on.physicalSectorSize;
  d.segmentsMax = on.segmentsMax;
  d.segmentBytesMax = on.segmentBytesMax;
  d.sectorsMax = on.sectorsMax;
  d.discardSectorsMax = on.discardSectorsMax;
  d.discardAlignment = on.discardAlignment;
  d.depth = on.depth;
  d.submitFn = changetype<usize>(partSubmit);
  d.kickFn = changetype<usize>(partKick);
  if (write) {
    p.users = WRITTEN;
    p.writes++;
  } else {
    p.users++;
  }
  partOpened = at;
  return 0;
}

function partKick(_device: usize): void {}

/** The disk's own answer is the answer: only the place differs. */
function partSubmit(device: usize, request: usize): i32 {
  const d = changetype<PartDisk>(device);
  const r = changetype<BlockRequest>(request);
  blockTaken(d, r);
  d.inFlight--;
  r.sector += d.partition.first;
  diskSubmit(d.disk, r);
  return 0;
}
