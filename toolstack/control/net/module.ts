/**
 * The TCP/IP sandbox (abi/net.ts) as domain 0 calls it: its memory, its mailbox, its operations. A fault in it is reported once; from then
 * on every operation does nothing until it is opened anew.
 */
import { DOM0_NET } from "../../../abi/domain0-layout.ts";
import * as net from "../../../abi/net.ts";
import { NetMailbox, NetStream } from "../../../abi/net.ts";
import { SANDBOX_NET } from "../../../abi/software.ts";
import { clockWords, systemTime } from "../clock.ts";
import { memory } from "../host.ts";
import { releaseOwnMemory, takeOwnMemory } from "../hypercalls/memory.ts";
import { callSandbox, startSandbox } from "../sandbox.ts";
import { PAGE_SIZE } from "../window.ts";

const FIRST_GFN = DOM0_NET / PAGE_SIZE;
const PAGES = net.NET_MEMORY_BYTES / PAGE_SIZE;
const SEED_BYTES = 64;

const low = (ns: number) => ns >>> 0;
const high = (ns: number) => Math.floor(ns / 0x100000000);

export class NetModule {
  /** Whether its memory has RAM, and its address of the mailbox; 0: there is no instance. */
  private hasMemory = false;
  private mailbox = 0;
  private staging = 0;
  private received = 0;

  /** Whether it can be called. */
  get isOpen(): boolean {
    return this.mailbox !== 0;
  }

  /**
   * Makes an instance, in memory that it is given now if it has none.
   * @param firstRef grant reference of the first shared page, which the others' follow
   * @returns what is missing, in words; null when it is open
   */
  open(mac: Uint8Array, firstRef: number): string | null {
    if (this.hasMemory) memory.zero(DOM0_NET, net.NET_MEMORY_BYTES);
    else if (!this.claim()) return "there is no memory for it";
    const mailbox = startSandbox(SANDBOX_NET, net.NET_INIT, 0, 0);
    if (mailbox === null) {
      this.release();
      return "this image was built without TCP/IP, or it cannot be started";
    }
    this.mailbox = DOM0_NET + mailbox;
    this.staging = DOM0_NET + this.load(NetMailbox.staging);
    this.received = DOM0_NET + this.load(NetMailbox.received);
    memory.store32(this.mailbox + NetMailbox.firstRef, firstRef);
    memory.write(this.mailbox + NetMailbox.mac, mac);
    const seed = new Uint8Array(Uint32Array.from([systemTime(), ...clockWords()]).buffer);
    memory.write(this.mailbox + NetMailbox.seed, seed.subarray(0, SEED_BYTES));
    this.call(net.NET_OPEN);
    return null;
  }

  private claim(): boolean {
    return (this.hasMemory = takeOwnMemory(FIRST_GFN, PAGES));
  }

  /** Gives its memory back. Nobody else may have any of it mapped. */
  release(): void {
    this.mailbox = 0;
    if (this.hasMemory) releaseOwnMemory(FIRST_GFN, PAGES);
    this.hasMemory = false;
  }

  /** Address of the shared pages in the window. */
  get shared(): number {
    return DOM0_NET + this.load(NetMailbox.shared);
  }

  /** One of NET_*; null after a fault. */
  call(operation: number, a = 0, b = 0, c = 0): number | null {
    if (this.mailbox === 0) return null;
    const now = systemTime();
    const result = callSandbox(SANDBOX_NET, operation, low(now), high(now), a, b, c);
    if (result === null) this.mailbox = 0;
    return result;
  }

  private load(offset: number): number {
    return memory.load32(this.mailbox + offset);
  }

  /** Whether the back end is to be notified, asked once. */
  takeNotify(): boolean {
    if (this.load(NetMailbox.notify) === 0) return false;
    memory.store32(this.mailbox + NetMailbox.notify, 0);
    return true;
  }

  /** System time at which it is to be polled; 0: no such time. */
  deadline(): number {
    return this.load(NetMailbox.deadline + 4) * 0x100000000 + this.load(NetMailbox.deadline);
  }

  /** Numbers of the streams that have changed since this was asked last. */
  takeChanged(): number[] {
    const numbers: number[] = [];
    for (let word = 0; word < net.NET_STREAMS / 32; word++) {
      const bits = this.load(NetMailbox.changed + 4 * word);
      if (bits === 0) continue;
      memory.store32(this.mailbox + NetMailbox.changed + 4 * word, 0);
      for (let bit = 0; bit < 32; bit++) if ((bits >>> bit) & 1) numbers.push(32 * word + bit);
    }
    return numbers;
  }

  /** A field of the interface's address, four bytes in network order: NetMailbox.address, .mask, .gateway. */
  addressField(offset: number): Uint8Array {
    return memory.read(this.mailbox + offset, 4);
  }

  private streamAt(number: number): number {
    return this.mailbox + NetMailbox.streams + number * NetStream.SIZE;
  }

  /** A field of a stream. */
  stream(number: number, field: number): number {
    return memory.load32(this.streamAt(number) + field);
  }

  /** The four bytes of the peer's address. */
  peerAddress(number: number): Uint8Array {
    return memory.read(this.streamAt(number) + NetStream.address, 4);
  }

  /** The stream is not to be dropped for another one, or is again. */
  setTrusted(number: number, trusted: boolean): void {
    memory.store32(this.streamAt(number) + NetStream.trusted, trusted ? 1 : 0);
  }

  /** Bytes that were received and not taken. */
  available(number: number): number {
    const bytes = (this.stream(number, NetStream.produced) - this.stream(number, NetStream.consumed)) >>> 0;
    return Math.min(bytes, net.NET_RECEIVE_BYTES);
  }

  /** Takes received bytes: `into.length` at most; returns how many. */
  read(number: number, into: Uint8Array): number {
    const bytes = Math.min(this.available(number), into.length);
    if (bytes === 0) return 0;
    const at = this.stream(number, NetStream.consumed) % net.NET_RECEIVE_BYTES;
    const base = this.received + number * net.NET_RECEIVE_BYTES;
    const first = Math.min(bytes, net.NET_RECEIVE_BYTES - at);
    into.set(memory.read(base + at, first));
    if (first < bytes) into.set(memory.read(base, bytes - first), first);
    this.call(net.NET_CONSUMED, number, bytes);
    return bytes;
  }

  /** Accepts bytes to be sent; returns how many. */
  write(number: number, bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length && this.isOpen) {
      const piece = Math.min(bytes.length - done, net.NET_STAGING_BYTES, this.stream(number, NetStream.room));
      if (piece === 0) break;
      memory.write(this.staging, bytes.subarray(done, done + piece));
      const accepted = this.call(net.NET_WRITE, number, piece) ?? 0;
      done += accepted;
      if (accepted < piece) break;
    }
    return done;
  }
}
