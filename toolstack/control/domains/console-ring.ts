/**
 * Domain 0's end of a guest's console ring (xen/io/console.h). The guest shares the page and may write anything into it
 * at any moment: indexes are read once, masked at use, and trusted only within the ring's size.
 */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface } from "../../../abi/console.ts";
import { memory } from "../host.ts";
import { PAGE_SIZE, words } from "../window.ts";

const IN_CONS = XenconsInterface.in_cons / 4;
const IN_PROD = XenconsInterface.in_prod / 4;
const OUT_CONS = XenconsInterface.out_cons / 4;
const OUT_PROD = XenconsInterface.out_prod / 4;

const NOTHING = new Uint8Array(0);

export class ConsoleRing {
  /** Live views of the page, good while it is mapped. */
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  /** Our own indexes: the guest's copy of them is only ever written. */
  private outConsumer: number;
  private inProducer: number;

  /**
   * @param page address in the window where the console page is mapped
   * @param fresh nothing was taken from it, or put into it, before
   */
  constructor(page: number, fresh: boolean) {
    this.bytes = memory.bytes(page, PAGE_SIZE);
    this.words = words(memory, page, PAGE_SIZE / 4);
    this.outConsumer = fresh ? 0 : this.words[OUT_CONS]!;
    this.inProducer = fresh ? 0 : this.words[IN_PROD]!;
  }

  /**
   * Reads what the guest has written. A producer index that implies more than the ring's size is invalid: we skip to
   * it and read nothing.
   * @returns the bytes, none if there are none
   */
  receive(): Uint8Array {
    const producer = this.words[OUT_PROD]!;
    const available = (producer - this.outConsumer) >>> 0;
    if (available === 0) return NOTHING;
    let taken = NOTHING;
    if (available <= XENCONS_OUT_SIZE) {
      const start = this.outConsumer & (XENCONS_OUT_SIZE - 1);
      const first = Math.min(available, XENCONS_OUT_SIZE - start);
      const out = XenconsInterface.out;
      taken = new Uint8Array(available);
      taken.set(this.bytes.subarray(out + start, out + start + first));
      if (first < available) taken.set(this.bytes.subarray(out, out + available - first), first);
    }
    this.outConsumer = producer;
    this.words[OUT_CONS] = producer;
    return taken;
  }

  /** Puts input into the guest's ring; returns how many of the bytes found room. */
  send(input: Uint8Array): number {
    const queued = (this.inProducer - this.words[IN_CONS]!) >>> 0;
    // A consumer index that was never produced: the ring counts as full until the guest mends it.
    const room = queued > XENCONS_IN_SIZE ? 0 : XENCONS_IN_SIZE - queued;
    const sent = Math.min(room, input.length);
    for (let i = 0; i < sent; i++) {
      this.bytes[XenconsInterface.in_ + ((this.inProducer + i) & (XENCONS_IN_SIZE - 1))] = input[i]!;
    }
    this.inProducer = (this.inProducer + sent) >>> 0;
    this.words[IN_PROD] = this.inProducer;
    return sent;
  }
}
