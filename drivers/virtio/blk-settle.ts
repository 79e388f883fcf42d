/**
 * What a virtio disk is asked to do, and what it says it is: features accepted, the configuration copied once and checked. A disk
 * whose configuration makes no sense is not used, but for limits that can be done without (discard, topology).
 */
import { EINVAL, EIO, ENODEV } from "../../abi/errno";
import {
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_SIZE_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VirtioBlkConfig,
} from "../../abi/io/virtio-blk";
import {
  BLOCK_CAN_DISCARD,
  BLOCK_CAN_WRITE_ZEROES,
  BLOCK_HAS_CACHE,
  BLOCK_SECTOR_SHIFT,
  BLOCK_SECTORS_LIMIT,
  BLOCK_SEGMENT_BYTES_MAX,
  BLOCK_SEGMENTS_MAX,
  blockSectorSizeValid,
} from "../block";
import { VIRTIO_BLK_QUEUES_MAX, VirtioBlk, virtioOf } from "./blk-device";
import {
  virtioAccept,
  virtioBegin,
  virtioBit,
  virtioConfigCopy,
  VirtioDevice,
  virtioHas,
  virtioQueueCount,
} from "./device";
import { ringFeatures } from "./queue";

const PAGE: u32 = 4096;
/** Largest physical sector: 2^7 of the smallest logical ones. */
const PHYSICAL_EXPONENT_MAX: u32 = 7;

/** A copy of the disk's configuration. */
const config: usize = memory.data(VirtioBlkConfig.SIZE);

function wantedFeatures(): u64 {
  return (
    ringFeatures() |
    virtioBit(VIRTIO_BLK_F_SIZE_MAX) |
    virtioBit(VIRTIO_BLK_F_SEG_MAX) |
    virtioBit(VIRTIO_BLK_F_RO) |
    virtioBit(VIRTIO_BLK_F_BLK_SIZE) |
    virtioBit(VIRTIO_BLK_F_FLUSH) |
    virtioBit(VIRTIO_BLK_F_TOPOLOGY) |
    virtioBit(VIRTIO_BLK_F_MQ) |
    virtioBit(VIRTIO_BLK_F_DISCARD) |
    virtioBit(VIRTIO_BLK_F_WRITE_ZEROES)
  );
}

/**
 * Settles what the disk, which was reset, does: its features, and what follows from them.
 * @returns 0; -ENODEV or -EOPNOTSUPP it does not agree; -EIO its configuration does not hold still; -EINVAL it makes no sense
 */
export function blkSettle(b: VirtioBlk): i32 {
  const d = virtioOf(b);
  if (virtioBegin(d) != 0) return -ENODEV;
  if (!virtioConfigCopy(d, config, VirtioBlkConfig.SIZE)) return -EIO;
  const refused = virtioAccept(d, d.offered & wantedFeatures());
  if (refused != 0) return refused;
  b.features = 0;
  b.readOnly = virtioHas(d, VIRTIO_BLK_F_RO) ? 1 : 0;
  b.flush = virtioHas(d, VIRTIO_BLK_F_FLUSH) ? 1 : 0;
  if (b.flush) b.features |= BLOCK_HAS_CACHE;
  b.queueCount = countQueues(d);
  if (!readSectors(b, d) || !readLimits(b, d)) return -EINVAL;
  readDiscard(b, d);
  return 0;
}

/** How many queues are to be used: one, if what the disk says of them cannot be. */
function countQueues(d: VirtioDevice): u32 {
  if (!virtioHas(d, VIRTIO_BLK_F_MQ)) return 1;
  const count = <u32>load<u16>(config, VirtioBlkConfig.num_queues);
  if (count == 0 || count > virtioQueueCount(d)) return 1;
  return min(count, VIRTIO_BLK_QUEUES_MAX);
}

