/**
 * Domain 0's half of a serial port's shared pages (abi/io/control-serial.ts). What the I/O domain has written is not believed: an index that
 * cannot be is as if nothing were there.
 */
import { SERIAL_RING_BYTES, SerialPage } from "../../../abi/io/control-serial.ts";

/** The pages, by offsets. */
export interface LineMemory {
  load32(offset: number): number;
  store32(offset: number, value: number): void;
  /** As much as `into` has room for. */
  readInto(offset: number, into: Uint8Array): void;
  write(offset: number, bytes: Uint8Array): void;
}

export class Line {
  /** The other's indices are read, our own are kept here. */
  private rxConsumed: number;
  private txProduced: number;
  private dirty = false;

  /** What came before is nobody's any more. */
  constructor(private readonly memory: LineMemory) {
    this.rxConsumed = memory.load32(SerialPage.rxProduced);
    this.txProduced = memory.load32(SerialPage.txProduced);
    const consumed = memory.load32(SerialPage.txConsumed);
    // What cannot be was left by a domain 0 that was broken.
    if ((this.txProduced - consumed) >>> 0 > SERIAL_RING_BYTES) this.txProduced = consumed;
    memory.store32(SerialPage.txProduced, this.txProduced);
    memory.store32(SerialPage.rxConsumed, this.rxConsumed);
    memory.store32(SerialPage.txWaits, 0);
    memory.store32(SerialPage.wanted, 1);
    this.dirty = true;
  }

  /** Odd while the host's end is open; another value whenever it was opened or closed. */
  get connection(): number {
    return this.memory.load32(SerialPage.connection);
  }

  /** Bytes that have been received. */
  get available(): number {
    const bytes = (this.memory.load32(SerialPage.rxProduced) - this.rxConsumed) >>> 0;
    return bytes > SERIAL_RING_BYTES ? 0 : bytes;
  }

  read(into: Uint8Array): number {
    const bytes = Math.min(into.length, this.available);
    for (let done = 0; done < bytes;) {
      const at = (this.rxConsumed + done) % SERIAL_RING_BYTES;
      const part = Math.min(bytes - done, SERIAL_RING_BYTES - at);
      this.memory.readInto(SerialPage.rx + at, into.subarray(done, done + part));
      done += part;
    }
    if (bytes > 0) {
      this.rxConsumed = (this.rxConsumed + bytes) >>> 0;
      this.memory.store32(SerialPage.rxConsumed, this.rxConsumed);
    }
    return bytes;
  }

  private get room(): number {
    const used = (this.txProduced - this.memory.load32(SerialPage.txConsumed)) >>> 0;
    return used > SERIAL_RING_BYTES ? 0 : SERIAL_RING_BYTES - used;
  }

  /** Takes as many bytes as there is room for; when there are more, the I/O domain is asked to tell of room. */
  write(bytes: Uint8Array): number {
    let room = this.room;
    if (room < bytes.length) {
      this.memory.store32(SerialPage.txWaits, 1);
      room = this.room;
    } else {
      this.memory.store32(SerialPage.txWaits, 0);
    }
    const count = Math.min(bytes.length, room);
    for (let done = 0; done < count;) {
      const at = (this.txProduced + done) % SERIAL_RING_BYTES;
      const part = Math.min(count - done, SERIAL_RING_BYTES - at);
      this.memory.write(SerialPage.tx + at, bytes.subarray(done, done + part));
      done += part;
    }
    if (count > 0) {
      this.txProduced = (this.txProduced + count) >>> 0;
      this.memory.store32(SerialPage.txProduced, this.txProduced);
      this.dirty = true;
    }
    return count;
  }

  /** Whether the I/O domain is to be notified now: of bytes, or of room that it waits for. Asked once for each time. */
  takeNotify(): boolean {
    const wanted =
      this.dirty || (this.memory.load32(SerialPage.rxWaits) === 1 && this.available <= SERIAL_RING_BYTES / 2);
    this.dirty = false;
    return wanted;
  }
}
