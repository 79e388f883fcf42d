/** Small ELF images for tests, well-formed until a test spoils them. */
export interface ElfOptions {
  wide?: boolean;
  machine?: number;
  type?: number;
  /** PHYS32_ENTRY; null: no such note. */
  entry?: number | null;
  /** How the note is referenced: by a PT_NOTE, a section header only, or not at all. */
  note?: "segment" | "section";
  noteType?: number;
  /** More notes of Xen's: type and descriptor. */
  notes?: [number, number | bigint | string][];
  /** Entry point in the ELF header. */
  elfEntry?: bigint;
  /** Text of a section __xen_guest. */
  guestSection?: string;
  segments?: { address: number; data: Uint8Array; memorySize?: number }[];
}

/** Offsets in the file, for tests that change single fields. */
export interface ElfFile {
  bytes: Buffer;
  programHeaders: number;
  programHeaderSize: number;
}

const code = Uint8Array.from([0xf4, 0xeb, 0xfd]); // hlt; jmp

export function makeElf(options: ElfOptions = {}): ElfFile {
  const wide = options.wide ?? true;
  const segments = options.segments ?? [{ address: 0x100000, data: code, memorySize: 0x3000 }];
  const entry = options.entry === undefined ? segments[0]!.address : options.entry;
  const asSection = options.note === "section";
  const headerSize = wide ? 64 : 52;
  const phSize = wide ? 56 : 32;
  const shSize = wide ? 64 : 40;
  const notes: [number, number | bigint | string][] = [...(options.notes ?? [])];
  if (entry !== null) notes.unshift([options.noteType ?? 18, entry]);
  const hasNote = notes.length > 0;
  const phCount = segments.length + (hasNote && !asSection ? 1 : 0);
  const note = Buffer.concat(notes.map(([type, value]) => makeNote(type, value)));

  let at = headerSize + phCount * phSize;
  const noteAt = at;
  at += note.length;
  const dataAt = segments.map(({ data }) => {
    at = Math.ceil(at / 16) * 16;
    const offset = at;
    at += data.length;
    return offset;
  });
  const { guestSection } = options;
  // Sections: the note's, or __xen_guest and the table of names.
  const names = Buffer.from("\0__xen_guest\0.shstrtab\0");
  const namesAt = at;
  const guestAt = namesAt + names.length;
  if (guestSection !== undefined) at = guestAt + guestSection.length;
  const sectionsAt = Math.ceil(at / 16) * 16;
  const sections = guestSection !== undefined ? 2 : asSection ? 1 : 0;
  const bytes = Buffer.alloc(sections > 0 ? sectionsAt + sections * shSize : at);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1], 0);
  bytes.writeUInt16LE(options.type ?? 2, 16);
  bytes.writeUInt16LE(options.machine ?? (wide ? 62 : 3), 18);
  bytes.writeUInt32LE(1, 20);
  if (wide) bytes.writeBigUInt64LE(options.elfEntry ?? 0n, 24);
  const word = (offset: number, value: number) => {
    bytes.writeUInt32LE(value >>> 0, offset);
    if (wide) bytes.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4);
  };
  word(wide ? 32 : 28, headerSize);
  bytes.writeUInt16LE(phSize, wide ? 54 : 42);
  bytes.writeUInt16LE(phCount, wide ? 56 : 44);
  const programHeader = (i: number, type: number, offset: number, address: number, file: number, memory: number) => {
    const ph = headerSize + i * phSize;
    bytes.writeUInt32LE(type, ph);
    word(ph + (wide ? 8 : 4), offset);
    word(ph + (wide ? 24 : 12), address);
    word(ph + (wide ? 32 : 16), file);
    word(ph + (wide ? 40 : 20), memory);
    word(ph + (wide ? 48 : 28), 4);
  };
  segments.forEach((segment, i) => {
    const { data } = segment;
    programHeader(i, 1, dataAt[i]!, segment.address, data.length, segment.memorySize ?? data.length);
    bytes.set(data, dataAt[i]);
  });
  if (hasNote) {
    bytes.set(note, noteAt);
    if (asSection) {
      word(wide ? 40 : 32, sectionsAt);
      bytes.writeUInt16LE(shSize, wide ? 58 : 46);
      bytes.writeUInt16LE(1, wide ? 60 : 48);
      bytes.writeUInt32LE(7, sectionsAt + 4);
      word(sectionsAt + (wide ? 24 : 16), noteAt);
      word(sectionsAt + (wide ? 32 : 20), note.length);
      word(sectionsAt + (wide ? 48 : 32), 4);
    } else {
      programHeader(segments.length, 4, noteAt, 0, note.length, note.length);
    }
  }
  if (guestSection !== undefined) {
    bytes.set(names, namesAt);
    bytes.write(guestSection, guestAt, "latin1");
    word(wide ? 40 : 32, sectionsAt);
    bytes.writeUInt16LE(shSize, wide ? 58 : 46);
    bytes.writeUInt16LE(2, wide ? 60 : 48);
    bytes.writeUInt16LE(1, wide ? 62 : 50);
    for (const [i, name, offset, size] of [
      [0, 1, guestAt, guestSection.length],
      [1, 13, namesAt, names.length],
    ] as const) {
      const section = sectionsAt + i * shSize;
      bytes.writeUInt32LE(name, section);
      bytes.writeUInt32LE(1, section + 4);
      word(section + (wide ? 24 : 16), offset);
      word(section + (wide ? 32 : 20), size);
    }
  }
  return { bytes, programHeaders: headerSize, programHeaderSize: phSize };
}

function makeNote(type: number, value: number | bigint | string): Buffer {
  const size = typeof value === "string" ? value.length + 1 : typeof value === "bigint" ? 8 : 4;
  const note = Buffer.alloc(16 + Math.ceil(size / 4) * 4);
  note.writeUInt32LE(4, 0);
  note.writeUInt32LE(size, 4);
  note.writeUInt32LE(type, 8);
  note.write("Xen\0", 12, "latin1");
  if (typeof value === "string") note.write(value, 16, "latin1");
  else if (typeof value === "bigint") note.writeBigUInt64LE(value, 16);
  else note.writeUInt32LE(value >>> 0, 16);
  return note;
}
