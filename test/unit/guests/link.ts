/** A network between two guests: what one sends reaches the other, unless the faults that are asked for happen to it. */
import type { Frame, NativeGuest } from "./native.ts";

/** NETTXF_* of the sender, NETRXF_* of the receiver. */
const TX = { blank: 1, validated: 2 };
const RX = { validated: 1, blank: 2 };

export interface Faults {
  /** From which the fate of every frame is drawn. */
  seed: number;
  /** Of 1000 frames so many are lost, come twice, come later than the next one, or have a wrong byte. */
  lost: number;
  twice: number;
  late: number;
  damaged: number;
}

export const NO_FAULTS: Faults = { seed: 1, lost: 0, twice: 0, late: 0, damaged: 0 };

/** Gives two guests different MAC addresses: netback's, in guests/host/, is the same in every process. */
function readdress(bytes: Buffer, from: string, to: string): void {
  const [old, mac] = [Buffer.from(from, "hex"), Buffer.from(to, "hex")];
  const places = bytes.readUInt16BE(12) === 0x0806 ? [0, 6, 22, 32] : [0, 6];
  for (const place of places) if (bytes.subarray(place, place + 6).equals(old)) bytes.set(mac, place);
}

const OWN = "00163e123456";

export class Link {
  readonly counts = { frames: 0, lost: 0, twice: 0, late: 0, damaged: 0, large: 0 };
  private readonly faults: Faults;
  private state: number;

  constructor(a: NativeGuest, b: NativeGuest, faults: Faults = NO_FAULTS) {
    this.faults = faults;
    this.state = faults.seed >>> 0;
    this.connect(a, b, "02aaaaaaaaaa", "02bbbbbbbbbb");
    this.connect(b, a, "02bbbbbbbbbb", "02aaaaaaaaaa");
  }

  private chance(of1000: number): boolean {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return (this.state >>> 8) % 1000 < of1000;
  }

  /** To each guest, its own address is OWN and the other's is `seen`. */
  private connect(from: NativeGuest, to: NativeGuest, sender: string, receiver: string): void {
    let held: Frame | undefined;
    const pass = (frame: Frame) => {
      const flags =
        ((frame.flags & TX.blank) !== 0 ? RX.blank : 0) | ((frame.flags & TX.validated) !== 0 ? RX.validated : 0);
      to.sendFrame(frame.bytes, flags, frame.gsoSize);
    };
    from.onFrame = (frame) => {
      this.counts.frames += 1;
      if (frame.bytes.length > 1514) this.counts.large += 1;
      readdress(frame.bytes, OWN, sender);
      readdress(frame.bytes, receiver, OWN);
      const damaged = this.chance(this.faults.damaged);
      if (this.chance(this.faults.lost)) {
        this.counts.lost += 1;
        return;
      }
      if (damaged && (frame.flags & TX.blank) === 0) {
        this.counts.damaged += 1;
        frame.bytes[14 + (this.state % (frame.bytes.length - 14))] ^= 1 + (this.state % 255);
      }
      const [twice, late] = [this.chance(this.faults.twice), this.chance(this.faults.late)];
      if (late && held === undefined) {
        this.counts.late += 1;
        held = frame;
        return;
      }
      pass(frame);
      if (twice) {
        this.counts.twice += 1;
        pass(frame);
      }
      if (held !== undefined) {
        pass(held);
        held = undefined;
      }
    };
  }
}
