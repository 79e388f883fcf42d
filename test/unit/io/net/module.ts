/** The network back end in Node: the module of noxs/net/unit-test-entry.ts on a simulated host, and domain 0's requests. */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  IO_BRIDGE_CAPTURE,
  IO_BRIDGE_CREATE,
  IO_BRIDGE_DELETE,
  IO_BRIDGE_DUMP,
  IO_BRIDGE_LIST,
  IO_BRIDGE_UPLINK,
  IO_NIC_LIST,
  IO_VIF_ADD,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_LIST,
  IO_VIF_REMOVE,
  IO_VIF_SET_RATE,
} from "../../../../abi/io/control.ts";
import {
  BridgeCapture,
  BridgeCaptureResponse,
  BridgeCreate,
  BridgeDump,
  BridgeDumpResponse,
  BridgeEntry,
  BridgeUplink,
  CaptureRecord,
  Counters,
  DROP_REASONS,
  ListResponse,
  NicEntry,
  VIF_MODEL_NOXS,
  VifAdd,
  VifAddResponse,
  VifConnect,
  VifConnectQueue,
  VifEntry,
  VifKey,
  VifSetRate,
} from "../../../../abi/io/control-net.ts";
import { withBuildLock } from "../../../../scripts/build/lock.ts";
import { runStep, runTool } from "../../../../scripts/build/task.ts";
import { buildFolder, fromRoot } from "../../../../scripts/paths.ts";
import { Guest, IoHost } from "../grants.ts";

const wasm = path.join(buildFolder, "unit-net.wasm");

async function compile(): Promise<WebAssembly.Module> {
  const args = [
    fromRoot("node_modules/assemblyscript/bin/asc.js"),
    "noxs/net/unit-test-entry.ts",
    ...["--runtime", "stub", "-O3", "--debug", "--importMemory"],
    ...["-o", "build/unit-net.wasm"],
  ];
  await withBuildLock(() =>
    runStep({
      name: "unit-net",
      title: "compiled the network back end for its unit tests",
      inputs: () => [fromRoot("abi"), fromRoot("drivers"), fromRoot("noxs")],
      key: args.slice(1).join(" "),
      outputs: [wasm],
      run: async () => {
        await runTool(process.execPath, args);
      },
    }),
  );
  return new WebAssembly.Module(readFileSync(wasm));
}

const compiled = compile();

type Call = (...args: (number | bigint)[]) => number;

export interface VifConfig {
  mac?: string;
  ipv4?: string;
  bridge?: string;
  model?: number;
  flags?: number;
  rate?: number;
  burst?: number;
  devid?: number;
}

export interface BridgeConfig {
  flags?: number;
  prefix?: number;
  gateway?: string;
  server?: string;
  dns?: string[];
  lease?: number;
}

/** Counters of a vif or a bridge. */
export interface Counts {
  txFrames: number;
  txBytes: number;
  rxFrames: number;
  rxBytes: number;
  drops: number[];
}

export interface VifState extends Counts {
  domid: number;
  devid: number;
  state: number;
  failure: number;
  queues: number;
  features: number;
  grant: number;
  port: number;
  bridge: string;
}

export interface BridgeState extends Counts {
  name: string;
  vifs: number;
  learned: number;
  nic: number;
}

/** What the module says a frame to the card is. */
export interface CardFrame {
  data: Buffer;
  segments: number;
  flags: number;
  checksumStart: number;
  checksumOffset: number;
  gso: number;
  gsoSize: number;
  headerBytes: number;
  cookie: number;
}

export function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

export function ip(text: string): Buffer {
  return Buffer.from(text.split(".").map(Number));
}

/** Offset of each field of drivers/network.ts's Frame. */
const CARD_FRAME = {
  segments: 0,
  count: 4,
  length: 8,
  flags: 12,
  start: 16,
  offset: 18,
  gso: 20,
  size: 24,
  headers: 26,
};
const SEGMENT = { linear: 8, bytes: 12, SIZE: 16 };

export class Net {
  readonly host = new IoHost();
  exports!: Record<string, Call>;
  /** Frames that the card has been given and not yet sent; `room` of them it takes. */
  readonly sent: CardFrame[] = [];
  room = Number.MAX_SAFE_INTEGER;
  /** Whether the card is done with each frame at once. */
  immediate = true;
  card = 0;
  private readonly buffers: { request: number; response: number; bulk: number } = { request: 0, response: 0, bulk: 0 };
  private cards: { features: number; mtu: number }[] = [];
  private dma = 0;

