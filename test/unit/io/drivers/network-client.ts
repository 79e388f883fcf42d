/** A client of the first network card: frames to send in DMA memory, as the backend would have them. */
import type { IoMachine } from "./machine.ts";
import type { Record_ } from "./records.ts";

const PAGE = 4096;
/** NETWORK_HEADROOM */
const HEADROOM = 16;

export interface SendOptions {
  queue?: number;
  cookie?: number;
  flags?: number;
  checksumStart?: number;
  checksumOffset?: number;
  gso?: number;
  gsoSize?: number;
  headerBytes?: number;
  /** Bytes of each segment; by default all in one, or pages. */
  parts?: number[];
  kick?: boolean;
}

export class NetworkClient {
  readonly device: number;
  private readonly frame: number;
  private readonly segments: number;
  private readonly pages: number[] = [];
  private next = 0;

  /** Finds and opens the card. */
  constructor(readonly machine: IoMachine) {
    machine.exports["driversStart"]!();
    this.device = machine.exports["networkFirst"]!();
    if (this.device === 0) throw new Error(`no card was found; log: ${machine.log.join("; ")}`);
    this.frame = machine.make("Frame");
    this.segments = machine.make("Segment", 20);
  }

  get card(): Record_ {
    return this.machine.record("NetworkDevice", this.device);
  }

  open(): number {
    return this.machine.exports["open"]!(this.device);
  }

  /** A page of DMA memory; they are used in turn. */
  private page(): number {
    if (this.pages.length < 512) this.pages.push(this.machine.exports["dmaAllocate"]!(1));
    return this.pages[this.next++ % 512]!;
  }

  /** Gives a frame to the card; what networkTransmit returns. */
  send(data: Uint8Array, options: SendOptions = {}): number {
    const { machine } = this;
    const parts = options.parts ?? split(data.length);
    let at = 0;
    for (const [i, bytes] of parts.entries()) {
      const linear = this.page() + (i === 0 ? HEADROOM : 0);
      machine.bytes.set(data.subarray(at, at + bytes), linear);
      at += bytes;
      machine
        .record("Segment", this.segments + i * machine.layouts.sizes["Segment"]!)
        .set({ machine: machine.exports["dmaMachine"]!(linear), linear, bytes });
    }
    machine.record("Frame", this.frame).set({
      segments: this.segments,
      count: parts.length,
      length: data.length,
      flags: options.flags ?? 0,
      checksumStart: options.checksumStart ?? 0,
      checksumOffset: options.checksumOffset ?? 0,
      gso: options.gso ?? 0,
      gsoSize: options.gsoSize ?? 0,
      headerBytes: options.headerBytes ?? 0,
    });
    const queue = options.queue ?? 0;
    const status = machine.exports["networkTransmit"]!(this.device, queue, this.frame, options.cookie ?? 0);
    if (options.kick !== false) machine.exports["networkKick"]!(this.device, queue);
    return status;
  }
}

/** A frame's bytes in a first page with headroom and whole pages behind it. */
function split(length: number): number[] {
  const parts = [Math.min(length, PAGE - HEADROOM)];
  for (let left = length - parts[0]!; left > 0; left -= PAGE) parts.push(Math.min(left, PAGE));
  return parts;
}

/** Bytes that tell one frame from another. */
export function payload(length: number, seed: number): Buffer {
  const data = Buffer.alloc(length);
  for (let i = 0; i < length; i++) data[i] = (i * 7 + seed * 31 + (i >> 8)) & 0xff;
  return data;
}
