/** A client of the first disk: requests with their data in DMA memory, as the backend would have them. */
import { type IoMachine } from "./machine.ts";
import type { Record_ } from "./records.ts";

const SECTOR = 512;
const PAGE = 4096;

export const READ = 0;
export const WRITE = 1;
export const FLUSH = 2;
export const DISCARD = 3;
export const ZEROES = 4;
export const FUA = 1;
export const UNMAP = 2;

export interface Submitted {
  request: number;
  /** What blockSubmit returned. */
  status: number;
  /** Where the data is: linear address and bytes of each segment. */
  segments: [number, number][];
}

export interface SubmitOptions {
  operation: number;
  sector?: number | bigint;
  sectors?: number;
  data?: Uint8Array;
  flags?: number;
  /** Bytes of each segment; by default pages. */
  parts?: number[];
  /** How far each segment's data is behind the beginning of a page. */
  offset?: number;
  kick?: boolean;
}

export class BlockClient {
  readonly device: number;
  private readonly doneFunction: number;
  private free: number[] = [];

  /** Finds the disk; it is device 0 when there is none. */
  constructor(readonly machine: IoMachine) {
    machine.exports["driversStart"]!();
    this.device = machine.exports["blockFirst"]!();
    this.doneFunction = machine.exports["doneFunction"]!();
    if (this.device !== 0) machine.exports["openDisk"]!(this.device);
  }

  get disk(): Record_ {
    return this.machine.record("BlockDevice", this.device);
  }

  private page(): number {
    const page = this.free.pop() ?? this.machine.exports["dmaAllocate"]!(1);
    if (page === 0) throw new Error("the test is out of DMA memory");
    return page;
  }

  /** Gives a request to the disk. */
  submit(options: SubmitOptions): Submitted {
    const { machine } = this;
    const bytes = options.data?.length ?? (options.sectors ?? 0) * SECTOR;
    const hasData = options.operation === READ || options.operation === WRITE;
    const parts = hasData ? (options.parts ?? split(bytes, PAGE - (options.offset ?? 0))) : [];
    const list = machine.make("Segment", Math.max(parts.length, 1));
    const segments: [number, number][] = [];
    let at = 0;
    for (const [i, length] of parts.entries()) {
      const offset = options.offset ?? 0;
      const pages = Math.ceil((length + offset) / PAGE);
      const linear = (pages > 1 ? machine.exports["dmaAllocate"]!(pages) : this.page()) + offset;
      if (options.data) machine.bytes.set(options.data.subarray(at, at + length), linear);
      else machine.bytes.fill(0xee, linear, linear + length);
      at += length;
      segments.push([linear, length]);
      machine
        .record("Segment", list + i * machine.layouts.sizes["Segment"]!)
        .set({ machine: machine.exports["dmaMachine"]!(linear), linear, bytes: length });
    }
    const request = machine.make("BlockRequest");
    machine.record("BlockRequest", request).set({
      sector: options.sector ?? 0,
      sectors: options.sectors ?? bytes / SECTOR,
      operation: options.operation,
      flags: options.flags ?? 0,
      segments: list,
      count: parts.length,
      done: this.doneFunction,
    });
    const status = machine.exports["blockSubmit"]!(this.device, request);
    if (options.kick !== false) machine.exports["blockKick"]!(this.device);
    return { request, status, segments };
  }

  /** The data of a read. */
  data({ segments }: Submitted): Buffer {
    return Buffer.concat(
      segments.map(([linear, bytes]) => Buffer.from(this.machine.bytes.subarray(linear, linear + bytes))),
    );
  }

  /** The status that a request was done with; null while it is not, and an error if it was twice. */
  outcome({ request }: Submitted): number | null {
    const done = this.machine.told.blockDone.filter((d) => d.request === request);
    if (done.length > 1) throw new Error("a request was done twice");
    return done[0]?.status ?? null;
  }

  /** Submits a request and runs until it is done. */
  perform(options: SubmitOptions): Submitted & { outcome: number } {
    const submitted = this.submit(options);
    if (submitted.status !== 0) return { ...submitted, outcome: submitted.status };
    this.machine.run();
    const outcome = this.outcome(submitted);
    if (outcome === null) throw new Error("the request was not answered");
    // Its pages may be used again.
    for (const [linear] of submitted.segments) this.free.push(linear & -PAGE);
    return { ...submitted, outcome };
  }
}

function split(length: number, each: number): number[] {
  const parts: number[] = [];
  for (let left = length; left > 0; left -= each) parts.push(Math.min(left, each));
  return parts;
}
