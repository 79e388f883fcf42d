/**
 * Reading a guest's memory at its own linear addresses, through its own page tables (SDM 3A, 4.3 to 4.5). The guest may
 * have crafted them maliciously: each table is read from a copy of a frame that the hypervisor confirms to be this
 * guest's RAM, the number of levels is fixed, and the frames read for one dump are counted.
 */
import { memory } from "../host.ts";
import { HypercallError } from "../hypercall.ts";
import { foreignFrames, mapForeign, unmapPage } from "../hypercalls/memory.ts";
import { releaseMapPage, takeMapPage } from "../map-space.ts";
import { PAGE_SIZE } from "../window.ts";
import type { VcpuState } from "./registers.ts";

const PRESENT = 1n;
const LARGE = 1n << 7n;
const FRAME = 0x000f_ffff_ffff_f000n;
const CR4_PSE = 1n << 4n;
const PAGE = 4096n;
/** The hypervisor accepts guest frame numbers below this. */
const GFN_LIMIT = 1n << 32n;

/** A copy of a frame of the guest's RAM; null where there is none. */
export type ReadFrame = (gfn: bigint) => Uint8Array | null;

/** Copies frames of `domain`, mapping each for a moment. */
export function frameReader(domain: number): ReadFrame {
  return (gfn) => {
    if (gfn >= GFN_LIMIT) return null;
    const address = takeMapPage();
    try {
      foreignFrames()[0] = Number(gfn);
      mapForeign(domain, 1, address);
    } catch (error) {
      releaseMapPage(address);
      if (error instanceof HypercallError) return null;
      throw error;
    }
    const copy = memory.read(address, PAGE_SIZE);
    unmapPage(address);
    releaseMapPage(address);
    return copy;
  };
}

export class GuestMemory {
  private readonly frames = new Map<bigint, DataView | null>();
  /** The limit of frames was reached: some memory was not read. */
  exhausted = false;

  /** @param most frames that may be read */
  constructor(
    private readonly readFrame: ReadFrame,
    private readonly most: number,
  ) {}

  private frame(gpa: bigint): DataView | null {
    const gfn = gpa / PAGE;
    const known = this.frames.get(gfn);
    if (known !== undefined) return known;
    if (this.frames.size >= this.most) {
      this.exhausted = true;
      return null;
    }
    const bytes = this.readFrame(gfn);
    const view = bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.frames.set(gfn, view);
    return view;
  }

  private entry(gpa: bigint, width: 4 | 8): bigint {
    const frame = this.frame(gpa);
    const at = Number(gpa % PAGE) & ~(width - 1);
    if (frame === null) return 0n;
    return width === 8 ? frame.getBigUint64(at, true) : BigInt(frame.getUint32(at, true));
  }

  /** The guest-physical address behind a linear one, by the tables that `vcpu` uses; null when nothing is mapped. */
  translate(vcpu: VcpuState, linear: bigint): bigint | null {
    const cr3 = vcpu.register("cr3");
    switch (vcpu.paging) {
      case "off":
        return linear & 0xffffffffn;
      case "32-bit":
        return this.translate32(cr3, linear, (vcpu.register("cr4") & CR4_PSE) !== 0n);
      case "PAE": {
        if (linear >> 32n !== 0n) return null;
        const directory = this.entry((cr3 & 0xffffffe0n) + (linear >> 30n) * 8n, 8);
        return (directory & PRESENT) === 0n ? null : this.walk(directory & FRAME, linear, 21n);
      }
      case "4-level":
        if (BigInt.asUintN(64, BigInt.asIntN(48, linear)) !== linear) return null;
        return this.walk(cr3 & FRAME, linear, 39n);
    }
  }

  /** Tables of 512 entries, from the level at which an entry stands for 2^shift bytes. */
  private walk(table: bigint, linear: bigint, shift: bigint): bigint | null {
    for (; ; shift -= 9n) {
      const entry = this.entry(table + ((linear >> shift) & 511n) * 8n, 8);
      if ((entry & PRESENT) === 0n) return null;
      const large = (entry & LARGE) !== 0n;
      if (shift === 39n && large) return null;
      if (shift === 12n || large) {
        const within = (1n << shift) - 1n;
        return (entry & FRAME & ~within) | (linear & within);
      }
      table = entry & FRAME;
    }
  }

  private translate32(cr3: bigint, linear: bigint, large: boolean): bigint | null {
    if (linear >> 32n !== 0n) return null;
    const upper = this.entry((cr3 & 0xfffff000n) + (linear >> 22n) * 4n, 4);
    if ((upper & PRESENT) === 0n) return null;
    if (large && (upper & LARGE) !== 0n) {
      return (upper & 0xffc00000n) | ((upper & 0x1fe000n) << 19n) | (linear & 0x3fffffn);
    }
    const lower = this.entry((upper & 0xfffff000n) + ((linear >> 12n) & 1023n) * 4n, 4);
    return (lower & PRESENT) === 0n ? null : (lower & 0xfffff000n) | (linear & 0xfffn);
  }

  /** Bytes from a linear address on, up to the first page that is not there: `length` of them, or fewer. */
  read(vcpu: VcpuState, linear: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const at = BigInt.asUintN(64, linear + BigInt(done));
      const gpa = this.translate(vcpu, at);
      const frame = gpa === null ? null : this.frame(gpa);
      if (gpa === null || frame === null) break;
      const within = Number(gpa % PAGE);
      const run = Math.min(length - done, PAGE_SIZE - within);
      bytes.set(new Uint8Array(frame.buffer, frame.byteOffset + within, run), done);
      done += run;
    }
    return bytes.subarray(0, done);
  }
}
