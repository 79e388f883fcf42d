/** Names for code addresses: from an ELF image's symbol table, or a System.map of a Linux build. */
import type { Image } from "../builder/image.ts";
import { decodeUtf8 } from "../text.ts";

/** A symbol at or below an address. */
export interface Symbol {
  name: string;
  offset: bigint;
}

/** Names for several addresses; undefined for those without. */
export type Symbols = (addresses: bigint[]) => (Symbol | undefined)[];

const SHT_SYMTAB = 2;
const SHF_EXECINSTR = 4;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
const NAME_MAX = 255;
/** Symbols read at a time. */
const BATCH = 512;
/** Sizes and counts that no image of ours has. */
const SECTIONS_MAX = 65536;
/** Assumed size of a symbol without a size. */
const LABEL_REACH = 1n << 20n;

/** The symbols of an image of either kind; null if it has none. */
export function openSymbols(image: Image): Symbols | null {
  const start = image.read(0, Math.min(image.size, 20));
  const magic = start[0] === 0x7f && start[1] === 0x45 && start[2] === 0x4c && start[3] === 0x46;
  if (magic) return elfSymbols(image);
  return /^[0-9a-f]{8,16} [A-Za-z?] \S/.test(decodeUtf8(start)) ? mapSymbols(image) : null;
}

interface Section {
  offset: number;
  size: number;
}

/** Reads `length` bytes if the image has them. */
function bytesAt(image: Image, offset: number, length: number): DataView | null {
  if (!(offset >= 0 && length >= 0 && offset + length <= image.size)) return null;
  const bytes = image.read(offset, length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function elfSymbols(image: Image): Symbols | null {
  const ident = bytesAt(image, 0, 64);
  if (ident === null) return null;
  const wide = ident.getUint8(4) === 2;
  const number = (view: DataView, at: number) =>
    view.getUint32(at, true) + (wide ? view.getUint32(at + 4, true) * 0x100000000 : 0);
  const entry = wide ? 64 : 40;
  const count = ident.getUint16(wide ? 60 : 48, true);
  if (count === 0 || count > SECTIONS_MAX || ident.getUint16(wide ? 58 : 46, true) !== entry) return null;
  const headers = bytesAt(image, number(ident, wide ? 40 : 32), count * entry);
  if (headers === null) return null;
  const section = (i: number): Section => ({
    offset: number(headers, i * entry + (wide ? 24 : 16)),
    size: number(headers, i * entry + (wide ? 32 : 20)),
  });
  const executable = new Set<number>();
  let table: Section | null = null;
  let names: Section | null = null;
  for (let i = 0; i < count; i++) {
    if ((headers.getUint32(i * entry + 8, true) & SHF_EXECINSTR) !== 0) executable.add(i);
    if (headers.getUint32(i * entry + 4, true) !== SHT_SYMTAB) continue;
    const link = headers.getUint32(i * entry + (wide ? 40 : 24), true);
    if (link >= count) return null;
    table = section(i);
    names = section(link);
  }
  if (table === null || names === null) return null;
  if (table.offset + table.size > image.size || names.offset + names.size > image.size) return null;
  const { offset: tableAt, size: tableSize } = table;
  const strings = names;
  return (addresses) =>
    nearest(
      addresses,
      (each) => {
        const size = wide ? 24 : 16;
        for (let at = 0; at + size <= tableSize; at += BATCH * size) {
          const batch = bytesAt(image, tableAt + at, Math.min(BATCH * size, tableSize - at))!;
          for (let i = 0; i + size <= batch.byteLength; i += size) {
            const type = batch.getUint8(i + (wide ? 4 : 12)) & 15;
            if (type !== STT_FUNC && type !== STT_NOTYPE) continue;
            if (!executable.has(batch.getUint16(i + (wide ? 6 : 14), true))) continue;
            const value = i + (wide ? 8 : 4);
            const low = batch.getUint32(value, true);
            const high = wide ? batch.getUint32(value + 4, true) : 0;
            each(high, low, batch.getUint32(i + (wide ? 16 : 8), true), batch.getUint32(i, true));
          }
        }
      },
      (name) => text(image, strings, name),
    );
}

/** The NUL-terminated name at an offset of the string table. */
function text(image: Image, { offset, size }: Section, name: number): string {
  if (name >= size) return "";
  const bytes = image.read(offset + name, Math.min(NAME_MAX, size - name));
  const end = bytes.indexOf(0);
  return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end));
}

