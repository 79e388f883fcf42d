/** An instance of the TCP/IP module, and the back end of its rings (xen/io/netif.h), which is the end of a wire. */
import { readFileSync } from "node:fs";
import * as net from "../../../../abi/net.ts";
import { NET_MEMORY_BYTES, NetMailbox, NetStream } from "../../../../abi/net.ts";
import { buildNetClientWasm, buildNetWasm, netClientWasm, netWasm } from "../../../../scripts/build/net-sandbox.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";

const PAGE = 4096;
const RING = 256;
const RING_AT = 64;
const REQ_PROD = 0;
const RSP_PROD = 8;
const TX_SLOT = 12;
const RX_SLOT = 8;
const TX_BLANK = 1;
const TX_VALIDATED = 2;
const RX_VALIDATED = 1;
const RX_BLANK = 2;
const FIRST_REF = 8;

export interface Frame {
  bytes: Uint8Array;
  /** Flags of the receiver's response. */
  flags: number;
}

export interface NetExports {
  call(operation: number, low: number, high: number, a: number, b: number, c: number): number;
  connect(address: number, port: number): number;
}

/** The modules, brought up to date: the one that boots, and the one that can connect. Null: lwIP cannot be had. */
export async function netModules(): Promise<{ boots: WebAssembly.Module; client: WebAssembly.Module } | null> {
  const missing = await withBuildLock(async () => (await buildNetWasm()) ?? (await buildNetClientWasm()));
  if (missing !== undefined) return null;
  const read = (file: string) => new WebAssembly.Module(readFileSync(file));
  return { boots: read(netWasm), client: read(netClientWasm) };
}

/** Memory for an instance. */
export function netMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: NET_MEMORY_BYTES / 65536 });
}

export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): NetExports {
  let random = 1n;
  const env = {
    memory,
    barrier: () => {},
    random: () => (random = (random * 6364136223846793005n + 1n) & ((1n << 64n) - 1n)),
  };
  return new WebAssembly.Instance(module, { env }).exports as unknown as NetExports;
}

/** The back end of the rings in a memory whose shared pages begin at `shared`. */
export class Backend {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private txDone = 0;
  private rxDone = 0;
  /** Frames that found no buffer. */
  dropped = 0;

  constructor(
    memory: WebAssembly.Memory,
    private readonly shared: number,
    private readonly firstRef = FIRST_REF,
  ) {
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
  }

  private page(ref: number): number {
    return this.shared + (ref - this.firstRef) * PAGE;
  }

  /** Takes what was sent. */
  take(): Frame[] {
    const { view, shared } = this;
    const frames: Frame[] = [];
    for (; this.txDone !== view.getUint32(shared + REQ_PROD, true); this.txDone = (this.txDone + 1) >>> 0) {
      const slot = shared + RING_AT + (this.txDone % RING) * TX_SLOT;
      const at = this.page(view.getUint32(slot, true)) + view.getUint16(slot + 4, true);
      const flags = view.getUint16(slot + 6, true);
      const id = view.getUint16(slot + 8, true);
      frames.push({
        bytes: this.bytes.slice(at, at + view.getUint16(slot + 10, true)),
        flags: (flags & TX_BLANK ? RX_BLANK : 0) | (flags & TX_VALIDATED ? RX_VALIDATED : 0),
      });
      view.setUint16(slot, id, true);
      view.setInt16(slot + 2, 0, true);
    }
    view.setUint32(shared + RSP_PROD, this.txDone, true);
    return frames;
  }

  give({ bytes, flags }: Frame): void {
    const { view } = this;
    const ring = this.shared + PAGE;
    if (this.rxDone === view.getUint32(ring + REQ_PROD, true)) {
      this.dropped++;
      return;
    }
    const slot = ring + RING_AT + (this.rxDone % RING) * RX_SLOT;
    this.bytes.set(bytes, this.page(view.getUint32(slot + 4, true)));
    view.setUint16(slot + 2, 0, true);
    view.setUint16(slot + 4, flags, true);
    view.setInt16(slot + 6, bytes.length, true);
    this.rxDone = (this.rxDone + 1) >>> 0;
    view.setUint32(ring + RSP_PROD, this.rxDone, true);
  }
}

/** A peer: an instance driven by the test itself. */
export class Peer {
  readonly backend: Backend;
  private readonly memory = netMemory();
  private readonly exports: NetExports;
  private readonly view = new DataView(this.memory.buffer);
  private readonly mailbox: number;

  /** @param clock system time in ns */
  constructor(
    module: WebAssembly.Module,
    private readonly clock: () => number,
    last: number,
  ) {
    this.exports = instantiate(module, this.memory);
    this.mailbox = this.call(net.NET_INIT);
    this.view.setUint32(this.mailbox + NetMailbox.firstRef, FIRST_REF, true);
    new Uint8Array(this.memory.buffer).set([0, 0x16, 0x3e, 0, 1, last], this.mailbox + NetMailbox.mac);
    this.view.setUint32(this.mailbox + NetMailbox.seed, last, true);
    this.call(net.NET_OPEN);
    this.call(net.NET_CONFIGURE, 0x0a | (last << 24), 0x00ffffff, 0);
    this.backend = new Backend(this.memory, this.field(NetMailbox.shared));
  }

  call(operation: number, a = 0, b = 0, c = 0): number {
    const now = this.clock();
    return this.exports.call(operation, now >>> 0, Math.floor(now / 2 ** 32), a, b, c);
  }

  /** Polls it; as often as it wants to be. */
  poll(): void {
    while (this.call(net.NET_POLL) === 1);
  }

  /** Begins to connect to 10.0.0.1. False when it has no room for one more. */
  connect(port: number): boolean {
    return this.exports.connect(0x0100000a, port) === 1;
  }

  private field(offset: number): number {
    return this.view.getUint32(this.mailbox + offset, true);
  }

  stream(number: number, field: number): number {
    return this.field(NetMailbox.streams + number * NetStream.SIZE + field);
  }

  /** Numbers of the streams in a state. */
  inState(state: number): number[] {
    return Array.from({ length: net.NET_STREAMS }, (_, i) => i).filter(
      (i) => this.stream(i, NetStream.state) === state,
    );
  }

  /** Sends bytes; how many were accepted. */
  write(number: number, bytes: Uint8Array): number {
    const piece = Math.min(bytes.length, net.NET_STAGING_BYTES);
    new Uint8Array(this.memory.buffer).set(bytes.subarray(0, piece), this.field(NetMailbox.staging));
    return this.call(net.NET_WRITE, number, piece);
  }

  /** Takes all that was received. */
  read(number: number): Uint8Array {
    const produced = this.stream(number, NetStream.produced);
    const consumed = this.stream(number, NetStream.consumed);
    const base = this.field(NetMailbox.received) + number * net.NET_RECEIVE_BYTES;
    const bytes = Uint8Array.from({ length: (produced - consumed) >>> 0 }, (_, i) =>
      this.view.getUint8(base + ((consumed + i) % net.NET_RECEIVE_BYTES)),
    );
    this.call(net.NET_CONSUMED, number, bytes.length);
    return bytes;
  }
}
