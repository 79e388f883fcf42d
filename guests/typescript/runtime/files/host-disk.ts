/** The domain's first disk, as a volume needs it. The program waits while the disk works. */
import { call, OPERATION, transfer, word } from "../guest/host.ts";
import type { Disk } from "../volume/disk.ts";
import { Failure } from "./file-system.ts";

/** Bytes of one operation: disk.c. */
const PIECE = 32 * 1024;
const READ_ONLY = 1;
const TWO_32 = 2 ** 32;

/** Opens it; null when the domain has none. */
export function openHostDisk(): Disk | null {
  if (call(OPERATION.diskOpen) !== 1) return null;
  const [sectorBytes, flags] = [word(2), word(3)];
  // The guest counts in sectors of 512 bytes.
  const scale = sectorBytes / 512;
  const sectors = Math.floor((word(0) + word(1) * TWO_32) / scale);
  const pieces = (operation: number, sector: number, bytes: Uint8Array, each: (piece: Uint8Array) => void): void => {
    for (let done = 0; done < bytes.length; done += PIECE) {
      const piece = bytes.subarray(done, done + PIECE);
      const at = sector * scale + done / 512;
      if (operation === OPERATION.diskWrite) each(piece);
      if (call(operation, at % TWO_32, Math.floor(at / TWO_32), piece.length / 512) !== 0) {
        throw new Failure("EIO", "the disk has failed");
      }
      if (operation === OPERATION.diskRead) each(piece);
    }
  };
  return {
    sectorBytes,
    sectors,
    readOnly: (flags & READ_ONLY) !== 0,
    read: (sector, into) =>
      pieces(OPERATION.diskRead, sector, into, (piece) => piece.set(transfer.subarray(0, piece.length))),
    write: (sector, bytes) => pieces(OPERATION.diskWrite, sector, bytes, (piece) => transfer.set(piece)),
    flush: () => {
      if (call(OPERATION.diskFlush) !== 0) throw new Failure("EIO", "the disk has failed");
    },
  };
}
