/**
 * Writing to a domain's memory: writes are planned, then guest frames are mapped in batches, filled and unmapped again. A small
 * guest needs a single batch, of 2 MiB. A plan can be carried out for any number of guests.
 */
import { memory } from "../host.ts";
import { foreignFrames, mapForeign, unmapBuildWindow } from "../hypercalls/memory.ts";
import { BUILD_PAGES, BUILD_WINDOW } from "../map-space.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../window.ts";
import type { Pace } from "./pace.ts";

/** Something to be written. */
export interface Piece {
  /** Guest-physical address, bytes. */
  address: number;
  size: number;
  /** Address of the bytes in the window, or the bytes. */
  from: number | Uint8Array;
}

/** A part of a piece. */
interface Copy {
  /** Address in the builder's window. */
  to: number;
  from: number | Uint8Array;
  size: number;
}

/** What is written while some frames are mapped. */
export interface Batch {
  /** The guest's frames in the order in which they are mapped: frame i in word 2i. */
  frames: Uint32Array;
  pages: number;
  copies: Copy[];
}

/** Divides what is to be written into batches, each of which is made when it is asked for. */
export function* planWrites(pieces: Piece[]): Generator<Batch> {
  let copies: Copy[] = [];
  const frames = new Uint32Array(2 * BUILD_PAGES);
  let pages = 0;
  const batch = (): Batch => ({ frames: frames.slice(0, 2 * pages), pages, copies });
  for (const piece of pieces) {
    for (let offset = 0; offset < piece.size;) {
      const address = piece.address + offset;
      const within = address % PAGE_SIZE;
      const room = (BUILD_PAGES - pages) * PAGE_SIZE - within;
      const size = Math.min(piece.size - offset, room);
      const from = typeof piece.from === "number" ? piece.from + offset : piece.from.subarray(offset, offset + size);
      copies.push({ to: BUILD_WINDOW + pages * PAGE_SIZE + within, from, size });
      const needed = Math.ceil((within + size) / PAGE_SIZE);
      // Guests' boot data lie below 4 GiB, so the high words stay zero.
      for (let i = 0, gfn = address >>> PAGE_SHIFT; i < needed; i++) frames[2 * (pages + i)] = gfn + i;
      pages += needed;
      offset += size;
      if (pages < BUILD_PAGES) continue;
      yield batch();
      copies = [];
      pages = 0;
    }
  }
  if (pages > 0) yield batch();
}

/**
 * Carries out a plan. No frame stays mapped, while others have their turns or when it throws.
 * @param total bytes that are written, for the progress
 */
export async function writeBatches(domain: number, batches: Iterable<Batch>, total: number, pace: Pace): Promise<void> {
  let done = 0;
  for (const batch of batches) {
    if (done > 0) await pace.step(Math.min(done, total), total);
    fill(domain, batch);
    done += batch.pages * PAGE_SIZE;
  }
}

/** Carries out one batch. No frame stays mapped, also when it throws. */
export function fill(domain: number, { frames, pages, copies }: Batch): void {
  foreignFrames().set(frames);
  mapForeign(domain, pages, BUILD_WINDOW);
  try {
    for (const { to, from, size } of copies) {
      if (typeof from === "number") memory.copy(to, from, size);
      else memory.write(to, from);
    }
  } finally {
    unmapBuildWindow(pages);
  }
}