  static async start(): Promise<Net> {
    const net = new Net();
    await net.instantiate();
    return net;
  }

  private async instantiate(): Promise<void> {
    const instance = new WebAssembly.Instance(await compiled, {
      env: {
        memory: this.host.memory,
        abort: (message: number, file: number, line: number, column: number) => {
          throw new Error(`assertion at ${this.text(file)}:${line}:${column}: ${this.text(message)}`);
        },
      },
      io: this.host.imports(),
      unit: {
        transmit: (_queue: number, frame: number, cookie: number) => this.transmit(frame >>> 0, cookie >>> 0),
        kick: () => {},
        reclaim: () => this.cardDone(),
      },
    });
    this.exports = instance.exports as unknown as Record<string, Call>;
    for (const card of this.cards) this.card = this.exports["cardPlug"]!(card.features, card.mtu) >>> 0;
    if (this.exports["eventsStart"]!() === 0) throw new Error("no memory for event channels");
    this.exports["keptPortsStart"]!();
    if (this.exports["netInit"]!() === 0) throw new Error("no memory for the back end");
    this.exports["keptPortsEnd"]!();
    this.buffers.request = this.exports["heapAllocate"]!(4096);
    this.buffers.response = this.exports["heapAllocate"]!(4096);
    this.buffers.bulk = this.exports["heapAllocate"]!(65536);
    this.dma = this.exports["heapAllocate"]!(65536 + 4096);
  }

  /** The domain is killed and started again; nobody is told. */
  async restart(): Promise<void> {
    this.host.restart();
    await this.instantiate();
  }

  private text(at: number): string {
    const length = this.host.view.getUint32(at - 4, true);
    return Buffer.from(this.host.bytes.subarray(at, at + length)).toString("utf16le");
  }

  // --- Running --------------------------------------------------------------------------------------------------------

  /** One turn of the domain: events, then a piece of work; false when there is nothing more to do. */
  turn(): boolean {
    const ports = [...this.host.pending];
    this.host.pending.clear();
    for (const port of ports) this.exports["eventDeliver"]!(port);
    return this.exports["netTurn"]!() !== 0 || this.host.pending.size > 0;
  }

  /** Until neither the domain nor any guest has anything to do. */
  run(turns = 20_000): void {
    for (let i = 0; i < turns; i++) {
      const more = this.turn();
      const guests = this.host.deliverToGuests();
      if (!more && !guests && this.host.pending.size === 0) return;
    }
    throw new Error("the back end does not come to rest");
  }

  /** As `run`, while time passes, with a turn whenever the back end has asked for one. */
  pass(ns: bigint): void {
    const end = this.host.time + ns;
    for (;;) {
      this.run();
      const next = BigInt.asUintN(64, BigInt(this.exports["netDeadline"]!()));
      if (next > end) break;
      if (next > this.host.time) this.host.time = next;
    }
    this.host.time = end;
    this.run();
  }

  // --- The card -------------------------------------------------------------------------------------------------------

  plug(features: number, mtu = 1500): void {
    this.cards.push({ features, mtu });
    this.card = this.exports["cardPlug"]!(features, mtu) >>> 0;
  }

