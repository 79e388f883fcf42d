/**
 * A virtqueue's record, of either kind, and its slots. Everything that the driver must know again is here, in the module's own
 * memory: what is in the rings is written for the device, and never read back, but for what the device writes.
 */
/** What a device did wrong with a queue. */
export const QUEUE_FINE: u32 = 0;
export const QUEUE_BAD_INDEX: u32 = 1; // it used more than it was given
export const QUEUE_BAD_ID: u32 = 2; // it used what was not given
export const QUEUE_BAD_LENGTH: u32 = 3; // it wrote more than there was room for

/** A chain of descriptors that the device has, by its id: the head's number in a split queue, the buffer id in a packed one. */
@unmanaged
export class VirtqueueSlot {
  cookie: usize; // the driver's
  writable: u32; // bytes that the device may write
  stamp: u32; // q.clock at the time it was added
  next: u16; // the next free slot; in a split queue also of a chain
  descriptors: u16; // of the ring, that it takes; 0: the device does not have it
}

@unmanaged
export class Virtqueue {
  index: u32;
  size: u32; // descriptors; a power of two in a split queue
  packed: u32;
  eventIndex: u32; // VIRTIO_RING_F_EVENT_IDX
  fault: u32; // QUEUE_*: unless QUEUE_FINE, nothing more is taken from it
  notifyAt: usize; // linear address of its notification register
  memory: usize; // DMA memory of the areas below, allocated for `capacity` descriptors
  capacity: u32;
  ring: usize; // descriptors
  driverArea: usize; // available ring; event suppression of the driver
  deviceArea: usize; // used ring; event suppression of the device
  tables: usize; // indirect descriptors, `tableEntries` for each slot; 0: none
  tablesMachine: u64;
  tableEntries: u32;
  slots: usize; // VirtqueueSlot[capacity]
  freeSlot: u32; // valid while free descriptors are left
  freeDescriptors: u32;
  inFlight: u32; // slots that the device has
  clock: u32; // what added slots are stamped with: the driver's
  progress: u32; // slots taken, in all
  // Split: counts modulo 2^16. Packed: positions in the ring, and the wrap counters.
  addIndex: u32;
  kickIndex: u32; // split: addIndex when the device was last told
  takeIndex: u32;
  usedIndex: u32; // split: the device's used index as last read
  addWrap: u32;
  takeWrap: u32;
  addedSinceKick: u32; // packed: descriptors
  // Of the slot taken last.
  takenCookie: usize;
  takenBytes: u32; // that the device says it wrote
}

// @ts-expect-error: decorator of AssemblyScript
@inline
export function slotAt(q: Virtqueue, slot: u32): VirtqueueSlot {
  return changetype<VirtqueueSlot>(q.slots + <usize>slot * offsetof<VirtqueueSlot>());
}

/** All slots are free, all descriptors too. */
export function slotsReset(q: Virtqueue): void {
  for (let i: u32 = 0; i < q.size; i++) {
    const s = slotAt(q, i);
    s.descriptors = 0;
    s.next = <u16>(i + 1);
  }
  q.freeSlot = 0;
  q.freeDescriptors = q.size;
  q.inFlight = 0;
}

/** What the device did, in words. */
export function faultWords(fault: u32): string {
  switch (fault) {
    case QUEUE_BAD_INDEX:
      return "it used more buffers than it was given";
    case QUEUE_BAD_ID:
      return "it used a buffer that it was not given";
    default:
      return "it wrote more than the buffer holds";
  }
}
