/**
 * Packed virtqueues (virtio 1.1, 2.7): one ring of descriptors, which the device overwrites with used ones, and a wrap
 * counter on either side that tells the rounds apart.
 *
 * A chain is visible to the device as soon as it is added: its first descriptor is written last.
 */
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_PACKED_DESC_F_AVAIL,
  VRING_PACKED_DESC_F_USED,
  VRING_PACKED_EVENT_F_WRAP_CTR,
  VRING_PACKED_EVENT_FLAG_DESC,
  VRING_PACKED_EVENT_FLAG_DISABLE,
  VRING_PACKED_EVENT_FLAG_ENABLE,
  VringPackedDesc,
  VringPackedDescEvent,
} from "../../abi/io/virtio";
import { barrier, read32, read64, write32, write64 } from "../host/host";
import { segmentAt } from "../segment";
import { QUEUE_BAD_ID, QUEUE_BAD_LENGTH, slotAt, Virtqueue } from "./virtqueue";

/** Bytes of each area for `size` descriptors; the ring of descriptors comes first. */
export function packedDescriptorBytes(size: u32): u32 {
  return size * VringPackedDesc.SIZE;
}
export const PACKED_EVENT_BYTES: u32 = VringPackedDescEvent.SIZE;

/** The state of an empty queue; its memory is zeroed. */
export function packedReset(q: Virtqueue): void {
  q.addIndex = 0;
  q.takeIndex = 0;
  q.addWrap = 1;
  q.takeWrap = 1;
  q.addedSinceKick = 0;
}

/** A descriptor's flags that make it available in the round of `wrap`. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function availableFlags(wrap: u32): u32 {
  return (wrap << VRING_PACKED_DESC_F_AVAIL) | ((wrap ^ 1) << VRING_PACKED_DESC_F_USED);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function secondHalf(bytes: u32, id: u32, flags: u32): u64 {
  return (<u64>bytes) | ((<u64>id) << 32) | ((<u64>flags) << 48);
}

/** Writes a table of its own for `slot`. Returns the bytes that the device may write. */
function writeTable(q: Virtqueue, slot: u32, segments: usize, out: u32, count: u32): u32 {
  const table = q.tables + <usize>slot * q.tableEntries * VringPackedDesc.SIZE;
  let writable: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const s = segmentAt(segments, i);
    const at = table + <usize>i * VringPackedDesc.SIZE;
    if (i >= out) writable += s.bytes;
    write64(at, s.machine);
    write64(at + VringPackedDesc.len, secondHalf(s.bytes, 0, i >= out ? VRING_DESC_F_WRITE : 0));
  }
  return writable;
}

/** Adds a chain; there is room (virtqueueAdd). Its slot. */
export function packedAdd(q: Virtqueue, segments: usize, out: u32, count: u32, indirect: bool): u32 {
  const id = q.freeSlot;
  const slot = slotAt(q, id);
  q.freeSlot = slot.next;
  const head = q.ring + <usize>q.addIndex * VringPackedDesc.SIZE;
  let headHalf: u64;
  if (indirect) {
    slot.descriptors = 1;
    slot.writable = writeTable(q, id, segments, out, count);
    write64(head, q.tablesMachine + <u64>id * q.tableEntries * VringPackedDesc.SIZE);
    headHalf = secondHalf(count * VringPackedDesc.SIZE, id, VRING_DESC_F_INDIRECT | availableFlags(q.addWrap));
    advance(q);
  } else {
    slot.descriptors = <u16>count;
    headHalf = writeChain(q, id, segments, out, count);
  }
  q.freeDescriptors -= slot.descriptors;
  q.addedSinceKick += slot.descriptors;
  write64(head + VringPackedDesc.len, headHalf);
  return id;
}

