/**
 * Kernel images: ELF32 and ELF64 executables for x86 that carry a Xen PVH entry note, and ELF64 ones that can be PVHv1 guests
 * (pv-image.ts). Every field is checked before it is used: images come from the user.
 *
 * Source: System V ABI chapters 4 and 5 (object files, program loading), xen/elfnote.h.
 */
import { hex } from "../text.ts";
import { PAGE_SIZE } from "../window.ts";
import { XEN_ELFNOTE_PHYS32_ENTRY } from "../../../abi/elfnote.ts";
import { BuildError } from "./build-error.ts";
import { addXenNotes, noteNumber, type NoteRegion, textOf, type XenNotes } from "./elf-notes.ts";
import type { Image } from "./image.ts";
import { pvPhysical, pvPlace, type PvPlace } from "./pv-image.ts";

/** A part of the image to be placed in guest memory. */
export interface Segment {
  /** Guest-physical address of its first byte. */
  address: number;
  /** Bytes it takes in memory; those beyond fileSize are zero. */
  memorySize: number;
  fileOffset: number;
  fileSize: number;
}

/** The properties of a PVH kernel that the domain builder needs. */
export interface PvhKernel {
  kind: "pvh";
  /** Guest-physical address of the 32-bit PVH entry point. */
  entry: number;
  /** Segments with bytes in memory, by ascending address, without overlaps. */
  segments: Segment[];
}

/** Those of a PVHv1 kernel. */
export interface PvKernel {
  kind: "pvhv1";
  /** Virtual address at which guest-physical 0 is to be mapped. */
  virtBase: bigint;
  /** Guest-physical addresses of the 64-bit entry point, and of the hypercall page; null: it has none made. */
  entry: number;
  hypercallPage: number | null;
  segments: Segment[];
}

export type Kernel = PvhKernel | PvKernel;

const CLASS32 = 1;
const CLASS64 = 2;
const LITTLE_ENDIAN = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_NOTE = 7;
/** The section in which kernels before ELF notes described themselves to Xen, and the most of it that is read. */
const GUEST_SECTION = "__xen_guest";
const GUEST_SECTION_MAX = 4096;
/** A size or offset above this is nonsense, and sums of two stay exact. */
const MAX_OFFSET = 2 ** 52;

const MACHINES: Record<number, string> = {
  2: "SPARC",
  8: "MIPS",
  20: "PowerPC",
  21: "64-bit PowerPC",
  22: "S390",
  40: "32-bit ARM",
  50: "Itanium",
  183: "64-bit ARM",
  243: "RISC-V",
  258: "LoongArch",
};

/** Offsets of the fields we read, by ELF class: [offset, width in bytes]. */
interface Layout {
  headerSize: number;
  entry: Field;
  phoff: Field;
  shoff: Field;
  phentsize: number;
  phnum: number;
  shentsize: number;
  shnum: number;
  shstrndx: number;
  programHeader: { size: number; offset: Field; paddr: Field; filesz: Field; memsz: Field; align: Field };
  sectionHeader: { size: number; offset: Field; sectionSize: Field; align: Field };
}
type Field = [number, 4 | 8];

const LAYOUT32: Layout = {
  headerSize: 52,
  entry: [24, 4],
  phoff: [28, 4],
  shoff: [32, 4],
  phentsize: 42,
  phnum: 44,
  shentsize: 46,
  shnum: 48,
  shstrndx: 50,
  programHeader: { size: 32, offset: [4, 4], paddr: [12, 4], filesz: [16, 4], memsz: [20, 4], align: [28, 4] },
  sectionHeader: { size: 40, offset: [16, 4], sectionSize: [20, 4], align: [32, 4] },
};
const LAYOUT64: Layout = {
  headerSize: 64,
  entry: [24, 8],
  phoff: [32, 8],
  shoff: [40, 8],
  phentsize: 54,
  phnum: 56,
  shentsize: 58,
  shnum: 60,
  shstrndx: 62,
  programHeader: { size: 56, offset: [8, 8], paddr: [24, 8], filesz: [32, 8], memsz: [40, 8], align: [48, 8] },
  sectionHeader: { size: 64, offset: [24, 8], sectionSize: [32, 8], align: [48, 8] },
};

/** Bytes with little-endian accessors. */
class Fields {
  private readonly view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  field([offset, width]: Field): number {
    const low = this.u32(offset);
    return width === 4 ? low : this.u32(offset + 4) * 0x100000000 + low;
  }

  /** As `field`, exact beyond 2^53. */
  address([offset, width]: Field): bigint {
    return width === 4 ? BigInt(this.u32(offset)) : this.view.getBigUint64(offset, true);
  }
}

/**
 * Reads a kernel image's headers.
 * @throws BuildError describing the error in the image
 */
