/**
 * Buffers for hypercall arguments. Every user reserves its own permanently when its module is evaluated, so a hypercall
 * allocates nothing, and a buffer keeps its contents between calls. The RAM at DOM0_SCRATCH is allocated at first touch.
 *
 * Users write 32-bit words of a typed array, the cheapest access an interpreter has; neighbouring 16-bit fields of a
 * structure are written as one word.
 */
import { DOM0_SCRATCH, DOM0_SCRATCH_END } from "../../abi/domain0-layout.ts";
import { memory } from "./host.ts";
import { PAGE_SIZE, words } from "./window.ts";

/** A reserved range of scratch memory within one page. */
export class Scratch {
  /** Live view; valid from `openScratch` on. */
  words!: Uint32Array;

  /** @param address in the window */
  constructor(
    readonly address: number,
    readonly size: number,
    private readonly prepare: (words: Uint32Array) => void,
  ) {}

  open(): void {
    this.words = words(memory, this.address, this.size >>> 2);
    this.prepare(this.words);
  }

  /** Writes zeroes over it. */
  clear(): void {
    this.words.fill(0);
  }
}

const buffers: Scratch[] = [];
let next = DOM0_SCRATCH;

/**
 * Reserves zeroed scratch memory, 8-byte aligned, within a page.
 * @param size bytes, a page at most, rounded up to a multiple of 4
 * @param prepare writes what never changes, once
 * @throws Error when the scratch region is used up: a mistake in the control plane, seen when its image is built
 */
export function reserveScratch(size: number, prepare: (words: Uint32Array) => void = () => {}): Scratch {
  if (size > PAGE_SIZE) throw new Error("a scratch buffer is a page at most");
  const left = PAGE_SIZE - (next % PAGE_SIZE);
  if (size > left) next += left;
  const buffer = new Scratch(next, (size + 3) & ~3, prepare);
  next += (size + 7) & ~7;
  if (next > DOM0_SCRATCH_END) throw new Error("the scratch region is too small for the buffers of the control plane");
  buffers.push(buffer);
  return buffer;
}

/**
 * Reserves whole pages, zeroed, which have no view: `memory` reads and writes them.
 * @returns their address
 */
export function reservePages(count: number): number {
  const address = Math.ceil(next / PAGE_SIZE) * PAGE_SIZE;
  next = address + count * PAGE_SIZE;
  if (next > DOM0_SCRATCH_END) throw new Error("the scratch region is too small for the buffers of the control plane");
  return address;
}

/** Takes all buffers into use; once at the start of domain 0, after `openHost`. */
export function openScratch(): void {
  for (const buffer of buffers) buffer.open();
}
