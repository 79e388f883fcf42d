/**
 * A set of domain ids, 0 .. 0x7FFF: a bit for each id, and above them a bit for each word that is not zero. Finding the
 * next or previous id takes a dozen steps regardless of the number of ids.
 */

/** Bytes of a set, zeroed: 512 words of 64 ids, then 8 words that summarise those. 8-byte aligned. */
export const ID_SET_BYTES: usize = 4096 + 64;
const GROUPS_AT: usize = 4096;
const GROUPS: u32 = 8;

// @ts-expect-error: decorator of AssemblyScript
@inline
function wordAt(set: usize, id: u32): usize {
  return set + (((<usize>id) >> 6) << 3);
}

// @ts-expect-error: decorator of AssemblyScript
@inline
function groupAt(set: usize, group: u32): usize {
  return set + GROUPS_AT + ((<usize>group) << 3);
}

export function idSetAdd(set: usize, id: u32): void {
  const word = wordAt(set, id);
  const group = groupAt(set, id >> 12);
  store<u64>(word, load<u64>(word) | ((<u64>1) << (id & 63)));
  store<u64>(group, load<u64>(group) | ((<u64>1) << ((id >> 6) & 63)));
}

/** Takes an id out. @returns whether its word of 64 ids is empty now */
export function idSetRemove(set: usize, id: u32): bool {
  const word = wordAt(set, id);
  const rest = load<u64>(word) & ~((<u64>1) << (id & 63));
  store<u64>(word, rest);
  if (rest) return false;
  const group = groupAt(set, id >> 12);
  store<u64>(group, load<u64>(group) & ~((<u64>1) << ((id >> 6) & 63)));
  return true;
}

/** The smallest id of the set that is `from` or larger; -1 for none. */
export function idSetFrom(set: usize, from: u32): i32 {
  if (from > 0x7fff) return -1;
  let word = from >> 6;
  let bits = load<u64>(wordAt(set, from)) & (u64.MAX_VALUE << (from & 63));
  if (!bits) {
    word++;
    let group = word >> 6;
    if (group >= GROUPS) return -1;
    let words = load<u64>(groupAt(set, group)) & (u64.MAX_VALUE << (word & 63));
    while (!words) {
      if (++group >= GROUPS) return -1;
      words = load<u64>(groupAt(set, group));
    }
    word = (group << 6) + <u32>ctz(words);
    bits = load<u64>(set + ((<usize>word) << 3));
  }
  return <i32>((word << 6) + <u32>ctz(bits));
}

/** The largest id of the set below `limit`; -1 for none. */
export function idSetBelow(set: usize, limit: u32): i32 {
  let word = limit >> 6;
  let bits = load<u64>(wordAt(set, limit)) & ~(u64.MAX_VALUE << (limit & 63));
  if (!bits) {
    let group = word >> 6;
    let words = load<u64>(groupAt(set, group)) & ~(u64.MAX_VALUE << (word & 63));
    while (!words) {
      if (!group) return -1;
      words = load<u64>(groupAt(set, --group));
    }
    word = (group << 6) + 63 - <u32>clz(words);
    bits = load<u64>(set + ((<usize>word) << 3));
  }
  return <i32>((word << 6) + 63 - <u32>clz(bits));
}

/** The smallest id from `from` to below `limit` that is not in the set; -1 for none. 64 ids a step. */
export function idSetFree(set: usize, from: u32, limit: u32): i32 {
  for (let word = from >> 6; word << 6 < limit; word++) {
    let free = ~load<u64>(set + ((<usize>word) << 3));
    if (word == from >> 6) free &= u64.MAX_VALUE << (from & 63);
    if (!free) continue;
    const id = (word << 6) + <u32>ctz(free);
    return id < limit ? <i32>id : -1;
  }
  return -1;
}
