/**
 * Split virtqueues (virtio 1.1, 2.6): a table of descriptors, a ring of available chains, a ring of used ones.
 *
 * A chain is visible to the device from splitKick on, which writes the available ring's index.
 */
import {
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_USED_F_NO_NOTIFY,
  VringAvail,
  VringDesc,
  VringUsed,
  VringUsedElem,
} from "../../abi/io/virtio";
import { barrier, read16, read32, write16, write64 } from "../host/host";
import { segmentAt } from "../segment";
import { QUEUE_BAD_ID, QUEUE_BAD_INDEX, QUEUE_BAD_LENGTH, slotAt, Virtqueue } from "./virtqueue";

/** Bytes of each area for `size` descriptors; the ring of descriptors comes first. */
export function splitDescriptorBytes(size: u32): u32 {
  return size * VringDesc.SIZE;
}
export function splitDriverBytes(size: u32): u32 {
  return VringAvail.ring + size * 2 + 2;
}
export function splitDeviceBytes(size: u32): u32 {
  return VringUsed.ring + size * VringUsedElem.SIZE + 2;
}

/** The state of an empty queue; its memory is zeroed. */
export function splitReset(q: Virtqueue): void {
  q.addIndex = 0;
  q.kickIndex = 0;
  q.takeIndex = 0;
  q.usedIndex = 0;
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function writeDescriptor(at: usize, machine: u64, bytes: u32, flags: u32, next: u32): void {
  write64(at, machine);
  write64(at + VringDesc.len, (<u64>bytes) | ((<u64>flags) << 32) | ((<u64>next) << 48));
}

/** Writes a chain of its own table for `slot`. Returns the bytes that the device may write. */
function writeTable(q: Virtqueue, slot: u32, segments: usize, out: u32, count: u32): u32 {
  const offset = <usize>slot * q.tableEntries * VringDesc.SIZE;
  let writable: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const s = segmentAt(segments, i);
    let flags: u32 = i + 1 < count ? VRING_DESC_F_NEXT : 0;
    if (i >= out) {
      flags |= VRING_DESC_F_WRITE;
      writable += s.bytes;
    }
    writeDescriptor(q.tables + offset + <usize>i * VringDesc.SIZE, s.machine, s.bytes, flags, i + 1);
  }
  writeDescriptor(
    q.ring + <usize>slot * VringDesc.SIZE,
    q.tablesMachine + offset,
    count * VringDesc.SIZE,
    VRING_DESC_F_INDIRECT,
    0,
  );
  return writable;
}

/** Adds a chain; there is room (virtqueueAdd). Its slot. */
export function splitAdd(q: Virtqueue, segments: usize, out: u32, count: u32, indirect: bool): u32 {
  const head = q.freeSlot;
  const slot = slotAt(q, head);
  if (indirect) {
    q.freeSlot = slot.next;
    slot.descriptors = 1;
    slot.writable = writeTable(q, head, segments, out, count);
  } else {
    let writable: u32 = 0;
    let at = head;
    for (let i: u32 = 0; i < count; i++) {
      const s = segmentAt(segments, i);
      const next = slotAt(q, at).next;
      let flags: u32 = i + 1 < count ? VRING_DESC_F_NEXT : 0;
      if (i >= out) {
        flags |= VRING_DESC_F_WRITE;
        writable += s.bytes;
      }
      writeDescriptor(q.ring + <usize>at * VringDesc.SIZE, s.machine, s.bytes, flags, next);
      at = next;
    }
    q.freeSlot = at;
    slot.descriptors = <u16>count;
    slot.writable = writable;
  }
  q.freeDescriptors -= slot.descriptors;
  write16(q.driverArea + VringAvail.ring + <usize>(q.addIndex & (q.size - 1)) * 2, head);
  q.addIndex = (q.addIndex + 1) & 0xffff;
  return head;
}

/** Makes the chains added visible. Returns whether the device wants to be notified. */
export function splitKick(q: Virtqueue): bool {
  const before = q.kickIndex;
  const now = q.addIndex;
  if (before == now) return false;
  write16(q.driverArea + VringAvail.idx, now);
  q.kickIndex = now;
  // The index is written before it is read what the device wants.
  barrier();
  if (!q.eventIndex) return !(read16(q.deviceArea + VringUsed.flags) & VRING_USED_F_NO_NOTIFY);
  const event = read16(q.deviceArea + VringUsed.ring + <usize>q.size * VringUsedElem.SIZE);
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}

/** Takes the next used chain: its slot, or -1 for none or for a fault of the device. */
export function splitTake(q: Virtqueue): i32 {
  if (q.takeIndex == q.usedIndex) {
    const index = read16(q.deviceArea + VringUsed.idx);
    const used = (index - q.takeIndex) & 0xffff;
    if (used == 0) return -1;
    if (used > q.inFlight) {
      q.fault = QUEUE_BAD_INDEX;
      return -1;
    }
    q.usedIndex = index;
  }
  const element = q.deviceArea + VringUsed.ring + <usize>(q.takeIndex & (q.size - 1)) * VringUsedElem.SIZE;
  const id = read32(element + VringUsedElem.id);
  const bytes = read32(element + VringUsedElem.len);
  if (id >= q.size || slotAt(q, id).descriptors == 0) {
    q.fault = QUEUE_BAD_ID;
    return -1;
  }
  const slot = slotAt(q, id);
  if (bytes > slot.writable) {
    q.fault = QUEUE_BAD_LENGTH;
    return -1;
  }
  q.takeIndex = (q.takeIndex + 1) & 0xffff;
  q.takenBytes = bytes;
  release(q, id);
  return <i32>id;
}

/** Frees a chain's descriptors: they are linked from its head on. */
function release(q: Virtqueue, head: u32): void {
  const slot = slotAt(q, head);
  let tail = head;
  for (let i: u32 = 1; i < slot.descriptors; i++) tail = slotAt(q, tail).next;
  slotAt(q, tail).next = <u16>q.freeSlot;
  q.freeSlot = head;
  q.freeDescriptors += slot.descriptors;
  slot.descriptors = 0;
}

/** Whether anything was used that was not taken. */
export function splitPending(q: Virtqueue): bool {
  return read16(q.deviceArea + VringUsed.idx) != q.takeIndex;
}

/** Asks for no interrupts. With event indexes one may still come: the event is not moved on. */
export function splitQuiet(q: Virtqueue): void {
  if (!q.eventIndex) write16(q.driverArea + VringAvail.flags, VRING_AVAIL_F_NO_INTERRUPT);
}

/** Asks for an interrupt once `after` more chains than one are used, or with the next one where that cannot be asked for. */
export function splitListen(q: Virtqueue, after: u32): void {
  if (q.eventIndex) {
    write16(q.driverArea + VringAvail.ring + <usize>q.size * 2, (q.takeIndex + after) & 0xffff);
  } else {
    write16(q.driverArea + VringAvail.flags, 0);
  }
}
