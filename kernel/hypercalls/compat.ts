/**
 * Hypercall structures of 32-bit callers. Most of Xen's structures are the same in both modes; those that hold
 * xen_ulong_t, xen_pfn_t or guest handles are not. Handlers see the 64-bit layout only: it is widened when a structure
 * comes in and narrowed when it goes out. A layout lists the widths of a structure's fields in their order; LONG is
 * 4 bytes for a 32-bit caller and 8 for a 64-bit one. As in i386's ABI no field is aligned to more than 4 bytes there.
 */
import { copyFromGuest, copyToGuest } from "../memory/guest-copy";
import { scratch, SCRATCH_BYTES } from "../memory/scratch";
import { Vcpu } from "../records/vcpu";

/** Width of a field that is as wide as the caller's registers. */
export const LONG: u8 = 0;
/** Not a field: a structure within the structure ends here, padded to a register's width. */
export const PAD: u8 = 255;

export type Layout = StaticArray<u8>;

/** Room for the narrow form, at the end of the scratch page. */
const NARROW_BYTES: u32 = 64;

function align(at: u32, width: u32): u32 {
  return (at + width - 1) & ~(width - 1);
}

/** Bytes of a structure in the 32-bit layout. */
function narrowSize(layout: Layout): u32 {
  let at: u32 = 0;
  for (let i = 0; i < layout.length; i++) {
    const field = <u32>unchecked(layout[i]);
    if (field == PAD) {
      at = align(at, 4);
      continue;
    }
    const width = field ? field : 4;
    at = align(at, min(width, 4)) + width;
  }
  return align(at, 4);
}

/** Bytes from one structure to the next in a caller's array; `size` is the 64-bit one's. */
export function structureSize(v: Vcpu, size: u32, layout: Layout): u32 {
  return v.hypercallCompat ? narrowSize(layout) : size;
}

/** Moves every field between the two forms. Fields that are narrower in memory are zero-extended. */
function convert(wide: usize, narrow: usize, layout: Layout, widen: bool): void {
  let w: u32 = 0;
  let n: u32 = 0;
  for (let i = 0; i < layout.length; i++) {
    const field = <u32>unchecked(layout[i]);
    if (field == PAD) {
      w = align(w, 8);
      n = align(n, 4);
      continue;
    }
    const wideWidth = field ? field : 8;
    const width = field ? field : 4;
    w = align(w, wideWidth);
    n = align(n, min(width, 4));
    if (widen) {
      if (!field) store<u64>(wide + w, load<u32>(narrow + n));
      else memory.copy(wide + w, narrow + n, width);
    } else {
      memory.copy(narrow + n, wide + w, width);
    }
    w += wideWidth;
    n += width;
  }
}

/** Copies a structure of `size` bytes (in the 64-bit layout) to `ptr`; false where the guest has no memory for it. */
export function copyStructureFrom(v: Vcpu, ptr: usize, gva: u64, size: u32, layout: Layout): bool {
  if (!v.hypercallCompat) return copyFromGuest(v, ptr, gva, size);
  const narrow = scratch(v) + (SCRATCH_BYTES - NARROW_BYTES);
  const bytes = narrowSize(layout);
  assert(bytes <= NARROW_BYTES, "a structure is larger than the room for its 32-bit form");
  if (!copyFromGuest(v, narrow, gva, bytes)) return false;
  convert(ptr, narrow, layout, true);
  return true;
}

/** Copies a structure from `ptr` to the guest; false where it has no memory for it. */
export function copyStructureTo(v: Vcpu, gva: u64, ptr: usize, size: u32, layout: Layout): bool {
  if (!v.hypercallCompat) return copyToGuest(v, gva, ptr, size);
  const narrow = scratch(v) + (SCRATCH_BYTES - NARROW_BYTES);
  const bytes = narrowSize(layout);
  // Padding between the fields is left unchanged in guest memory.
  if (!copyFromGuest(v, narrow, gva, bytes)) return false;
  convert(ptr, narrow, layout, false);
  return copyToGuest(v, gva, narrow, bytes);
}

/** Copies element `index` of a list of xen_ulong_t or xen_pfn_t to the u64 at `ptr`. */
export function copyLongFrom(v: Vcpu, ptr: usize, list: u64, index: u64): bool {
  if (!v.hypercallCompat) return copyFromGuest(v, ptr, list + (index << 3), 8);
  store<u64>(ptr, 0);
  return copyFromGuest(v, ptr, list + (index << 2), 4);
}

/** Copies the u64 at `ptr` to element `index` of a list of xen_ulong_t or xen_pfn_t, cut to the caller's width. */
export function copyLongTo(v: Vcpu, list: u64, index: u64, ptr: usize): bool {
  return v.hypercallCompat ? copyToGuest(v, list + (index << 2), ptr, 4) : copyToGuest(v, list + (index << 3), ptr, 8);
}
