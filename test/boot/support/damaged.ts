/** Damaged kernel images, made from a good one by changing its bytes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { ExecutionContext } from "ava";
import { XEN_ELFNOTE_PHYS32_ENTRY } from "../../../abi/elfnote.ts";
import type { BootModule } from "../../../scripts/modules.ts";
import { guestsFolder } from "../../../scripts/paths.ts";

/* ELF64 header and program header fields (System V ABI, chapters 4 and 5). */
export const E_MACHINE = 18;
const E_PHOFF = 32;
const E_PHENTSIZE = 54;
const E_PHNUM = 56;
export const P_OFFSET = 8;
export const P_PADDR = 24;
export const P_FILESZ = 32;
export const P_MEMSZ = 40;
const PT_LOAD = 1;
const PT_NOTE = 4;
/* A note: name size, descriptor size, type, then "Xen\0". */
const N_TYPE = 8;
const N_DESCRIPTOR = 16;

/** A copy of one of our guests' images, with accessors for what the tests damage. */
export class Kernel {
  readonly bytes: Buffer;

  constructor(guest = "hello") {
    this.bytes = readFileSync(path.join(guestsFolder, `${guest}.elf`));
  }

  /** File offsets of the program headers of a type. */
  private headers(type: number): number[] {
    const start = Number(this.bytes.readBigUInt64LE(E_PHOFF));
    const size = this.bytes.readUInt16LE(E_PHENTSIZE);
    const all = Array.from({ length: this.bytes.readUInt16LE(E_PHNUM) }, (_, i) => start + i * size);
    return all.filter((at) => this.bytes.readUInt32LE(at) === type);
  }

  /** A 64-bit field of the n-th loadable segment. */
  segmentField(n: number, field: number): number {
    return Number(this.bytes.readBigUInt64LE(this.headers(PT_LOAD)[n] + field));
  }

  setSegmentField(n: number, field: number, value: number): this {
    this.bytes.writeBigUInt64LE(BigInt(value), this.headers(PT_LOAD)[n] + field);
    return this;
  }

  /** File offset of the PVH entry's note. */
  private get note(): number {
    const at = Number(this.bytes.readBigUInt64LE(this.headers(PT_NOTE)[0] + P_OFFSET));
    if (this.bytes.readUInt32LE(at + N_TYPE) !== XEN_ELFNOTE_PHYS32_ENTRY) throw new Error("the note is elsewhere");
    return at;
  }

  setNoteType(type: number): this {
    this.bytes.writeUInt32LE(type, this.note + N_TYPE);
    return this;
  }

  get entry(): number {
    return this.bytes.readUInt32LE(this.note + N_DESCRIPTOR);
  }

  setEntry(address: number): this {
    this.bytes.writeUInt32LE(address, this.note + N_DESCRIPTOR);
    return this;
  }

  /** File offset of what is loaded at a guest-physical address. */
  offsetOf(address: number): number {
    for (const at of this.headers(PT_LOAD)) {
      const offset = address - Number(this.bytes.readBigUInt64LE(at + P_PADDR));
      if (offset >= 0 && offset < Number(this.bytes.readBigUInt64LE(at + P_FILESZ))) {
        return Number(this.bytes.readBigUInt64LE(at + P_OFFSET)) + offset;
      }
    }
    throw new Error(`nothing is loaded at ${address}`);
  }
}

/** Writes images to a folder that goes with the test, as boot modules. */
export function asModules(t: ExecutionContext, images: Record<string, Uint8Array>): BootModule[] {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-images-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return Object.entries(images).map(([name, bytes]) => {
    const file = path.join(folder, name);
    writeFileSync(file, bytes);
    return { name, file };
  });
}