/** Writes a chain into the ring but for the second half of its first descriptor, which is returned. */
function writeChain(q: Virtqueue, id: u32, segments: usize, out: u32, count: u32): u64 {
  let headHalf: u64 = 0;
  let writable: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const s = segmentAt(segments, i);
    let flags = availableFlags(q.addWrap);
    if (i + 1 < count) flags |= VRING_DESC_F_NEXT;
    if (i >= out) {
      flags |= VRING_DESC_F_WRITE;
      writable += s.bytes;
    }
    const at = q.ring + <usize>q.addIndex * VringPackedDesc.SIZE;
    const half = secondHalf(s.bytes, id, flags);
    write64(at, s.machine);
    if (i == 0) headHalf = half;
    else write64(at + VringPackedDesc.len, half);
    advance(q);
  }
  slotAt(q, id).writable = writable;
  return headHalf;
}

function advance(q: Virtqueue): void {
  if (++q.addIndex < q.size) return;
  q.addIndex = 0;
  q.addWrap ^= 1;
}

/** Returns whether the device wants to be notified of the chains added. */
export function packedKick(q: Virtqueue): bool {
  const added = q.addedSinceKick;
  if (added == 0) return false;
  q.addedSinceKick = 0;
  // The descriptors are written before it is read what the device wants.
  barrier();
  const wish = read32(q.deviceArea);
  const flags = wish >> 16;
  if (flags == VRING_PACKED_EVENT_FLAG_DISABLE) return false;
  if (flags != VRING_PACKED_EVENT_FLAG_DESC) return true;
  const wrap = (wish >> VRING_PACKED_EVENT_F_WRAP_CTR) & 1;
  let event = wish & 0x7fff;
  if (wrap != q.addWrap) event -= q.size;
  return ((q.addIndex - event - 1) & 0xffff) < (added & 0xffff);
}

/** Whether the second half of a descriptor is that of a used one, in the round that is being taken from. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function isUsed(q: Virtqueue, half: u64): bool {
  const available = (<u32>(half >> (48 + VRING_PACKED_DESC_F_AVAIL))) & 1;
  const used = (<u32>(half >> (48 + VRING_PACKED_DESC_F_USED))) & 1;
  return available == used && used == q.takeWrap;
}

/** The second half of the descriptor to be taken next, in one load: its flags say whether the rest is valid. */
// @ts-expect-error: decorator of AssemblyScript
@inline
function nextHalf(q: Virtqueue): u64 {
  return read64(q.ring + <usize>q.takeIndex * VringPackedDesc.SIZE + VringPackedDesc.len);
}

/** Takes the next used chain: its slot, or -1 for none or for a fault of the device. */
export function packedTake(q: Virtqueue): i32 {
  const half = nextHalf(q);
  if (!isUsed(q, half)) return -1;
  const bytes = <u32>half;
  const id = (<u32>(half >> 32)) & 0xffff;
  if (id >= q.size || slotAt(q, id).descriptors == 0) {
    q.fault = QUEUE_BAD_ID;
    return -1;
  }
  const slot = slotAt(q, id);
  if (bytes > slot.writable) {
    q.fault = QUEUE_BAD_LENGTH;
    return -1;
  }
  q.takenBytes = bytes;
  q.takeIndex += slot.descriptors;
  if (q.takeIndex >= q.size) {
    q.takeIndex -= q.size;
    q.takeWrap ^= 1;
  }
  q.freeDescriptors += slot.descriptors;
  slot.descriptors = 0;
  slot.next = <u16>q.freeSlot;
  q.freeSlot = id;
  return <i32>id;
}

/** Whether anything was used that was not taken. */
export function packedPending(q: Virtqueue): bool {
  return isUsed(q, nextHalf(q));
}

/** Asks for no interrupts. */
export function packedQuiet(q: Virtqueue): void {
  write32(q.driverArea, VRING_PACKED_EVENT_FLAG_DISABLE << 16);
}

/** Asks for an interrupt once descriptor `after` behind the next one is used, or with the next one where that cannot be asked for. */
export function packedListen(q: Virtqueue, after: u32): void {
  if (!q.eventIndex) {
    write32(q.driverArea, VRING_PACKED_EVENT_FLAG_ENABLE << 16);
    return;
  }
  let at = q.takeIndex + after;
  let wrap = q.takeWrap;
  if (at >= q.size) {
    at -= q.size;
    wrap ^= 1;
  }
  write32(q.driverArea, at | (wrap << VRING_PACKED_EVENT_F_WRAP_CTR) | (VRING_PACKED_EVENT_FLAG_DESC << 16));
}
