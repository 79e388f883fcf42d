/** CRC-32 of gzip and xz (reflected polynomial EDB88320), eight bytes at a time by as many tables. */
const TABLES: u32 = 8;
const TABLE_BYTES: u32 = 1024;

const table: usize = memory.data(8 * 1024, 8);

/** Fills the tables, once in a run. */
export function crc32Init(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xedb88320 : 0);
    store<u32>(table + (i << 2), value);
  }
  for (let i: u32 = 0; i < 256; i++) {
    let value = load<u32>(table + (i << 2));
    for (let t: u32 = 1; t < TABLES; t++) {
      value = (value >> 8) ^ load<u32>(table + ((value & 255) << 2));
      store<u32>(table + t * TABLE_BYTES + (i << 2), value);
    }
  }
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function at(t: u32, index: u32): u32 {
  return load<u32>(table + t * TABLE_BYTES + ((index & 255) << 2));
}

/** The checksum of [from, end) following data whose checksum is `sum` (0 at first). */
export function crc32(sum: u32, from: u32, end: u32): u32 {
  let crc = ~sum;
  while (end - from >= 8) {
    const low = load<u32>(from) ^ crc;
    const high = load<u32>(from, 4);
    crc =
      at(7, low) ^
      at(6, low >> 8) ^
      at(5, low >> 16) ^
      at(4, low >> 24) ^
      at(3, high) ^
      at(2, high >> 8) ^
      at(1, high >> 16) ^
      at(0, high >> 24);
    from += 8;
  }
  while (from < end) crc = (crc >> 8) ^ at(0, crc ^ load<u8>(from++));
  return ~crc;
}
