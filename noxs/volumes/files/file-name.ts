/**
 * Finding a name in a directory's entries: long names (VFAT) and short ones, letters of ASCII without regard to case. A name with
 * characters that are not of ASCII is found by its short name only.
 */
import {
  FAT_ATTRIBUTE_VOLUME,
  FAT_ATTRIBUTES,
  FAT_ATTRIBUTES_LONG,
  FAT_DELETED,
  FAT_END,
  FAT_LONG_CHARACTERS,
  FAT_LONG_LAST,
  FAT_LONG_PARTS,
  FatEntry,
  FatLongEntry,
} from "../../../abi/io/fat";

/** What is looked for, and what is known of the long name that is being read. */
@unmanaged
export class NameSearch {
  text: usize; // ASCII
  length: u32;
  /** Order of the part that comes next, 1 for the last one; 0: none, the name is complete. */
  next: u32;
  begun: u32; // 1: `next` and what follows mean something
  equal: u32; // 1: so far it is the name that is looked for
  checksum: u32; // of the short name that it belongs to
}

/** Begins to look for a name, of `length` bytes, in a directory. */
export function nameSearch(s: NameSearch, text: usize, length: u32): void {
  s.text = text;
  s.length = length;
  s.begun = 0;
}

/** An entry's file is the one that is looked for. */
export const NAME_FOUND: u32 = 1;
/** There are no entries behind this one. */
export const NAME_END: u32 = 2;

/** The next entry of the directory: 0, NAME_FOUND or NAME_END. */
export function nameEntry(s: NameSearch, entry: usize): u32 {
  const first = <u32>load<u8>(entry, FatEntry.name);
  if (first == FAT_END) return NAME_END;
  const attributes = (<u32>load<u8>(entry, FatEntry.attributes)) & FAT_ATTRIBUTES;
  if (first == FAT_DELETED) {
    s.begun = 0;
    return 0;
  }
  if (attributes == FAT_ATTRIBUTES_LONG) {
    longPart(s, entry);
    return 0;
  }
  const long = s.begun && !s.next && s.equal && s.checksum == shortChecksum(entry);
  s.begun = 0;
  if (attributes & FAT_ATTRIBUTE_VOLUME) return 0;
  return long || shortEqual(s, entry) ? NAME_FOUND : 0;
}

function upper(c: u32): u32 {
  return c - 0x61 < 26 ? c - 0x20 : c;
}

/** Character `i` of what is looked for, upper case; 0 behind its end. */
function wanted(s: NameSearch, i: u32): u32 {
  return i < s.length ? upper(load<u8>(s.text + i)) : 0;
}

/** A part of a long name: the last one first. */
function longPart(s: NameSearch, entry: usize): void {
  const order = <u32>load<u8>(entry, FatLongEntry.order);
  const part = order & ~FAT_LONG_LAST;
  const checksum = <u32>load<u8>(entry, FatLongEntry.checksum);
  if (part == 0 || part > FAT_LONG_PARTS) {
    s.begun = 0;
    return;
  }
  if (order & FAT_LONG_LAST) {
    s.begun = 1;
    s.checksum = checksum;
    // A name that fills its last part has no NUL behind it.
    s.equal = (s.length + FAT_LONG_CHARACTERS - 1) / FAT_LONG_CHARACTERS == part ? 1 : 0;
  } else if (!s.begun || part != s.next || checksum != s.checksum) {
    s.begun = 0;
    return;
  }
  s.next = part - 1;
  const from = (part - 1) * FAT_LONG_CHARACTERS;
  for (let i: u32 = 0; i < FAT_LONG_CHARACTERS && s.equal && from + i <= s.length; i++) {
    if (upper(longCharacter(entry, i)) != wanted(s, from + i)) s.equal = 0;
  }
}

/** Character `i` of a part of a long name. */
function longCharacter(entry: usize, i: u32): u32 {
  const at =
    i < 5
      ? FatLongEntry.characters0 + i * 2
      : i < 11
        ? FatLongEntry.characters5 + (i - 5) * 2
        : FatLongEntry.characters11 + (i - 11) * 2;
  return load<u16>(entry + at);
}

/** By which a long name knows its short one. */
function shortChecksum(entry: usize): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < 11; i++) sum = (((sum & 1) << 7) + (sum >> 1) + load<u8>(entry + i)) & 0xff;
  return sum;
}

/** Whether an entry's short name is what is looked for. */
function shortEqual(s: NameSearch, entry: usize): bool {
  let base: u32 = 8;
  while (base > 0 && load<u8>(entry + base - 1) == 0x20) base--;
  let extension: u32 = 3;
  while (extension > 0 && load<u8>(entry + 8 + extension - 1) == 0x20) extension--;
  const length = extension ? base + 1 + extension : base;
  if (!base || length != s.length) return false;
  for (let i: u32 = 0; i < length; i++) {
    const c: u32 = i < base ? load<u8>(entry + i) : i == base ? 0x2e : load<u8>(entry + 8 + (i - base - 1));
    if (upper(c) != wanted(s, i)) return false;
  }
  return true;
}
