/**
 * The TCP/IP sandbox (abi/net.ts) as domain 0 calls it: its memory, its mailbox, its operations. A fault in it is reported once; from then
 * on every operation does nothing until it is opened anew.
 */
import { DOM0_NET } from "../../../abi/domain0-layout.ts";
import * as net from "../../../abi/net.ts";
import { NetMailbox, NetStream } from "../../../abi/net.ts";
import { SANDBOX_NET } from "../../../abi/software.ts";
import { systemTime } from "../clock.ts";
import { memory } from "../host.ts";
import { releaseOwnMemory, takeOwnMemory } from "../hypercalls/memory.ts";
import { callSandbox, startSandbox } from "../sandbox.ts";
import { foldedSeed } from "../tls/entropy.ts";
import { PAGE_SIZE, words } from "../window.ts";

const FIRST_GFN = DOM0_NET / PAGE_SIZE;
const PAGES = net.NET_MEMORY_BYTES / PAGE_SIZE;
const SEED_BYTES = 64;

const low = (ns: number) => ns >>> 0;
const high = (ns: number) => Math.floor(ns / 0x100000000);

export class NetModule {
  /** Whether its memory has RAM, and its address of the mailbox; 0: there is no instance. */
  private hasMemory = false;
  private mailbox = 0;
  /** A live view of the mailbox. */
  private fields: Uint32Array = new Uint32Array(0);
  private staging = 0;
  private received = 0;
  /** System time at the last poll: asking for it costs as much as a call. */
  private now = 0;

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
    this.fields = words(memory, this.mailbox, NetMailbox.SIZE / 4);
    this.staging = DOM0_NET + this.load(NetMailbox.staging);
    this.received = DOM0_NET + this.load(NetMailbox.received);
    memory.store32(this.mailbox + NetMailbox.firstRef, firstRef);
    memory.write(this.mailbox + NetMailbox.mac, mac);
    this.now = systemTime();
    memory.write(this.mailbox + NetMailbox.seed, foldedSeed(SEED_BYTES));
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

  /** Takes what arrived, sends what is to be sent, and runs timers. Its result is NET_POLL's; null after a fault. */
  poll(): number | null {
    this.now = systemTime();
    return this.call(net.NET_POLL);
  }

  /** One of NET_*, at the time of the last poll; null after a fault. */
  call(operation: number, a = 0, b = 0, c = 0): number | null {
    if (this.mailbox === 0) return null;
    const { now } = this;
    const result = callSandbox(SANDBOX_NET, operation, low(now), high(now), a, b, c);
    if (result === null) this.mailbox = 0;
    return result;
  }

  private load(offset: number): number {
    return this.fields[offset >> 2]!;
  }

  /** Whether the back end is to be notified, asked once. */
  takeNotify(): boolean {
    if (this.load(NetMailbox.notify) === 0) return false;
    this.fields[NetMailbox.notify >> 2] = 0;
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
      let bits = this.load(NetMailbox.changed + 4 * word);
      if (bits === 0) continue;
      this.fields[(NetMailbox.changed >> 2) + word] = 0;
      for (; bits !== 0; bits &= bits - 1) numbers.push(32 * word + 31 - Math.clz32(bits & -bits));
    }
    return numbers;
  }

  /** A field of the interface's address, four bytes in network order: NetMailbox.address, .mask, .gateway. */
  addressField(offset: number): Uint8Array {
    return memory.read(this.mailbox + offset, 4);
  }

  /** A field of a stream. */
  stream(number: number, field: number): number {
    return this.fields[(NetMailbox.streams + number * NetStream.SIZE + field) >> 2]!;
  }

  private setStream(number: number, field: number, value: number): void {
    this.fields[(NetMailbox.streams + number * NetStream.SIZE + field) >> 2] = value;
  }

  /** The four bytes of the peer's address. */
  peerAddress(number: number): Uint8Array {
    return this.addressField(NetMailbox.streams + number * NetStream.SIZE + NetStream.address);
  }

  /** The stream is not to be dropped for another one, or is again. */
  setTrusted(number: number, trusted: boolean): void {
    this.setStream(number, NetStream.trusted, trusted ? 1 : 0);
  }

  /** Fewer received bytes than that are no change of the stream. */
  setWanted(number: number, bytes: number): void {
    this.setStream(number, NetStream.wanted, bytes);
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
    memory.readInto(base + at, into.subarray(0, first));
    if (first < bytes) memory.readInto(base, into.subarray(first, bytes));
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
