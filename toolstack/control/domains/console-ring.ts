/**
 * Domain 0's end of a guest's console ring (xen/io/console.h). The guest shares the page and may write anything into it
 * at any moment: indexes are read once, masked at use, and believed only as far as the ring's size.
 */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface } from "../../../abi/console.ts";
import { memory } from "../host.ts";

export class ConsoleRing {
  /** Our own indexes: the guest's copy of them is only ever written. */
  private outConsumer: number;
  private inProducer: number;

  /** @param page address in the window where the console page is mapped */
  constructor(private readonly page: number) {
    this.outConsumer = memory.load32(page + XenconsInterface.out_cons);
    this.inProducer = memory.load32(page + XenconsInterface.in_prod);
  }

  /**
   * Takes what the guest has written. A producer index that claims more than the ring holds is nonsense: we catch up
   * with it and take nothing.
   * @returns the bytes, none if there are none
   */
  receive(): Uint8Array {
    const producer = memory.load32(this.page + XenconsInterface.out_prod);
    const available = (producer - this.outConsumer) >>> 0;
    const start = this.outConsumer & (XENCONS_OUT_SIZE - 1);
    this.outConsumer = producer;
    let taken: Uint8Array;
    if (available > XENCONS_OUT_SIZE) {
      taken = new Uint8Array(0);
    } else {
      const out = this.page + XenconsInterface.out;
      const first = Math.min(available, XENCONS_OUT_SIZE - start);
      taken = new Uint8Array(available);
      taken.set(memory.bytes(out + start, first));
      taken.set(memory.bytes(out, available - first), first);
    }
    memory.store32(this.page + XenconsInterface.out_cons, producer);
    return taken;
  }

  /** Puts input into the guest's ring; returns how many of the bytes found room. */
  send(bytes: Uint8Array): number {
    const consumer = memory.load32(this.page + XenconsInterface.in_cons);
    const queued = (this.inProducer - consumer) >>> 0;
    // A consumer index that was never produced: the ring counts as full until the guest mends it.
    const room = queued > XENCONS_IN_SIZE ? 0 : XENCONS_IN_SIZE - queued;
    const sent = Math.min(room, bytes.length);
    for (let i = 0; i < sent; i++) {
      const at = (this.inProducer + i) & (XENCONS_IN_SIZE - 1);
      memory.store8(this.page + XenconsInterface.in_ + at, bytes[i]!);
    }
    this.inProducer = (this.inProducer + sent) >>> 0;
    memory.store32(this.page + XenconsInterface.in_prod, this.inProducer);
    return sent;
  }
}
