/**
 * Writing to a domain's memory: writes are collected, then guest frames are mapped in batches, filled
 * and unmapped again. A small guest needs a single batch, of 2 MiB.
 */
import { memory } from "../host.ts";
import { foreignFrames, mapForeign, unmapBuildWindow } from "../hypercalls/memory.ts";
import { BUILD_PAGES, BUILD_WINDOW } from "../map-space.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../window.ts";
import type { Pace } from "./pace.ts";

interface Piece {
  /** Guest-physical address, bytes. */
  address: number;
  size: number;
  /** Address of the bytes in the window, or the bytes. */
  from: number | Uint8Array;
}

/** The part of a piece that is in the current batch. */
interface Copy {
  /** Address in the builder's window. */
  to: number;
  piece: Piece;
  /** First byte of the piece, and how many. */
  offset: number;
  size: number;
}

export class GuestWriter {
  private readonly pieces: Piece[] = [];

  constructor(private readonly domain: number) {}

  /** Plans to copy `size` bytes from `from` in the window to guest-physical `address`. */
  copyFromWindow(address: number, from: number, size: number): void {
    if (size > 0) this.pieces.push({ address, size, from });
  }

  /** Plans to write bytes. */
  write(address: number, bytes: Uint8Array): void {
    if (bytes.length > 0) this.pieces.push({ address, size: bytes.length, from: bytes });
  }

  /** Does what was planned. No frame stays mapped, while others have their turns or when it throws. */
  async flush(pace: Pace): Promise<void> {
    const total = this.pieces.reduce((sum, piece) => sum + piece.size, 0);
    let done = 0;
    let copies: Copy[] = [];
    let pages = 0;
    for (const piece of this.pieces) {
      for (let offset = 0; offset < piece.size;) {
        const address = piece.address + offset;
        const within = address % PAGE_SIZE;
        const room = (BUILD_PAGES - pages) * PAGE_SIZE - within;
        const size = Math.min(piece.size - offset, room);
        copies.push({ to: BUILD_WINDOW + pages * PAGE_SIZE + within, piece, offset, size });
        const needed = Math.ceil((within + size) / PAGE_SIZE);
        const frames = foreignFrames();
        // Guests' boot data lie below 4 GiB, so the high words of the list stay zero.
        for (let i = 0, gfn = address >>> PAGE_SHIFT; i < needed; i++) frames[2 * (pages + i)] = gfn + i;
        pages += needed;
        offset += size;
        if (pages === BUILD_PAGES) {
          this.fill(copies, pages);
          copies = [];
          pages = 0;
          done += BUILD_PAGES * PAGE_SIZE;
          await pace.step(Math.min(done, total), total);
        }
      }
    }
    if (pages > 0) this.fill(copies, pages);
    this.pieces.length = 0;
  }

  private fill(copies: Copy[], pages: number): void {
    mapForeign(this.domain, pages, BUILD_WINDOW);
    try {
      for (const { to, piece, offset, size } of copies) {
        if (typeof piece.from === "number") memory.copy(to, piece.from + offset, size);
        else memory.write(to, size === piece.size ? piece.from : piece.from.subarray(offset, offset + size));
      }
    } finally {
      unmapBuildWindow(pages);
    }
  }
}
