/**
 * Linux's bzImage: real-mode code, a decompressor, and in it the payload, a compressed vmlinux followed by its size.
 * The first two are not executed: a PVH guest starts in the vmlinux.
 *
 * Source: Linux's Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header").
 */
import { CODEC_GZIP, CODEC_LZ4, CODEC_XZ, CODEC_ZSTD } from "../../../abi/codec.ts";
import { BuildError } from "./build-error.ts";
import { WindowImage, type Image } from "./image.ts";

/** Offsets of header fields. */
const SETUP_SECTS = 0x1f1;
const MAGIC = 0x202;
const VERSION = 0x206;
const LOADFLAGS = 0x211;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HEADER_END = 0x250;

const HDRS = 0x53726448;
/** The first protocol version with the payload's location. */
const VERSION_WITH_PAYLOAD = 0x208;
const LOADED_HIGH = 1;
const SECTOR = 512;
const DEFAULT_SETUP_SECTS = 4;
/** The size of the vmlinux, after the payload or, with gzip, its last field. */
const SIZE_BYTES = 4;

/** How a payload is compressed, by its first bytes. */
interface Compression {
  name: string;
  magic: number[];
  /** CODEC_*; undefined if not supported. */
  format?: number;
  /** The trailing size is part of the format itself. */
  ownSize?: boolean;
}

const COMPRESSIONS: Compression[] = [
  { name: "gzip", magic: [0x1f, 0x8b], format: CODEC_GZIP, ownSize: true },
  { name: "LZ4", magic: [0x02, 0x21, 0x4c, 0x18], format: CODEC_LZ4 },
  { name: "xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], format: CODEC_XZ },
  { name: "zstd", magic: [0x28, 0xb5, 0x2f, 0xfd], format: CODEC_ZSTD },
  { name: "bzip2", magic: [0x42, 0x5a, 0x68] },
  { name: "LZMA", magic: [0x5d, 0x00, 0x00] },
  { name: "LZO", magic: [0x89, 0x4c, 0x5a, 0x4f] },
];
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];

/** A compressed kernel within an image. */
export interface Payload {
  /** The compression's name, for messages. */
  compression: string;
  /** CODEC_*. */
  format: number;
  /** Bytes in the image. */
  offset: number;
  size: number;
  /** Bytes that it announces to become. */
  unpackedSize: number;
}

function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** What was found before: images do not change. */
const asked = new WeakMap<Image, boolean>();

/** Whether the image is a bzImage, whole or not. */
export function isBzImage(image: Image): boolean {
  let is = asked.get(image);
  if (is === undefined) {
    is = image.size >= MAGIC + 4 && u32(image.read(MAGIC, 4), 0) === HDRS;
    asked.set(image, is);
  }
  return is;
}

/**
 * Finds the kernel in a bzImage: a payload to be unpacked, or, if it is not compressed, the image of the vmlinux.
 * @throws BuildError describing the error in the image, or the unsupported compression
 */
export function findPayload(image: Image): Payload | Image {
  const fail = (text: string) => new BuildError(`${image.name}: ${text}`);
  if (image.size < HEADER_END) throw fail("truncated: it ends inside its Linux header");
  const header = image.read(0, HEADER_END);
  const version = header[VERSION]! | (header[VERSION + 1]! << 8);
  if (version < VERSION_WITH_PAYLOAD) {
    const text = `${version >> 8}.${String(version & 0xff).padStart(2, "0")}`;
    throw fail(`an image of Linux's boot protocol ${text}, too old to be a PVH guest: 2.08 or later is needed`);
  }
  if ((header[LOADFLAGS]! & LOADED_HIGH) === 0) throw fail("a Linux zImage; a bzImage or a vmlinux is needed");
  const start = ((header[SETUP_SECTS]! || DEFAULT_SETUP_SECTS) + 1) * SECTOR + u32(header, PAYLOAD_OFFSET);
  const length = u32(header, PAYLOAD_LENGTH);
  if (length === 0) {
    throw fail(
      "it has Linux's boot header, but no Linux kernel inside: a program that boots like one, such as memtest86+. " +
        "A guest is a PVH image (ELF), or a bzImage with one inside",
    );
  }
  if (length <= SIZE_BYTES) throw fail(`damaged: its payload has ${length} bytes`);
  if (start + length > image.size) throw fail("truncated: the file ends inside its compressed kernel");

  const first = image.read(start, Math.min(length, 8));
  const startsWith = (magic: number[]) => magic.every((byte, i) => first[i] === byte);
  if (startsWith(ELF_MAGIC)) return new WindowImage(image.name, image.address + start, length);
  const compression = COMPRESSIONS.find(({ magic }) => startsWith(magic));
  const accepted = "gzip, LZ4, xz and zstd are supported";
  if (compression === undefined) {
    throw fail(`its kernel is compressed in an unknown format, or damaged; ${accepted}`);
  }
  if (compression.format === undefined) throw fail(`its kernel is compressed with ${compression.name}; ${accepted}`);
  return {
    compression: compression.name,
    format: compression.format,
    offset: start,
    size: compression.ownSize === true ? length : length - SIZE_BYTES,
    unpackedSize: u32(image.read(start + length - SIZE_BYTES, SIZE_BYTES), 0),
  };
}