export function parseKernel(image: Image): Kernel {
  const layout = checkIdentity(image);
  const header = new Fields(image.read(0, layout.headerSize));
  const programHeaders = readTable(
    image,
    "program header",
    header.field(layout.phoff),
    header.u16(layout.phnum),
    header.u16(layout.phentsize),
    layout.programHeader.size,
  );
  if (programHeaders.length === 0) throw new BuildError(`${image.name}: it has no program headers: nothing to load`);

  const segments: Segment[] = [];
  const notes: NoteRegion[] = [];
  for (const entry of programHeaders) {
    const type = entry.u32(0);
    if (type === PT_LOAD) {
      const segment = readSegment(image, layout, entry);
      if (segment.memorySize > 0) segments.push(segment);
    } else if (type === PT_NOTE) {
      const { offset, filesz, align } = layout.programHeader;
      notes.push(readRegion(image, "note segment", entry.field(offset), entry.field(filesz), entry.field(align)));
    }
  }
  if (segments.length === 0) throw new BuildError(`${image.name}: it has no loadable segments`);
  segments.sort((a, b) => a.address - b.address);
  checkOverlaps(image, segments);

  const xen = xenNotes(image, notes, () => sectionNotes(image, layout, header));
  const pvh = noteNumber(xen, XEN_ELFNOTE_PHYS32_ENTRY);
  if (pvh !== undefined) {
    const entry = Number(pvh);
    checkWithin(image, "PVH entry point", entry, segments);
    return { kind: "pvh", entry, segments };
  }
  const section = xen.size === 0 ? guestSection(image, layout, header) : undefined;
  const place = pvPlace(image.name, xen, section, header.address(layout.entry));
  if (place === null) {
    throw new BuildError(
      `${image.name}: it has no XEN_ELFNOTE_PHYS32_ENTRY note: not a PVH kernel (Linux: CONFIG_PVH=y)`,
    );
  }
  if (layout !== LAYOUT64) throw new BuildError(`${image.name}: a 32-bit PV kernel: PVHv1 guests are 64-bit`);
  return pvKernel(image, place, segments);
}

/** A PVHv1 kernel, its segments at their guest-physical addresses. */
function pvKernel(image: Image, place: PvPlace, segments: Segment[]): PvKernel {
  const { virtBase, paddrOffset } = place;
  const [first] = segments as [Segment, ...Segment[]];
  if (first.address < paddrOffset) {
    throw new BuildError(
      `${image.name}: the segment at ${hex(first.address)} is below its physical offset ${hex(paddrOffset)}`,
    );
  }
  const moved = segments.map((segment) => ({ ...segment, address: segment.address - paddrOffset }));
  const last = moved[moved.length - 1]!;
  const size = last.address + last.memorySize;
  const entry = pvPhysical(image.name, "entry point", place, place.entry, size);
  checkWithin(image, "entry point", entry, moved);
  const hypercallPage =
    place.hypercallPage === undefined
      ? null
      : pvPhysical(image.name, "hypercall page", place, place.hypercallPage, size);
  if (hypercallPage !== null && hypercallPage % PAGE_SIZE !== 0) {
    throw new BuildError(`${image.name}: damaged: its hypercall page is at ${hex(hypercallPage)}, which is no page`);
  }
  return { kind: "pvhv1", virtBase, entry, hypercallPage, segments: moved };
}

/** Refuses an address that is not in a segment's bytes. */
function checkWithin(image: Image, what: string, address: number, segments: Segment[]): void {
  if (segments.some((segment) => address >= segment.address && address < segment.address + segment.fileSize)) return;
  throw new BuildError(`${image.name}: its ${what} ${hex(address)} is outside its segments`);
}

/** Checks magic, class, byte order, machine and type; returns the layout of its class. */
function checkIdentity(image: Image): Layout {
  if (image.size < 16) throw new BuildError(`${image.name}: not a kernel image: only ${image.size} bytes long`);
  const ident = image.read(0, Math.min(image.size, 1024));
  if (ident[0] !== 0x7f || ident[1] !== 0x45 || ident[2] !== 0x4c || ident[3] !== 0x46) {
    throw new BuildError(`${image.name}: ${describeForeignFile(ident)}`);
  }
  const wide = ident[4] === CLASS64;
  if (!wide && ident[4] !== CLASS32) throw new BuildError(`${image.name}: damaged ELF header: class ${ident[4]}`);
  if (ident[5] !== LITTLE_ENDIAN) {
    throw new BuildError(`${image.name}: made for another architecture: a big-endian one; x86 is needed`);
  }
  const layout = wide ? LAYOUT64 : LAYOUT32;
  if (image.size < layout.headerSize) throw new BuildError(`${image.name}: truncated: it ends inside its ELF header`);
  const header = new Fields(ident);
  const type = header.u16(16);
  const machine = header.u16(18);
  if (machine !== EM_386 && machine !== EM_X86_64) {
    const name = MACHINES[machine] ?? `ELF machine ${machine}`;
    throw new BuildError(`${image.name}: made for another architecture: ${name}; x86 is needed`);
  }
  if (type !== ET_EXEC && type !== ET_DYN) {
    const what = type === 1 ? "an object file that was not linked" : type === 4 ? "a core dump" : `ELF type ${type}`;
    throw new BuildError(`${image.name}: not an executable but ${what}`);
  }
  return layout;
}

