/** ELF notes named "Xen". Layout of a note: name size, descriptor size, type, name, descriptor, each padded. */
import { XEN_ELFNOTE_ENTRY, XEN_ELFNOTE_PHYS32_ENTRY } from "../../../abi/elfnote.ts";

/** The bytes of a note segment or section. */
export interface NoteRegion {
  bytes: Uint8Array;
  /** Its alignment: notes are padded to 8 bytes where this is 8, else to 4. */
  align: number;
}

/** Calls `each` with type and descriptor of every note named "Xen"; throws the result of `damaged` for a malformed one. */
function forEachXenNote(
  regions: NoteRegion[],
  damaged: () => Error,
  each: (type: number, descriptor: Uint8Array) => void,
): void {
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
      if (named) each(type, bytes.subarray(descriptorAt, descriptorAt + descriptorSize));
      at = descriptorAt + pad(descriptorSize);
    }
  }
}

/** The value of XEN_ELFNOTE_PHYS32_ENTRY, undefined when there is no such note. */
export function findPvhEntry(regions: NoteRegion[], damaged: () => Error): number | undefined {
  let entry: number | undefined;
  forEachXenNote(regions, damaged, (type, descriptor) => {
    if (type !== XEN_ELFNOTE_PHYS32_ENTRY || descriptor.length < 4) return;
    entry = new DataView(descriptor.buffer, descriptor.byteOffset).getUint32(0, true);
  });
  return entry;
}

/** True when the notes are those of a kernel that can be started as a PV guest. */
export function hasPvEntry(regions: NoteRegion[], damaged: () => Error): boolean {
  let found = false;
  forEachXenNote(regions, damaged, (type) => {
    if (type === XEN_ELFNOTE_ENTRY) found = true;
  });
  return found;
}
