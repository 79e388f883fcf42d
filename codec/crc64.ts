/** CRC-64 of xz (ECMA-182, reflected polynomial C96C5795D7870F42), four bytes at a time by as many tables. */
const TABLES: u32 = 4;
const TABLE_BYTES: u32 = 2048;

const table: usize = memory.data(4 * 2048, 8);

/** Fills the tables, once in a run. */
export function crc64Init(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let value: u64 = i;
    for (let bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xc96c5795d7870f42 : 0);
    store<u64>(table + (i << 3), value);
  }
  for (let i: u32 = 0; i < 256; i++) {
    let value = load<u64>(table + (i << 3));
    for (let t: u32 = 1; t < TABLES; t++) {
      value = (value >> 8) ^ load<u64>(table + (((<u32>value) & 255) << 3));
      store<u64>(table + t * TABLE_BYTES + (i << 3), value);
    }
  }
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function at(t: u32, index: u32): u64 {
  return load<u64>(table + t * TABLE_BYTES + ((index & 255) << 3));
}

/** The checksum of [from, end) following data whose checksum is `sum` (0 at first). */
export function crc64(sum: u64, from: u32, end: u32): u64 {
  let crc = ~sum;
  while (end - from >= 4) {
    const low = (<u32>crc) ^ load<u32>(from);
    crc = (crc >> 32) ^ at(3, low) ^ at(2, low >> 8) ^ at(1, low >> 16) ^ at(0, low >> 24);
    from += 4;
  }
  while (from < end) crc = (crc >> 8) ^ at(0, (<u32>crc) ^ load<u8>(from++));
  return ~crc;
}
