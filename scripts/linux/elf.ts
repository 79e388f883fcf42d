/**
 * What a 64-bit ELF program or library needs to be started: its interpreter and the libraries it names.
 *
 * Source: System V ABI, chapters 4 and 5; elf.h has the same names.
 */

/* File header and program headers. */
const EI_CLASS = 4;
const EI_DATA = 5;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const E_PHOFF = 32;
const E_PHENTSIZE = 54;
const E_PHNUM = 56;
const P_OFFSET = 8;
const P_VADDR = 16;
const P_FILESZ = 32;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;

/* Entries of the dynamic section: a tag and a value, eight bytes each. */
const DYN_BYTES = 16;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_RUNPATH = 29;

export interface ElfNeeds {
  /** Path of the dynamic linker; undefined for libraries and for static programs. */
  interpreter: string | undefined;
  /** Sonames of the libraries it is linked with, in their order. */
  libraries: string[];
  /** Where the dynamic linker looks for them first (DT_RUNPATH): folders, as they are written. */
  folders: string[];
}

interface Segment {
  offset: number;
  address: number;
  size: number;
}

function segments(file: Buffer, type: number): Segment[] {
  const start = Number(file.readBigUInt64LE(E_PHOFF));
  const size = file.readUInt16LE(E_PHENTSIZE);
  const headers = Array.from({ length: file.readUInt16LE(E_PHNUM) }, (_, i) => start + i * size);
  return headers
    .filter((at) => file.readUInt32LE(at) === type)
    .map((at) => ({
      offset: Number(file.readBigUInt64LE(at + P_OFFSET)),
      address: Number(file.readBigUInt64LE(at + P_VADDR)),
      size: Number(file.readBigUInt64LE(at + P_FILESZ)),
    }));
}

function textAt(file: Buffer, offset: number): string {
  const end = file.indexOf(0, offset);
  if (end < 0) throw new RangeError("a name without an end");
  return file.toString("latin1", offset, end);
}

/** True for files that begin as a 64-bit little-endian ELF file does. */
export function isElf64(file: Buffer): boolean {
  const magic = file.length >= 64 && file.toString("latin1", 0, 4) === "\x7fELF";
  return magic && file[EI_CLASS] === ELFCLASS64 && file[EI_DATA] === ELFDATA2LSB;
}

/**
 * Reads what `file` needs.
 * @throws RangeError when the file is not what its headers say
 */
export function elfNeeds(file: Buffer): ElfNeeds {
  const [interp] = segments(file, PT_INTERP);
  const [dynamic] = segments(file, PT_DYNAMIC);
  const interpreter = interp && textAt(file, interp.offset);
  if (dynamic === undefined) return { interpreter, libraries: [], folders: [] };

  const entries: [tag: number, value: number][] = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += DYN_BYTES) {
    const tag = Number(file.readBigInt64LE(at));
    if (tag === DT_NULL) break;
    entries.push([tag, Number(file.readBigUInt64LE(at + 8))]);
  }
  const valuesOf = (wanted: number) => entries.filter(([tag]) => tag === wanted).map(([, value]) => value);
  const names = valuesOf(DT_NEEDED);
  if (names.length === 0) return { interpreter, libraries: [], folders: [] };
  // The table of names is given by its address in memory.
  const table = entries.find(([tag]) => tag === DT_STRTAB)?.[1];
  const home = segments(file, PT_LOAD).find(
    ({ address, size }) => table !== undefined && table >= address && table < address + size,
  );
  if (table === undefined || home === undefined) throw new RangeError("names of libraries, but no table of names");
  const text = (name: number) => textAt(file, home.offset + table - home.address + name);
  const folders = valuesOf(DT_RUNPATH).flatMap((value) => text(value).split(":"));
  return { interpreter, libraries: names.map(text), folders };
}
