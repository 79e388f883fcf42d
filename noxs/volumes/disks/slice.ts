/** Parts of a request's list of segments. */
import { segmentAt, segmentSet } from "../../../drivers/segment";

/** Segments that the last slice has. */
export let sliceCount: u32 = 0;
/** Bytes that it holds. */
export let sliceBytes: u32 = 0;

/**
 * Appends to the list `to`, which has `count` segments, the part of list `from` that begins `offset` bytes into it, until it holds `bytes`
 * more or has `most` segments. The number of segments and of bytes added: sliceCount (with those before), sliceBytes.
 */
export function slice(from: usize, offset: u32, bytes: u32, to: usize, count: u32, most: u32): void {
  let i: u32 = 0;
  let skip = offset;
  while (skip >= segmentAt(from, i).bytes) skip -= segmentAt(from, i++).bytes;
  let done: u32 = 0;
  for (; done < bytes && count < most; i++) {
    const s = segmentAt(from, i);
    const part = min(s.bytes - skip, bytes - done);
    segmentSet(to, count++, s.machine + skip, s.linear ? s.linear + skip : 0, part);
    done += part;
    skip = 0;
  }
  sliceCount = count;
  sliceBytes = done;
}

/** Fills part of a list of segments with zeroes. False when it is not all in memory. */
export function sliceZero(list: usize, offset: u32, bytes: u32): bool {
  let i: u32 = 0;
  let skip = offset;
  let left = bytes;
  while (left) {
    const s = segmentAt(list, i++);
    if (skip >= s.bytes) {
      skip -= s.bytes;
      continue;
    }
    if (!s.linear) return false;
    const part = min(s.bytes - skip, left);
    memory.fill(s.linear + skip, 0, part);
    left -= part;
    skip = 0;
  }
  return true;
}

/** Copies between part of a list of segments and a buffer. False when it is not all in memory. */
export function sliceCopy(list: usize, offset: u32, bytes: u32, buffer: usize, toBuffer: bool): bool {
  let i: u32 = 0;
  let skip = offset;
  let left = bytes;
  while (left) {
    const s = segmentAt(list, i++);
    if (skip >= s.bytes) {
      skip -= s.bytes;
      continue;
    }
    if (!s.linear) return false;
    const part = min(s.bytes - skip, left);
    if (toBuffer) memory.copy(buffer, s.linear + skip, part);
    else memory.copy(s.linear + skip, buffer, part);
    buffer += part;
    left -= part;
    skip = 0;
  }
  return true;
}
