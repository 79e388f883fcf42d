/**
 * The control channel with the I/O domain, domain 0's side (abi/io/control.ts). It is opened with the first request. When the I/O
 * domain is restarted, its pages are new ones: it says so by an event, the pages are mapped again, and what it had not answered is
 * asked again; every request may be repeated.
 */
import { EIO, ENODEV, EOVERFLOW } from "../../../abi/errno.ts";
import {
  CONTROL_BULK_BYTES,
  CONTROL_PAYLOAD_BYTES,
  CONTROL_SLOT_BYTES,
  CONTROL_SLOTS,
  ControlPage,
  ControlRequest,
  ControlResponse,
  IO_BRIDGE_DUMP,
  IO_BRIDGE_LIST,
  IO_CONTROL_MAGIC,
  IO_CONTROL_VERSION,
  IO_DISK_LIST,
  IO_NIC_LIST,
  IO_VBD_LIST,
  IO_VIF_LIST,
  IO_VOLUME_LIST,
} from "../../../abi/io/control.ts";
import { IO_CONTROL, IO_DOMAIN } from "../../../abi/io/layout.ts";
import { closeChannel, onInterdomain } from "../events.ts";
import { memory } from "../host.ts";
import { HypercallError } from "../hypercall.ts";
import { domainExists } from "../hypercalls/domctl.ts";
import { allocUnbound, send } from "../hypercalls/event-channel.ts";
import { foreignFrames, mapForeign, unmapPage } from "../hypercalls/memory.ts";
import { IO_PAGES, IO_WINDOW } from "../map-space.ts";
import { after } from "../timers.ts";
import { PAGE_SHIFT, PAGE_SIZE } from "../window.ts";
import { IoError, type IoAnswer, type IoRequests } from "./io-requests.ts";

const DOMAIN_0 = 0;
/** How long the I/O domain is waited for at first, and how often its pages are looked for. */
const START_MS = 2000;
const RETRY_MS = 5;
/** A request that is not answered for so long: whether the I/O domain was restarted is looked at. */
const LOOK_MS = 250;

/** Operations whose answers use the bulk area: one at a time. */
const BULK = new Set([
  IO_BRIDGE_LIST,
  IO_BRIDGE_DUMP,
  IO_VIF_LIST,
  IO_NIC_LIST,
  IO_DISK_LIST,
  IO_VOLUME_LIST,
  IO_VBD_LIST,
]);

interface Request {
  readonly id: number;
  readonly operation: number;
  readonly payload: Uint8Array;
  readonly resolve: (answer: IoAnswer) => void;
  readonly reject: (error: Error) => void;
}

const field = (at: number) => IO_WINDOW + at;
const load = (at: number) => memory.load32(field(at));
const store = (at: number, value: number) => memory.store32(field(at), value);

export class IoChannel implements IoRequests {
  /** Our port; 0 while the channel is not open. */
  private port = 0;
  private mapped = false;
  private generation = 0;
  private latest = 0;
  /** In the order of their ids: not sent yet, and sent but not answered. */
  private waiting: Request[] = [];
  private readonly sent = new Map<number, Request>();
  private opening = false;
  private looking = false;

  request(operation: number, payload: Uint8Array): Promise<IoAnswer> {
    if (payload.length > CONTROL_PAYLOAD_BYTES) return Promise.reject(new IoError("the request", EOVERFLOW));
    return new Promise((resolve, reject) => {
      this.latest = (this.latest + 1) >>> 0;
      this.waiting.push({ id: this.latest, operation, payload, resolve, reject });
      if (this.port !== 0) this.sendWaiting();
      else if (!this.opening) this.open(START_MS);
    });
  }

  /** Looks for the I/O domain's pages for `leftMs`, then gives up. */
  private open(leftMs: number): void {
    this.opening = false;
    if (!domainExists(IO_DOMAIN)) return this.fail(ENODEV, "there is no I/O domain (io=off)");
    if (this.map()) {
      const remote = allocUnbound(IO_DOMAIN, DOMAIN_0);
      this.port = onInterdomain(IO_DOMAIN, remote, () => this.onEvent());
      store(ControlPage.port, remote);
      store(ControlPage.remotePort, this.port);
      send(this.port);
      this.sendWaiting();
      return;
    }
    if (leftMs <= 0) return this.fail(EIO, "the I/O domain does not start");
    this.opening = true;
    after(RETRY_MS, () => this.open(leftMs - RETRY_MS));
  }

  private fail(code: number, words: string): void {
    for (const { reject } of this.waiting.splice(0)) reject(new IoError(words, code));
  }

