import test from "ava";
import { BuildError } from "../../../toolstack/control/builder/build-error.ts";
import { parseKernel } from "../../../toolstack/control/builder/elf.ts";
import type { Image } from "../../../toolstack/control/builder/image.ts";
import { makeElf, type ElfOptions } from "./make-elf.ts";

function image(bytes: Uint8Array): Image {
  return {
    name: "k",
    size: bytes.length,
    address: 0,
    read(offset, length) {
      if (offset < 0 || offset + length > bytes.length) throw new RangeError("read beyond the image");
      return bytes.slice(offset, offset + length);
    },
  };
}

function failure(t: { throws: (f: () => void, e: object) => Error | undefined }, bytes: Uint8Array): string {
  return t.throws(() => parseKernel(image(bytes)), { instanceOf: BuildError })!.message;
}

for (const wide of [true, false]) {
  const kind = wide ? "ELF64" : "ELF32";

  test(`${kind}: segments and entry of a PVH kernel`, (t) => {
    const data = Uint8Array.from([1, 2, 3, 4]);
    const { bytes } = makeElf({
      wide,
      entry: 0x200002,
      segments: [
        { address: 0x200000, data, memorySize: 0x1800 },
        { address: 0x100000, data },
      ],
    });
    const kernel = parseKernel(image(bytes));
    t.is(kernel.entry, 0x200002);
    t.deepEqual(
      kernel.segments.map(({ address, memorySize, fileSize }) => [address, memorySize, fileSize]),
      [
        [0x100000, 4, 4],
        [0x200000, 0x1800, 4],
      ],
    );
    t.deepEqual([...bytes.subarray(kernel.segments[1]!.fileOffset).subarray(0, 4)], [1, 2, 3, 4]);
  });

  test(`${kind}: a note that only a section header tells of`, (t) => {
    t.is(parseKernel(image(makeElf({ wide, note: "section" }).bytes)).entry, 0x100000);
  });

  test(`${kind}: a file cut anywhere is refused or complete, never read beyond its end`, (t) => {
    const { bytes } = makeElf({ wide, segments: [{ address: 0x100000, data: new Uint8Array(300) }] });
    for (let length = 0; length < bytes.length; length++) {
      t.throws(() => parseKernel(image(bytes.subarray(0, length))), { instanceOf: BuildError }, `length ${length}`);
    }
  });

  test(`${kind}: any single damaged byte in the headers is refused or harmless`, (t) => {
    const { bytes } = makeElf({ wide });
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = value;
        try {
          const { entry, segments } = parseKernel(image(damaged));
          t.true(Number.isSafeInteger(entry) && segments.every((s) => s.fileOffset + s.fileSize <= damaged.length));
        } catch (error) {
          t.true(error instanceof BuildError, `byte ${at} = ${value}: ${String(error)}`);
        }
      }
    }
  });
}

const refused: [string, Uint8Array | ElfOptions, RegExp][] = [
  ["an empty file", new Uint8Array(0), /only 0 bytes/],
  ["text", Buffer.from("#!/bin/sh\necho this is no kernel\n"), /not an ELF file/],
  ["a gzip file", Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0]), Buffer.alloc(100)]), /gzip/],
  ["an ARM kernel", { machine: 183 }, /another architecture: 64-bit ARM; x86 is needed/],
  ["an unknown machine", { machine: 4242 }, /ELF machine 4242/],
  ["an object file", { type: 1 }, /object file/],
  ["no note", { entry: null }, /no XEN_ELFNOTE_PHYS32_ENTRY note/],
  ["a PV kernel", { noteType: 1 }, /PV kernel without a PVH entry/],
  ["an entry outside the segments", { entry: 0x500000 }, /entry point 0x500000 is outside/],
  [
    "overlapping segments",
    {
      segments: [
        { address: 0x100000, data: new Uint8Array(0x2000) },
        { address: 0x101000, data: new Uint8Array(16) },
      ],
    },
    /segments overlap: 0x100000-0x102000 and 0x101000-0x101010/,
  ],
];
for (const [what, input, message] of refused) {
  test(`refused with reason: ${what}`, (t) => {
    t.regex(failure(t, input instanceof Uint8Array ? input : makeElf(input).bytes), message);
  });
}

test("refused with reason: a big-endian image", (t) => {
  const { bytes } = makeElf();
  bytes[5] = 2;
  t.regex(failure(t, bytes), /another architecture/);
});

test("refused with reason: more bytes in the file than in memory", (t) => {
  const { bytes, programHeaders } = makeElf();
  bytes.writeUInt32LE(1, programHeaders + 40);
  t.regex(failure(t, bytes), /more bytes in the file than in memory/);
});
