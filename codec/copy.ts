/** Copies within the output, word by word: up to 15 bytes after the end are overwritten. */

/** Length from which the bulk copy instruction is faster. */
const BULK_MINIMUM: u32 = 128;

/** Copies `length` bytes that do not overlap. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function copyLiterals(to: u32, from: u32, length: u32): void {
  if (length >= BULK_MINIMUM) {
    memory.copy(to, from, length);
    return;
  }
  const end = to + length;
  while (to < end) {
    store<u64>(to, load<u64>(from));
    store<u64>(to + 8, load<u64>(from, 8));
    to += 16;
    from += 16;
  }
}

/** Copies `length` (above 0) bytes from `distance` (above 0) bytes before, as if byte by byte: they may overlap. */
// @ts-expect-error: decorator of AssemblyScript
@inline
export function copyMatch(to: u32, distance: u32, length: u32): void {
  const end = to + length;
  let from = to - distance;
  if (distance < 8) {
    for (let i: u32 = 0; i < 8; i++) store<u8>(to + i, load<u8>(from + i));
    // What repeats every `distance` bytes also repeats after the first multiple of it that is a word or more.
    let step = distance;
    while (step < 8) step += distance;
    to += 8;
    from = to - step;
  }
  while (to < end) {
    store<u64>(to, load<u64>(from));
    to += 8;
    from += 8;
  }
}