/** Sector size and capacity; false when they cannot be. */
function readSectors(b: VirtioBlk, d: VirtioDevice): bool {
  b.sectorSize = virtioHas(d, VIRTIO_BLK_F_BLK_SIZE) ? load<u32>(config, VirtioBlkConfig.blk_size) : 512;
  if (!blockSectorSizeValid(b.sectorSize)) return false;
  const exponent = <u32>load<u8>(config, VirtioBlkConfig.physical_block_exp);
  const known = virtioHas(d, VIRTIO_BLK_F_TOPOLOGY) && exponent <= PHYSICAL_EXPONENT_MAX;
  b.physicalSectorSize = known ? b.sectorSize << exponent : b.sectorSize;
  return readCapacity(b);
}

/** Capacity, of whole sectors of the disk; false when it is more than can be. */
function readCapacity(b: VirtioBlk): bool {
  const capacity = load<u64>(config, VirtioBlkConfig.capacity);
  if (capacity > BLOCK_SECTORS_LIMIT) return false;
  b.sectors = capacity & ~(<u64>(b.sectorSize >> BLOCK_SECTOR_SHIFT) - 1);
  return true;
}

/** Segments of a request; false when a page does not fit into one. The queue's size is not known yet (blkLimitSegments). */
function readLimits(b: VirtioBlk, d: VirtioDevice): bool {
  // Without the feature the disk does not say; one is what it must take.
  const segments = virtioHas(d, VIRTIO_BLK_F_SEG_MAX) ? load<u32>(config, VirtioBlkConfig.seg_max) : 1;
  b.segmentsMax = max<u32>(1, min(segments, BLOCK_SEGMENTS_MAX));
  b.segmentBytesMax = BLOCK_SEGMENT_BYTES_MAX;
  if (virtioHas(d, VIRTIO_BLK_F_SIZE_MAX)) {
    b.segmentBytesMax = min(b.segmentBytesMax, load<u32>(config, VirtioBlkConfig.size_max)) & ~(b.sectorSize - 1);
  }
  return b.segmentBytesMax >= PAGE;
}

/** A queue takes chains of `chainMax` segments: header and status are two of them. */
export function blkLimitSegments(b: VirtioBlk, chainMax: u32): void {
  b.segmentsMax = min(b.segmentsMax, chainMax - 2);
  b.sectorsMax = b.segmentsMax * (b.segmentBytesMax >> BLOCK_SECTOR_SHIFT);
}

function readDiscard(b: VirtioBlk, d: VirtioDevice): void {
  const unit = b.sectorSize >> BLOCK_SECTOR_SHIFT;
  b.discardSectorsMax = load<u32>(config, VirtioBlkConfig.max_discard_sectors) & ~(unit - 1);
  b.discardAlignment = load<u32>(config, VirtioBlkConfig.discard_sector_alignment);
  if (
    virtioHas(d, VIRTIO_BLK_F_DISCARD) &&
    b.discardSectorsMax != 0 &&
    load<u32>(config, VirtioBlkConfig.max_discard_seg) != 0
  ) {
    b.features |= BLOCK_CAN_DISCARD;
  }
  b.zeroesSectorsMax = load<u32>(config, VirtioBlkConfig.max_write_zeroes_sectors) & ~(unit - 1);
  if (
    virtioHas(d, VIRTIO_BLK_F_WRITE_ZEROES) &&
    b.zeroesSectorsMax != 0 &&
    load<u32>(config, VirtioBlkConfig.max_write_zeroes_seg) != 0
  ) {
    b.features |= BLOCK_CAN_WRITE_ZEROES;
  }
}

/**
 * Looks at the capacity again.
 * @returns 1 it changed, 0 it did not, -EINVAL it makes no sense
 */
export function blkCapacityChanged(b: VirtioBlk): i32 {
  if (!virtioConfigCopy(virtioOf(b), config, VirtioBlkConfig.SIZE)) return 0;
  const before = b.sectors;
  if (!readCapacity(b)) return -EINVAL;
  return b.sectors != before ? 1 : 0;
}
