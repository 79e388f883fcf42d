/**
 * The codec: decompression in a sandbox of its own (codec/), called by domain 0. The interface between the module and
 * domain 0. Its linear memory is the end of domain 0's window, from DOM0_CODEC (abi/domain0-layout.ts): the codec can access
 * nothing else, domain 0 can access all of it.
 */

/** Formats, first argument of a run. */
export const CODEC_CONTINUE: u32 = 0; // no new run: continues the current one
export const CODEC_GZIP: u32 = 1; // RFC 1952, one member
export const CODEC_LZ4: u32 = 2; // the legacy frame (lz4 -l), as Linux packs its kernels
export const CODEC_XZ: u32 = 3; // LZMA2, with or without the x86 filter; checks: none, CRC32, CRC64
export const CODEC_ZSTD: u32 = 4; // RFC 8878, without dictionaries

/** What a step returns. */
export const CODEC_DONE: u32 = 0; // exactly the announced bytes are there, all checksums are right
export const CODEC_MORE: u32 = 1; // about a MiB further: call again
export const CODEC_NOT_FORMAT: u32 = 2; // wrong magic number
export const CODEC_TRUNCATED: u32 = 3; // the input ends too early
export const CODEC_DAMAGED: u32 = 4; // something that a compressor does not write
export const CODEC_TOO_LONG: u32 = 5; // more output than announced
export const CODEC_TOO_SHORT: u32 = 6; // less output than announced
export const CODEC_CHECKSUM: u32 = 7; // a checksum is wrong
export const CODEC_UNSUPPORTED: u32 = 8; // the format's variant is one that this codec does not have
export const CODEC_NOT_BEGUN: u32 = 9; // CODEC_CONTINUE without a run
export const CODEC_TRAPPED: u32 = 10; // the sandbox stopped it; its stack was reported on the console

/** Bytes at the start of its memory for the module's own data; input and output follow. A multiple of 4096. */
export const CODEC_OWN_BYTES: u32 = 0x60000;
/**
 * Bytes that must be readable after the input and writable after the output, since copies are word by word. Not more than
 * this is touched there.
 */
export const CODEC_SLACK: u32 = 64;
