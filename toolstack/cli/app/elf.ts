/** Puts a program into the image of the guest `typescript`, in the place of the placeholder that is its last segment. */
import { BuildError } from "../../../scripts/build/task.ts";

const PT_LOAD = 1;
const PAGE = 4096;
/** Elf64_Phdr. */
const OFFSET = 8;
const PADDR = 24;
const FILE_SIZE = 32;
const MEMORY_SIZE = 40;

/** The image with the program behind everything else. @throws BuildError when `image` is not that guest's */
export function withProgram(image: Buffer, program: Buffer): Buffer {
  if (image.length < 64 || image.readUInt32BE(0) !== 0x7f454c46 || image[4] !== 2)
    throw new BuildError("no ELF64 image");
  const [headers, size, count] = [Number(image.readBigUInt64LE(32)), image.readUInt16LE(54), image.readUInt16LE(56)];
  const loads = Array.from({ length: count }, (_, i) => headers + i * size).filter(
    (at) => image.readUInt32LE(at) === PT_LOAD,
  );
  const last = loads.sort((a, b) => Number(image.readBigUInt64LE(a + PADDR) - image.readBigUInt64LE(b + PADDR))).at(-1);
  if (last === undefined || image.readBigUInt64LE(last + FILE_SIZE) !== BigInt(PAGE)) {
    throw new BuildError("the image has no place for a program: build/guests/typescript.elf is needed");
  }
  const at = Math.ceil(image.length / PAGE) * PAGE;
  const out = Buffer.concat([image, Buffer.alloc(at - image.length), program]);
  out.writeBigUInt64LE(BigInt(at), last + OFFSET);
  out.writeBigUInt64LE(BigInt(program.length), last + FILE_SIZE);
  out.writeBigUInt64LE(BigInt(program.length), last + MEMORY_SIZE);
  return out;
}
