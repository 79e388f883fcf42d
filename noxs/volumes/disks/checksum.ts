/**
 * CRC32C (Castagnoli), by which blocks of a volume store are checked, and CRC32 (ISO 3309), by which GPTs are. Both reflected, with
 * initial value and final inversion of all ones. CRC32C takes eight bytes a step ("slicing by 8", Kounavis and Berry 2005).
 */

const CASTAGNOLI: u32 = 0x82f63b78;
const ISO_3309: u32 = 0xedb88320;
const TABLE: usize = 1024;

/** Eight tables of CRC32C: table n gives the effect of a byte that is followed by n bytes. */
const castagnoli: usize = memory.data(8 * 1024, 8);
const iso3309: usize = memory.data(1024, 8);

/** Fills the tables; before anything else of this file. */
export function checksumInit(): void {
  fill(iso3309, ISO_3309);
  fill(castagnoli, CASTAGNOLI);
  for (let n: usize = 1; n < 8; n++) {
    for (let i: usize = 0; i < 256; i++) {
      const shorter = load<u32>(castagnoli + (n - 1) * TABLE + (i << 2));
      store<u32>(
        castagnoli + n * TABLE + (i << 2),
        (shorter >> 8) ^ load<u32>(castagnoli + (((<usize>shorter) & 0xff) << 2)),
      );
    }
  }
}

function fill(table: usize, polynomial: u32): void {
  for (let i: u32 = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >> 1) ^ polynomial : value >> 1;
    store<u32>(table + ((<usize>i) << 2), value);
  }
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function entry(table: usize, index: u32): u32 {
  return load<u32>(castagnoli + table * TABLE + ((<usize>(index & 0xff)) << 2));
}

/** CRC32C of `bytes` bytes, a multiple of 8, at `ptr`, which is aligned to 8. */
export function crc32c(ptr: usize, bytes: u32): u32 {
  let value: u32 = 0xffffffff;
  for (const end = ptr + bytes; ptr < end; ptr += 8) {
    const low = load<u32>(ptr) ^ value;
    const high = load<u32>(ptr, 4);
    value =
      entry(7, low) ^
      entry(6, low >> 8) ^
      entry(5, low >> 16) ^
      entry(4, low >> 24) ^
      entry(3, high) ^
      entry(2, high >> 8) ^
      entry(1, high >> 16) ^
      entry(0, high >> 24);
  }
  return ~value;
}

/** CRC32 of any number of bytes, continued from `before`, the CRC32 of what comes before them (0: nothing). */
export function crc32(before: u32, ptr: usize, bytes: u32): u32 {
  let value = ~before;
  for (let i: u32 = 0; i < bytes; i++) {
    value = (value >> 8) ^ load<u32>(iso3309 + ((<usize>((value ^ load<u8>(ptr + i)) & 0xff)) << 2));
  }
  return ~value;
}