  /** Maps the pages of the I/O domain as it is now; false when it has none yet. */
  private map(): boolean {
    this.unmap();
    const frames = foreignFrames();
    for (let i = 0; i < IO_PAGES; i++) frames[2 * i] = (IO_CONTROL >>> PAGE_SHIFT) + i;
    try {
      mapForeign(IO_DOMAIN, IO_PAGES, IO_WINDOW);
    } catch (error) {
      if (error instanceof HypercallError) return false;
      throw error;
    }
    this.mapped = true;
    if (load(ControlPage.magic) !== IO_CONTROL_MAGIC || load(ControlPage.version) !== IO_CONTROL_VERSION) return false;
    this.generation = load(ControlPage.generation);
    return true;
  }

  private unmap(): void {
    if (!this.mapped) return;
    this.mapped = false;
    for (let i = 0; i < IO_PAGES; i++) unmapPage(IO_WINDOW + i * PAGE_SIZE);
  }

  private onEvent(): void {
    if (!this.takeAnswers()) this.lookForRestart();
    this.sendWaiting();
  }

  /** True when there were any. */
  private takeAnswers(): boolean {
    let consumed = load(ControlPage.responseConsumed);
    const produced = load(ControlPage.responseProduced);
    if (consumed === produced || (produced - consumed) >>> 0 > CONTROL_SLOTS) return false;
    while (consumed !== produced) {
      const slot = field(ControlPage.responses + (consumed % CONTROL_SLOTS) * CONTROL_SLOT_BYTES);
      const id = memory.load32(slot + ControlResponse.id);
      const status = memory.load32(slot + ControlResponse.status) | 0;
      const length = Math.min(memory.load32(slot + ControlResponse.length), CONTROL_PAYLOAD_BYTES);
      const bulkLength = Math.min(memory.load32(slot + ControlResponse.bulkLength), CONTROL_BULK_BYTES);
      const payload = new Uint8Array(memory.read(slot + ControlResponse.payload, length));
      const bulk =
        bulkLength > 0 ? new Uint8Array(memory.read(field(ControlPage.bulk), bulkLength)) : new Uint8Array(0);
      consumed = (consumed + 1) >>> 0;
      store(ControlPage.responseConsumed, consumed);
      const request = this.sent.get(id);
      if (request === undefined) continue;
      this.sent.delete(id);
      if (status < 0) request.reject(new IoError(`operation ${request.operation}`, -status));
      else request.resolve({ payload, bulk });
    }
    return true;
  }

  /** If the I/O domain has been restarted: goes on with its new pages, and asks again what it had not answered. */
  private lookForRestart(): void {
    const before = this.generation;
    if (!this.map()) return this.reopen();
    if (this.generation === before) return;
    // It binds our port again by itself, if it knew of it.
    this.waiting = [...this.sent.values(), ...this.waiting];
    this.sent.clear();
    store(ControlPage.remotePort, this.port);
  }

  /** It is on its way: begins anew. */
  private reopen(): void {
    closeChannel(this.port);
    this.port = 0;
    this.waiting = [...this.sent.values(), ...this.waiting];
    this.sent.clear();
    this.opening = true;
    after(RETRY_MS, () => this.open(START_MS));
  }

  private sendWaiting(): void {
    if (this.port === 0) return;
    let produced = load(ControlPage.requestProduced);
    let bulk = [...this.sent.values()].some(({ operation }) => BULK.has(operation));
    const kept: Request[] = [];
    let some = false;
    for (const request of this.waiting) {
      const isBulk = BULK.has(request.operation);
      if (this.sent.size >= CONTROL_SLOTS || (isBulk && bulk)) {
        kept.push(request);
        continue;
      }
      bulk ||= isBulk;
      const slot = field(ControlPage.requests + (produced % CONTROL_SLOTS) * CONTROL_SLOT_BYTES);
      memory.store32(slot + ControlRequest.id, request.id);
      memory.store32(slot + ControlRequest.operation, request.operation);
      memory.store32(slot + ControlRequest.length, request.payload.length);
      memory.write(slot + ControlRequest.payload, request.payload);
      produced = (produced + 1) >>> 0;
      this.sent.set(request.id, request);
      some = true;
    }
    this.waiting = kept;
    if (!some) return;
    store(ControlPage.requestProduced, produced);
    send(this.port);
    this.watch();
  }

  /** Has a look from time to time while an answer is missing: the event of a restart may have gone to a port of before. */
  private watch(): void {
    if (this.looking) return;
    this.looking = true;
    after(LOOK_MS, () => {
      this.looking = false;
      if (this.sent.size === 0 || this.port === 0) return;
      this.onEvent();
      this.watch();
    });
  }
}
