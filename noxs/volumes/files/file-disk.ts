/**
 * A file as a disk: sectors of the file are sectors of the partition, extent by extent. What lies in one extent is passed on as it is;
 * what does not is done in parts, one after the other. Nothing but the file's own clusters is ever written.
 */
import {
  BLOCK_FLUSH,
  BLOCK_HAS_CACHE,
  BLOCK_SEGMENTS_MAX,
  BlockDevice,
  blockDone,
  BlockRequest,
  blockTaken,
} from "../../../drivers/block";
import { Pool, poolGive, poolInit, poolTake } from "../../../drivers/host/heap";
import { Segment } from "../../../drivers/segment";
import { Partition } from "../disk-list";
import { Disk, diskSubmit } from "../disks/disk";
import { slice, sliceBytes, sliceCount } from "../disks/slice";
import { extentFind, foundCluster, foundCount } from "./extents";
import { FatVolume } from "./fat-volume";
import { File } from "./file";

/** Requests that are done in parts, of all files at once; others wait. */
const SPLITS_MAX: u32 = 32;

@unmanaged
class Split {
  file: File;
  request: BlockRequest;
  done: u32; // sectors, with those that are under way
  io: BlockRequest;
  segments: usize;
}

// In a Split's record, behind it.
const IO: usize = 32;
const SEGMENTS: usize = 96;

const splits = changetype<Pool>(memory.data(32, 8));
/** Requests that wait for a Split, by `link`; `phase` of each is its File. */
let waitingHead: usize = 0;
let waitingTail: usize = 0;

/** Before anything else of this file. */
export function fileDisksInit(): void {
  assert(offsetof<Split>() <= IO && IO + offsetof<BlockRequest>() <= SEGMENTS, "a record is larger than its place");
  poolInit(splits, <u32>SEGMENTS + BLOCK_SEGMENTS_MAX * offsetof<Segment>(), SPLITS_MAX);
}

/** Whether requests can be done in parts, one at a time at least; false when there is no memory. Before a file is opened. */
export function fileDisksReady(): bool {
  const at = poolTake(splits);
  if (at) poolGive(splits, at);
  return at != 0 || splits.used != 0;
}

/** Makes a file's record a disk; its extents, `first` and `bytes` are there. */
export function fileDisk(f: File, disk: Disk, p: Partition, v: FatVolume, readOnly: bool): void {
  const on = disk.device;
  f.disk = disk;
  f.partition = p;
  f.dataStart = p.first + v.dataStart;
  f.clusterSectors = v.clusterSectors;
  // Nothing is discarded: the file keeps its clusters.
  f.features = on.features & BLOCK_HAS_CACHE;
  f.readOnly = readOnly ? 1 : 0;
  f.sectors = f.bytes >> 9;
  f.sectorSize = on.sectorSize;
  f.physicalSectorSize = on.physicalSectorSize;
  f.segmentsMax = min(on.segmentsMax, BLOCK_SEGMENTS_MAX);
  f.segmentBytesMax = on.segmentBytesMax;
  f.sectorsMax = on.sectorsMax;
  f.depth = on.depth;
  f.submitFn = changetype<usize>(submit);
  f.kickFn = changetype<usize>(kick);
}

function kick(_device: usize): void {}

/** Sectors of the disk from `place` on that hold sectors of the file from `sector` on: placeCount of them follow each other. */
let place: u64 = 0;
let placeCount: u32 = 0;
function placeFind(f: File, sector: u32): void {
  const within = sector % f.clusterSectors;
  extentFind(f.extents, sector / f.clusterSectors);
  place = f.dataStart + <u64>(foundCluster - 2) * f.clusterSectors + within;
  // A file has at most 2^23 sectors, and with what follows in its last cluster still fewer than 2^24.
  placeCount = foundCount * f.clusterSectors - within;
}

function submit(device: usize, request: usize): i32 {
  const f = changetype<File>(device);
  const r = changetype<BlockRequest>(request);
  blockTaken(f, r);
  if (r.operation != BLOCK_FLUSH) {
    placeFind(f, <u32>r.sector);
    if (r.sectors > placeCount) {
      splitBegin(f, r);
      return 0;
    }
    r.sector = place;
  }
  // The disk's own answer is the answer.
  f.inFlight--;
  diskSubmit(f.disk, r);
  return 0;
}

// --- In parts ------------------------------------------------------------------------------------------------------------

function splitBegin(f: File, r: BlockRequest): void {
  const at: usize = waitingHead ? 0 : poolTake(splits);
  if (at) {
    splitStart(at, f, r);
    return;
  }
  // Some are in use, if only because there is no memory for more: one will be given back.
  r.link = 0;
  r.phase = <u32>changetype<usize>(f);
  if (waitingTail) changetype<BlockRequest>(waitingTail).link = changetype<usize>(r);
  else waitingHead = changetype<usize>(r);
  waitingTail = changetype<usize>(r);
}

function splitStart(at: usize, f: File, r: BlockRequest): void {
  const s = changetype<Split>(at);
  s.io = changetype<BlockRequest>(at + IO);
  s.segments = at + SEGMENTS;
  s.file = f;
  s.request = r;
  s.done = 0;
  part(s);
}

/** Submits the next part. */
function part(s: Split): void {
  const r = s.request;
  const io = s.io;
  placeFind(s.file, <u32>r.sector + s.done);
  const sectors = min(r.sectors - s.done, placeCount);
  slice(r.segments, s.done << 9, sectors << 9, s.segments, 0, BLOCK_SEGMENTS_MAX);
  io.operation = r.operation;
  io.flags = r.flags;
  io.sector = place;
  io.sectors = sliceBytes >> 9;
  io.segments = s.segments;
  io.count = sliceCount;
  io.done = changetype<usize>(partDone);
  io.cookie = changetype<usize>(s);
  s.done += io.sectors;
  diskSubmit(s.file.disk, io);
}

function partDone(request: usize, status: i32): void {
  const s = changetype<Split>(changetype<BlockRequest>(request).cookie);
  if (status == 0 && s.done < s.request.sectors) {
    part(s);
    return;
  }
  const f: BlockDevice = s.file;
  const r = s.request;
  poolGive(splits, changetype<usize>(s));
  if (waitingHead) {
    const next = changetype<BlockRequest>(waitingHead);
    waitingHead = next.link;
    if (!waitingHead) waitingTail = 0;
    splitStart(poolTake(splits), changetype<File>(next.phase), next);
  }
  blockDone(f, r, status);
}
