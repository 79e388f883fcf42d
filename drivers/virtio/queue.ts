/**
 * Virtqueues of either kind, for drivers: setting one up, giving it chains of segments, taking what the device has used.
 *
 * A device that uses what it was not given, or writes more than there is room for, sets `fault`: nothing more is taken from
 * the queue, and its driver resets the device (virtqueueDrain afterwards, for what it still had).
 */
import { EIO, ENODEV, ENOMEM, ENOSPC } from "../../abi/errno";
import {
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_ORDER_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VirtioPciCommonCfg,
} from "../../abi/io/virtio";
import { dmaAllocate, dmaMachine } from "../host/dma";
import { heapAllocate } from "../host/heap";
import { barrier, read16, write16, write32 } from "../host/host";
import { virtioBit, VirtioDevice, virtioHas } from "./device";
import {
  PACKED_EVENT_BYTES,
  packedAdd,
  packedDescriptorBytes,
  packedKick,
  packedListen,
  packedPending,
  packedQuiet,
  packedReset,
  packedTake,
} from "./packed";
import {
  splitAdd,
  splitDescriptorBytes,
  splitDeviceBytes,
  splitDriverBytes,
  splitKick,
  splitListen,
  splitPending,
  splitQuiet,
  splitReset,
  splitTake,
} from "./split";
import { QUEUE_FINE, slotAt, slotsReset, Virtqueue, VirtqueueSlot } from "./virtqueue";

/** Descriptors of a queue at most, whatever the device offers; and what the specification allows (2.6, 2.7.10.1). */
export const QUEUE_SIZE_MAX: u32 = 256;
const QUEUE_SIZE_LIMIT: u32 = 32768;
const DESCRIPTOR_BYTES: u32 = 16;
const PAGE: u32 = 4096;
/** Alignment of the areas behind the descriptors. */
const AREA_ALIGNMENT: u32 = 64;

/** Features of rings and transport that every driver accepts where they are offered. */
export function ringFeatures(): u64 {
  return (
    virtioBit(VIRTIO_F_VERSION_1) |
    virtioBit(VIRTIO_F_ACCESS_PLATFORM) |
    virtioBit(VIRTIO_F_ORDER_PLATFORM) |
    virtioBit(VIRTIO_F_RING_PACKED) |
    virtioBit(VIRTIO_RING_F_EVENT_IDX) |
    virtioBit(VIRTIO_RING_F_INDIRECT_DESC)
  );
}