interface Best {
  high: number;
  low: number;
  size: number;
  name: number;
}

/**
 * For each address the symbol with the highest value not above it, in one pass over all symbols: a symbol is noted at
 * the first address that it could name, and handed on upwards at the end.
 */
function nearest(
  addresses: bigint[],
  forEachSymbol: (each: (high: number, low: number, size: number, name: number) => void) => void,
  nameOf: (name: number) => string,
): (Symbol | undefined)[] {
  const sorted = [...new Set(addresses)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const highs = sorted.map((address) => Number(address >> 32n));
  const lows = sorted.map((address) => Number(address & 0xffffffffn));
  const best: (Best | undefined)[] = sorted.map(() => undefined);
  const above = (high: number, low: number, { high: h, low: l }: Best) => high > h || (high === h && low > l);
  forEachSymbol((high, low, size, name) => {
    let from = 0;
    for (let to = sorted.length; from < to;) {
      const middle = (from + to) >> 1;
      if (highs[middle]! > high || (highs[middle] === high && lows[middle]! >= low)) to = middle;
      else from = middle + 1;
    }
    if (from === sorted.length) return;
    const now = best[from];
    // Of several symbols at one place, one with a size says more.
    const same = now !== undefined && now.high === high && now.low === low;
    if (now === undefined || above(high, low, now) || (same && now.size === 0)) best[from] = { high, low, size, name };
  });
  const found = new Map<bigint, Symbol>();
  let last: Best | undefined;
  sorted.forEach((address, i) => {
    const own = best[i];
    if (own !== undefined && (last === undefined || above(own.high, own.low, last))) last = own;
    if (last === undefined) return;
    const offset = address - ((BigInt(last.high) << 32n) | BigInt(last.low));
    if (offset >= (last.size === 0 ? LABEL_REACH : BigInt(last.size))) return;
    const name = nameOf(last.name);
    if (name !== "") found.set(address, { name, offset });
  });
  return addresses.map((address) => found.get(address));
}

/** A System.map is sorted by address: each address is searched for by halving the file. */
function mapSymbols(image: Image): Symbols {
  return (addresses) => addresses.map((address) => searchMap(image, address));
}

const LINE_MAX = 512;
const WINDOW = 4096;

interface Line {
  start: number;
  end: number;
  address: bigint;
  type: string;
  name: string;
}

/** The line that begins at `start`; null behind the last one, or where there is none of the form. */
function lineFrom(image: Image, start: number): Line | null {
  if (start >= image.size) return null;
  const bytes = image.read(start, Math.min(LINE_MAX, image.size - start));
  const length = bytes.indexOf(10);
  const match = /^([0-9a-f]{1,16}) (\S) (\S+)/.exec(decodeUtf8(length < 0 ? bytes : bytes.subarray(0, length)));
  if (match === null) return null;
  const end = start + (length < 0 ? bytes.length : length + 1);
  return { start, end, address: BigInt(`0x${match[1]}`), type: match[2]!, name: match[3]! };
}

/** Where the line begins that has the byte at `position`. */
function lineStart(image: Image, position: number): number {
  const from = Math.max(0, position - LINE_MAX);
  const bytes = image.read(from, position - from);
  return from + bytes.lastIndexOf(10) + 1;
}

function searchMap(image: Image, address: bigint): Symbol | undefined {
  let low = 0;
  let high = image.size;
  // The last line at or below the address begins in [low, high).
  while (high - low > WINDOW) {
    const line = lineFrom(image, lineStart(image, (low + high) >>> 1));
    if (line === null) return undefined;
    if (line.address > address) high = line.start;
    else if (line.end > low && line.start > low) low = line.start;
    else break;
  }
  let best: Line | null = null;
  for (let line = lineFrom(image, low); line !== null && line.address <= address; line = lineFrom(image, line.end)) {
    if (/[tTwW]/.test(line.type)) best = line;
  }
  if (best === null || address - best.address >= LABEL_REACH) return undefined;
  return { name: best.name, offset: address - best.address };
}
