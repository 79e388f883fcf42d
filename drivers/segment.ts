/** A piece of memory for a device: contiguous in the machine, and at a linear address of the module. */
@unmanaged
export class Segment {
  machine: u64;
  linear: usize;
  bytes: u32;
}

/** Segment `index` of an array of them. */
export function segmentAt(array: usize, index: u32): Segment {
  return changetype<Segment>(array + <usize>index * offsetof<Segment>());
}

/** Fills a segment in. */
export function segmentSet(array: usize, index: u32, machine: u64, linear: usize, bytes: u32): void {
  const s = segmentAt(array, index);
  s.machine = machine;
  s.linear = linear;
  s.bytes = bytes;
}