function alignUp(bytes: u32, alignment: u32): u32 {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

/**
 * Sets up queue `index` of a device whose features are settled, and enables it. A record that was set up before keeps its memory.
 * @param wanted descriptors, at most QUEUE_SIZE_MAX
 * @param vector MSI-X vector for what is used
 * @param tableEntries descriptors of an indirect table; 0: indirect ones are not used
 * @returns 0; -ENODEV the device does not have the queue, or says what cannot be of it; -ENOMEM; -EIO no vector for it
 */
export function virtqueueSetUp(
  d: VirtioDevice,
  q: Virtqueue,
  index: u32,
  wanted: u32,
  vector: u32,
  tableEntries: u32,
): i32 {
  const common = d.common;
  write16(common + VirtioPciCommonCfg.queue_select, index);
  const offered = read16(common + VirtioPciCommonCfg.queue_size);
  const packed = virtioHas(d, VIRTIO_F_RING_PACKED);
  if (offered == 0 || offered > QUEUE_SIZE_LIMIT || (!packed && (offered & (offered - 1)) != 0)) return -ENODEV;
  const size = min(min(offered, wanted), QUEUE_SIZE_MAX);
  const notifyOffset = <u64>read16(common + VirtioPciCommonCfg.queue_notify_off) * d.notifyMultiplier;
  if (notifyOffset + 2 > d.notifyBytes || (notifyOffset & 1) != 0) return -ENODEV;
  q.index = index;
  q.packed = packed ? 1 : 0;
  q.eventIndex = virtioHas(d, VIRTIO_RING_F_EVENT_IDX) ? 1 : 0;
  q.notifyAt = d.notify + <usize>notifyOffset;
  const entries = virtioHas(d, VIRTIO_RING_F_INDIRECT_DESC) ? tableEntries : 0;
  if (!q.memory && !allocate(q, size, tableEntries)) return -ENOMEM;
  if (size > q.capacity) return -ENODEV;
  q.size = size;
  q.tableEntries = min(entries, q.size);
  lay(q);
  write16(common + VirtioPciCommonCfg.queue_size, size);
  writeAddress(common + VirtioPciCommonCfg.queue_desc, q.ring);
  writeAddress(common + VirtioPciCommonCfg.queue_driver, q.driverArea);
  writeAddress(common + VirtioPciCommonCfg.queue_device, q.deviceArea);
  if (d.msix) {
    write16(common + VirtioPciCommonCfg.queue_msix_vector, vector);
    if (read16(common + VirtioPciCommonCfg.queue_msix_vector) != vector) return -EIO;
  }
  write16(common + VirtioPciCommonCfg.queue_enable, 1);
  return 0;
}

function writeAddress(at: usize, linear: usize): void {
  const machine = dmaMachine(linear);
  write32(at, <u32>machine);
  write32(at + 4, <u32>(machine >> 32));
}

/** Bytes of the three areas: enough for either kind of queue. */
function areaBytes(size: u32): u32 {
  return (
    alignUp(splitDescriptorBytes(size), AREA_ALIGNMENT) +
    alignUp(max(splitDriverBytes(size), PACKED_EVENT_BYTES), AREA_ALIGNMENT) +
    alignUp(max(splitDeviceBytes(size), PACKED_EVENT_BYTES), AREA_ALIGNMENT)
  );
}

/** Allocates memory for `size` descriptors, and a table for each if wanted. */
function allocate(q: Virtqueue, size: u32, tableEntries: u32): bool {
  q.slots = heapAllocate(<usize>size * offsetof<VirtqueueSlot>());
  q.memory = dmaAllocate(alignUp(areaBytes(size), PAGE) / PAGE);
  if (tableEntries != 0) {
    q.tables = dmaAllocate(alignUp(size * tableEntries * DESCRIPTOR_BYTES, PAGE) / PAGE);
    if (!q.tables) return false;
    q.tablesMachine = dmaMachine(q.tables);
  }
  q.capacity = size;
  return q.slots != 0 && q.memory != 0;
}

/** Lays out the areas and empties the queue. */
function lay(q: Virtqueue): void {
  memory.fill(q.memory, 0, areaBytes(q.size));
  const descriptors = q.packed ? packedDescriptorBytes(q.size) : splitDescriptorBytes(q.size);
  const driver = q.packed ? PACKED_EVENT_BYTES : splitDriverBytes(q.size);
  q.ring = q.memory;
  q.driverArea = q.ring + alignUp(descriptors, AREA_ALIGNMENT);
  q.deviceArea = q.driverArea + alignUp(driver, AREA_ALIGNMENT);
  q.fault = QUEUE_FINE;
  slotsReset(q);
  if (q.packed) packedReset(q);
  else splitReset(q);
  // The zeroes are ordinary stores: they are there before the device is told of them.
  barrier();
}

/**
 * Adds a chain: the device reads the first `out` segments and writes the rest. It may see it before `virtqueueKick`.
 * @param segments Segment[] of `count`, at least one
 * @param cookie comes back when it was used
 * @returns its slot; -ENOSPC the queue is full, or takes no chain that long
 */
export function virtqueueAdd(q: Virtqueue, segments: usize, out: u32, count: u32, cookie: usize): i32 {
  const indirect = count > 1 && count <= q.tableEntries;
  if (!virtqueueHasRoom(q, count)) return -ENOSPC;
  const slot = q.packed ? packedAdd(q, segments, out, count, indirect) : splitAdd(q, segments, out, count, indirect);
  q.inFlight++;
  slotAt(q, slot).cookie = cookie;
  slotAt(q, slot).stamp = q.clock;
  return <i32>slot;
}

/** The slot that the next chain will have, if there is room for one. */
export function virtqueueNextSlot(q: Virtqueue): u32 {
  return q.freeSlot;
}

/** Most segments of a chain. */
export function virtqueueChainMax(q: Virtqueue): u32 {
  return q.tableEntries > 1 ? q.tableEntries : q.size;
}

/** Whether a chain of `count` segments can be added now. */
export function virtqueueHasRoom(q: Virtqueue, count: u32): bool {
  return q.freeDescriptors >= (count > 1 && count <= q.tableEntries ? 1 : count);
}

/** Tells the device of the chains added, if it wants to know. */
export function virtqueueKick(q: Virtqueue): void {
  if (q.packed ? packedKick(q) : splitKick(q)) write16(q.notifyAt, q.index);
}

/**
 * Takes the next chain that the device has used: `takenCookie` and `takenBytes` are its.
 * @returns its slot, free again; -1 for none, or for a fault
 */
export function virtqueueTake(q: Virtqueue): i32 {
  if (q.fault != QUEUE_FINE) return -1;
  const slot = q.packed ? packedTake(q) : splitTake(q);
  if (slot < 0) return -1;
  q.inFlight--;
  q.progress++;
  q.takenCookie = slotAt(q, slot).cookie;
  return slot;
}

/** Asks the device for no interrupts; a few may come nevertheless. */
export function virtqueueQuiet(q: Virtqueue): void {
  if (q.packed) packedQuiet(q);
  else splitQuiet(q);
}

/**
 * Asks the device for an interrupt, when it uses the next chain or, as far as it can be asked that, about `after` more than that.
 * @returns true when something was used already: there may be no interrupt for it
 */
export function virtqueueListen(q: Virtqueue, after: u32): bool {
  if (q.packed) packedListen(q, after);
  else splitListen(q, after);
  // The wish is written before it is read whether it came too late.
  barrier();
  return q.packed ? packedPending(q) : splitPending(q);
}

/** Takes back a chain that the device had when it was reset: its cookie is `takenCookie`. -1 when there is none left. */
export function virtqueueDrain(q: Virtqueue): i32 {
  if (q.inFlight == 0) return -1;
  for (let i: u32 = 0; i < q.size; i++) {
    const slot = slotAt(q, i);
    if (slot.descriptors == 0) continue;
    slot.descriptors = 0;
    q.inFlight--;
    q.takenCookie = slot.cookie;
    q.takenBytes = 0;
    return <i32>i;
  }
  return -1;
}

/** How long the oldest chain has been with the device, in ticks of `clock`; 0 for none. */
export function virtqueueOldest(q: Virtqueue): u32 {
  let oldest: u32 = 0;
  for (let i: u32 = 0, left = q.inFlight; i < q.size && left != 0; i++) {
    const slot = slotAt(q, i);
    if (slot.descriptors == 0) continue;
    left--;
    oldest = max(oldest, q.clock - slot.stamp);
  }
  return oldest;
}
