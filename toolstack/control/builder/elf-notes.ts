/** ELF notes named "Xen". Layout of a note: name size, descriptor size, type, name, descriptor, each padded. */

/** The bytes of a note segment or section. */
export interface NoteRegion {
  bytes: Uint8Array;
  /** Its alignment: notes are padded to 8 bytes where this is 8, else to 4. */
  align: number;
}

/** Descriptors by type (XEN_ELFNOTE_*). */
export type XenNotes = Map<number, Uint8Array>;

/** Adds the descriptors of all notes named "Xen" to `notes`, later ones over earlier ones; throws the result of `damaged` for a malformed note. */
export function addXenNotes(notes: XenNotes, regions: NoteRegion[], damaged: () => Error): void {
  for (const { bytes, align } of regions) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const unit = align === 8 ? 8 : 4;
    const pad = (size: number) => Math.ceil(size / unit) * unit;
    for (let at = 0; at + 12 <= bytes.length;) {
      const nameSize = view.getUint32(at, true);
      const descriptorSize = view.getUint32(at + 4, true);
      const type = view.getUint32(at + 8, true);
      // The name begins 12 bytes in, which is why a unit of 8 pads header and name together.
      const descriptorAt = at + pad(12 + nameSize);
      if (descriptorAt + descriptorSize > bytes.length) throw damaged();
      const named = nameSize === 4 && view.getUint32(at + 12, true) === 0x006e6558; // "Xen\0"
      if (named) notes.set(type, bytes.subarray(descriptorAt, descriptorAt + descriptorSize));
      at = descriptorAt + pad(descriptorSize);
    }
  }
}

/** A note's number of 4 or 8 bytes; undefined when there is no such note, or a shorter one. */
export function noteNumber(notes: XenNotes, type: number): bigint | undefined {
  const descriptor = notes.get(type);
  if (descriptor === undefined || descriptor.length < 4) return undefined;
  const view = new DataView(descriptor.buffer, descriptor.byteOffset);
  return descriptor.length < 8 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
}

/** A note's text, to its NUL. */
export function noteText(notes: XenNotes, type: number): string | undefined {
  const descriptor = notes.get(type);
  return descriptor === undefined ? undefined : textOf(descriptor);
}

/** Bytes to the first NUL, one character each. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Array.from(end < 0 ? bytes : bytes.subarray(0, end), (byte) => String.fromCharCode(byte)).join("");
}