/** What a file that is no ELF file seems to be. */
function describeForeignFile(start: Uint8Array): string {
  const at = (offset: number, text: string) => [...text].every((c, i) => start[offset + i] === c.charCodeAt(0));
  if (start[0] === 0x1f && start[1] === 0x8b) return "compressed with gzip; decompress it first";
  if (at(1, "7zXZ")) return "compressed with xz; decompress it first";
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) {
    return "compressed with zstd; decompress it first";
  }
  if (at(0, "MZ")) return "a DOS, Windows or UEFI executable; an ELF file is needed";
  return "not an ELF file";
}

/** The entries of the program or section header table, each as a record of its own. */
function readTable(
  image: Image,
  what: string,
  offset: number,
  entries: number,
  entrySize: number,
  needed: number,
): Fields[] {
  if (entries === 0) return [];
  if (entrySize < needed) throw new BuildError(`${image.name}: damaged: ${what}s of ${entrySize} bytes, not ${needed}`);
  const end = offset + entries * entrySize;
  if (offset > MAX_OFFSET || end > image.size) {
    throw new BuildError(`${image.name}: truncated or damaged: its ${what}s lie beyond the end of the file`);
  }
  const table = image.read(offset, entries * entrySize);
  return Array.from({ length: entries }, (_, i) => new Fields(table.subarray(i * entrySize, (i + 1) * entrySize)));
}

function readSegment(image: Image, layout: Layout, entry: Fields): Segment {
  const fields = layout.programHeader;
  const segment: Segment = {
    address: entry.field(fields.paddr),
    memorySize: entry.field(fields.memsz),
    fileOffset: entry.field(fields.offset),
    fileSize: entry.field(fields.filesz),
  };
  const where = `the segment at ${hex(segment.address)}`;
  if (segment.fileSize > segment.memorySize) {
    throw new BuildError(`${image.name}: damaged: ${where} has more bytes in the file than in memory`);
  }
  if (segment.address > MAX_OFFSET || segment.memorySize > MAX_OFFSET) {
    throw new BuildError(`${image.name}: damaged: ${where} has an impossible address or size`);
  }
  if (segment.fileSize > 0 && (segment.fileOffset > MAX_OFFSET || segment.fileOffset + segment.fileSize > image.size)) {
    throw new BuildError(`${image.name}: truncated: the file ends inside ${where}`);
  }
  return segment;
}

function readRegion(image: Image, what: string, offset: number, size: number, align: number): NoteRegion {
  if (offset > MAX_OFFSET || size > MAX_OFFSET || offset + size > image.size) {
    throw new BuildError(`${image.name}: truncated: the file ends inside a ${what}`);
  }
  return { bytes: image.read(offset, size), align };
}

function checkOverlaps(image: Image, segments: Segment[]): void {
  for (let i = 1; i < segments.length; i++) {
    const before = segments[i - 1]!;
    const segment = segments[i]!;
    if (before.address + before.memorySize > segment.address) {
      const range = (s: Segment) => `${hex(s.address)}-${hex(s.address + s.memorySize)}`;
      throw new BuildError(`${image.name}: segments overlap: ${range(before)} and ${range(segment)}`);
    }
  }
}

/** The section header table. */
function sectionHeaders(image: Image, layout: Layout, header: Fields): Fields[] {
  return readTable(
    image,
    "section header",
    header.field(layout.shoff),
    header.u16(layout.shnum),
    header.u16(layout.shentsize),
    layout.sectionHeader.size,
  );
}

/** Notes found only through section headers: images whose linker script made no PT_NOTE. */
function sectionNotes(image: Image, layout: Layout, header: Fields): NoteRegion[] {
  const { offset, sectionSize, align } = layout.sectionHeader;
  return sectionHeaders(image, layout, header)
    .filter((section) => section.u32(4) === SHT_NOTE)
    .map((section) =>
      readRegion(image, "note section", section.field(offset), section.field(sectionSize), section.field(align)),
    );
}

/** Xen's notes: those of the note segments, and of the note sections where a PVH entry is not among them. */
function xenNotes(image: Image, regions: NoteRegion[], more: () => NoteRegion[]): XenNotes {
  const damaged = () => new BuildError(`${image.name}: damaged: a note runs past the end of its segment`);
  const notes: XenNotes = new Map();
  addXenNotes(notes, regions, damaged);
  if (!notes.has(XEN_ELFNOTE_PHYS32_ENTRY)) addXenNotes(notes, more(), damaged);
  return notes;
}

/** Text of the section __xen_guest, undefined when there is none. */
function guestSection(image: Image, layout: Layout, header: Fields): string | undefined {
  const sections = sectionHeaders(image, layout, header);
  const names = sections[header.u16(layout.shstrndx)];
  if (names === undefined) return undefined;
  const { offset, sectionSize, align } = layout.sectionHeader;
  const region = (section: Fields, most: number) => {
    const size = Math.min(section.field(sectionSize), most);
    return readRegion(image, "section", section.field(offset), size, section.field(align)).bytes;
  };
  const table = region(names, Infinity);
  const found = sections.find(
    (section) => textOf(table.subarray(section.u32(0), section.u32(0) + 16)) === GUEST_SECTION,
  );
  return found === undefined ? undefined : textOf(region(found, GUEST_SECTION_MAX));
}