  private transmit(frame: number, cookie: number): number {
    if (this.sent.length >= this.room) return -11;
    const { view, bytes } = this.host;
    const count = view.getUint32(frame + CARD_FRAME.count, true);
    const segments = view.getUint32(frame + CARD_FRAME.segments, true);
    const parts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const segment = segments + i * SEGMENT.SIZE;
      const linear = this.host.dmaLinear(view.getBigUint64(segment, true));
      if (linear !== view.getUint32(segment + SEGMENT.linear, true)) throw new Error("a segment at two addresses");
      const length = view.getUint32(segment + SEGMENT.bytes, true);
      if ((linear % 4096) + length > 4096) throw new Error("a segment that crosses a page");
      parts.push(bytes.slice(linear, linear + length));
    }
    const data = Buffer.concat(parts);
    if (data.length !== view.getUint32(frame + CARD_FRAME.length, true)) throw new Error("segments of another length");
    this.sent.push({
      data,
      segments: count,
      flags: view.getUint32(frame + CARD_FRAME.flags, true),
      checksumStart: view.getUint16(frame + CARD_FRAME.start, true),
      checksumOffset: view.getUint16(frame + CARD_FRAME.offset, true),
      gso: view.getUint32(frame + CARD_FRAME.gso, true),
      gsoSize: view.getUint16(frame + CARD_FRAME.size, true),
      headerBytes: view.getUint16(frame + CARD_FRAME.headers, true),
      cookie,
    });
    if (this.immediate) this.done.push(cookie);
    return 0;
  }

  private readonly done: number[] = [];

  /** Tells the back end of frames that the card is done with. */
  cardDone(): void {
    for (const cookie of this.done.splice(0)) this.exports["cardDone"]!(this.card, cookie, 0);
  }

  /** A frame comes from the wire. */
  receive(data: Uint8Array, options: { flags?: number; gso?: number; gsoSize?: number; segment?: number } = {}): void {
    // The card writes to DMA memory; the pool's last page serves.
    const at = 0x11800000;
    this.host.bytes.set(data, at);
    const { flags = 0, gso = 0, gsoSize = 0, segment = 4096 } = options;
    this.exports["cardReceive"]!(this.card, at, data.length, segment, flags, gso, gsoSize);
  }

  // --- Domain 0's requests --------------------------------------------------------------------------------------------

  private request(size: number, fill: (view: DataView) => void): number {
    const { request } = this.buffers;
    this.host.bytes.fill(0, request, request + 4096);
    fill(new DataView(this.host.memory.buffer, request, Math.max(size, 4)));
    return request;
  }

  /** What is answered to the request in the buffer. */
  control(operation: number, length: number, room = 65536): number {
    const { request, response, bulk } = this.buffers;
    return this.exports["netControl"]!(operation, request, length, response, bulk, room);
  }

  private setName(view: DataView, at: number, name: string): void {
    Buffer.from(view.buffer, view.byteOffset + at, 16).write(name, "latin1");
  }

  createBridge(name: string, config: BridgeConfig = {}): number {
    this.request(BridgeCreate.SIZE, (view) => {
      this.setName(view, BridgeCreate.name, name);
      view.setUint32(BridgeCreate.flags, config.flags ?? 0, true);
      view.setUint32(BridgeCreate.prefix, config.prefix ?? 24, true);
      view.setUint32(BridgeCreate.lease, config.lease ?? 0, true);
      const put = (at: number, address: string | undefined): void => {
        if (address !== undefined) Buffer.from(view.buffer, view.byteOffset + at, 4).set(ip(address));
      };
      put(BridgeCreate.gateway, config.gateway);
      put(BridgeCreate.server, config.server);
      put(BridgeCreate.dns0, config.dns?.[0]);
      put(BridgeCreate.dns1, config.dns?.[1]);
    });
    return this.control(IO_BRIDGE_CREATE, BridgeCreate.SIZE);
  }

  deleteBridge(name: string): number {
    this.request(16, (view) => this.setName(view, 0, name));
    return this.control(IO_BRIDGE_DELETE, 16);
  }

  setUplink(name: string, nic: number): number {
    this.request(BridgeUplink.SIZE, (view) => {
      this.setName(view, 0, name);
      view.setUint32(BridgeUplink.nic, nic, true);
    });
    return this.control(IO_BRIDGE_UPLINK, BridgeUplink.SIZE);
  }

  capture(name: string, bytes: number): number {
    this.request(BridgeCapture.SIZE, (view) => {
      this.setName(view, 0, name);
      view.setUint32(BridgeCapture.bytes, bytes, true);
    });
    return this.control(IO_BRIDGE_CAPTURE, BridgeCapture.SIZE);
  }

  /** Where a capture that was just started begins. */
  captureStart(): bigint {
    return this.host.view.getBigUint64(this.buffers.response + BridgeCaptureResponse.position, true);
  }

  /** Everything captured from `position` on, the latest frame's number, and whether the capture goes on. */
  dump(
    name: string,
    position = 0n,
    room = 65536,
  ): { frames: Buffer[]; lengths: number[]; position: bigint; latest: number; capture: number } {
    this.request(BridgeDump.SIZE, (view) => {
      this.setName(view, 0, name);
      view.setBigUint64(BridgeDump.position, position, true);
    });
    const { response, bulk } = this.buffers;
    if (this.control(IO_BRIDGE_DUMP, BridgeDump.SIZE, room) !== 0) throw new Error("no such bridge");
    const { view, bytes } = this.host;
    const size = view.getUint32(response + BridgeDumpResponse.bytes, true);
    const frames: Buffer[] = [];
    const lengths: number[] = [];
    let latest = 0;
    for (let at = bulk; at < bulk + size;) {
      const captured = view.getUint32(at + CaptureRecord.captured, true);
      lengths.push(view.getUint32(at + CaptureRecord.length, true));
      latest = view.getUint32(at + CaptureRecord.number, true);
      at += CaptureRecord.SIZE;
      frames.push(Buffer.from(bytes.slice(at, at + captured)));
      at += (captured + 7) & ~7;
    }
    return {
      frames,
      lengths,
      position: view.getBigUint64(response + BridgeDumpResponse.position, true),
      latest,
      capture: view.getUint32(response + BridgeDumpResponse.capture, true),
    };
  }

  addVif(domid: number, config: VifConfig = {}): { status: number; grant: number; port: number } {
    this.request(VifAdd.SIZE, (view) => {
      view.setUint32(VifAdd.domid, domid, true);
      view.setUint32(VifAdd.devid, config.devid ?? 0, true);
      view.setUint32(VifAdd.model, config.model ?? VIF_MODEL_NOXS, true);
      view.setUint32(VifAdd.flags, config.flags ?? 0, true);
      view.setUint32(VifAdd.burst, config.burst ?? 0, true);
      view.setBigUint64(VifAdd.rate, BigInt(config.rate ?? 0), true);
      this.setName(view, VifAdd.bridge, config.bridge ?? "br0");
      const raw = Buffer.from(view.buffer, view.byteOffset, VifAdd.SIZE);
      raw.set(mac(config.mac ?? guestMac(domid)), VifAdd.mac);
      if (config.ipv4 !== undefined) raw.set(ip(config.ipv4), VifAdd.ipv4);
    });
    const { response } = this.buffers;
    const status = this.control(IO_VIF_ADD, VifAdd.SIZE);
    return {
      status,
      grant: this.host.view.getUint32(response + VifAddResponse.grant, true),
      port: this.host.view.getUint32(response + VifAddResponse.port, true),
    };
  }

  private key(domid: number, devid: number): void {
    this.request(VifKey.SIZE, (view) => {
      view.setUint32(VifKey.domid, domid, true);
      view.setUint32(VifKey.devid, devid, true);
    });
  }

  removeVif(domid: number, devid = 0): number {
    this.key(domid, devid);
    return this.control(IO_VIF_REMOVE, VifKey.SIZE);
  }

  disconnectVif(domid: number, devid = 0): number {
    this.key(domid, devid);
    return this.control(IO_VIF_DISCONNECT, VifKey.SIZE);
  }

  setRate(domid: number, rate: number, burst: number, devid = 0): number {
    this.request(VifSetRate.SIZE, (view) => {
      view.setUint32(VifSetRate.domid, domid, true);
      view.setUint32(VifSetRate.devid, devid, true);
      view.setBigUint64(VifSetRate.rate, BigInt(rate), true);
      view.setUint32(VifSetRate.burst, burst, true);
    });
    return this.control(IO_VIF_SET_RATE, VifSetRate.SIZE);
  }

  connectVif(
    domid: number,
    features: number,
    queues: { txRef: number; rxRef: number; txPort: number; rxPort: number }[],
    ctrl: { ref: number; port: number } = { ref: 0, port: 0 },
    devid = 0,
  ): number {
    const size = VifConnect.SIZE + queues.length * VifConnectQueue.SIZE;
    this.request(size, (view) => {
      view.setUint32(VifConnect.domid, domid, true);
      view.setUint32(VifConnect.devid, devid, true);
      view.setUint32(VifConnect.queues, queues.length, true);
      view.setUint32(VifConnect.features, features, true);
      view.setUint32(VifConnect.ctrl_ref, ctrl.ref, true);
      view.setUint32(VifConnect.ctrl_port, ctrl.port, true);
      queues.forEach((queue, i) => {
        const at = VifConnect.SIZE + i * VifConnectQueue.SIZE;
        view.setUint32(at + VifConnectQueue.tx_ref, queue.txRef, true);
        view.setUint32(at + VifConnectQueue.rx_ref, queue.rxRef, true);
        view.setUint32(at + VifConnectQueue.tx_port, queue.txPort, true);
        view.setUint32(at + VifConnectQueue.rx_port, queue.rxPort, true);
      });
    });
    return this.control(IO_VIF_CONNECT, size);
  }

  private counts(at: number): Counts {
    const u64 = (field: number): number => Number(this.host.view.getBigUint64(at + field, true));
    return {
      txFrames: u64(Counters.tx_frames),
      txBytes: u64(Counters.tx_bytes),
      rxFrames: u64(Counters.rx_frames),
      rxBytes: u64(Counters.rx_bytes),
      drops: Array.from({ length: DROP_REASONS }, (_, i) => u64(Counters.drops + i * 8)),
    };
  }

  private list<T>(operation: number, size: number, room: number, read: (at: number) => T): T[] {
    const all: T[] = [];
    let cursor = 0;
    do {
      this.request(4, (view) => view.setUint32(0, cursor, true));
      const { response, bulk } = this.buffers;
      const status = this.control(operation, 4, room);
      if (status !== 0) throw new Error(`${operation}: ${status}`);
      const count = this.host.view.getUint32(response + ListResponse.count, true);
      for (let i = 0; i < count; i++) all.push(read(bulk + i * size));
      cursor = this.host.view.getUint32(response + ListResponse.cursor, true);
    } while (cursor !== 0);
    return all;
  }

  private name(at: number): string {
    return Buffer.from(this.host.bytes.subarray(at, at + 16))
      .toString("latin1")
      .replace(/\0+$/, "");
  }

  vifs(room = 65536): VifState[] {
    const { view } = this.host;
    return this.list(IO_VIF_LIST, VifEntry.SIZE, room, (at) => ({
      domid: view.getUint32(at + VifEntry.domid, true),
      devid: view.getUint32(at + VifEntry.devid, true),
      state: view.getUint32(at + VifEntry.state, true),
      failure: view.getUint32(at + VifEntry.failure, true),
      queues: view.getUint32(at + VifEntry.queues, true),
      features: view.getUint32(at + VifEntry.features, true),
      grant: view.getUint32(at + VifEntry.grant, true),
      port: view.getUint32(at + VifEntry.port, true),
      bridge: this.name(at + VifEntry.bridge),
      ...this.counts(at + VifEntry.counters),
    }));
  }

  vif(domid: number, devid = 0): VifState {
    const found = this.vifs().find((vif) => vif.domid === domid && vif.devid === devid);
    if (found === undefined) throw new Error(`vif ${domid}.${devid} is not there`);
    return found;
  }

  bridges(room = 65536): BridgeState[] {
    const { view } = this.host;
    return this.list(IO_BRIDGE_LIST, BridgeEntry.SIZE, room, (at) => ({
      name: this.name(at + BridgeEntry.name),
      vifs: view.getUint32(at + BridgeEntry.vifs, true),
      learned: view.getUint32(at + BridgeEntry.learned, true),
      nic: view.getUint32(at + BridgeEntry.nic, true),
      ...this.counts(at + BridgeEntry.counters),
    }));
  }

  /** Of each card: driver, bridge, whether its link is up, frames sent and received. */
  nics(room = 65536): { bridge: string; link: number; state: number }[] {
    const { view } = this.host;
    return this.list(IO_NIC_LIST, NicEntry.SIZE, room, (at) => ({
      bridge: this.name(at + NicEntry.bridge),
      link: view.getUint32(at + NicEntry.link, true),
      state: view.getUint32(at + NicEntry.state, true),
    }));
  }

  bridge(name = "br0"): BridgeState {
    return this.bridges().find((bridge) => bridge.name === name)!;
  }

  guest(domid: number): Guest {
    return this.host.guest(domid);
  }

  /** Scratch memory of the module. */
  scratch(): number {
    return this.dma;
  }
}

/** The MAC address that a test's guest has. */
export function guestMac(domid: number): string {
  return `00:16:3e:00:${(domid >> 8).toString(16).padStart(2, "0")}:${(domid & 255).toString(16).padStart(2, "0")}`;
}
