/**
 * The control channel's client (abi/io/control.ts): domain 0's requests to the I/O domain, as promises.
 *
 * The channel is opened by domain 0, at its own start and whenever the I/O domain was restarted, which VIRQ_DOM_EXC tells:
 * `changed`. Requests that the I/O domain of before had taken and not answered are refused then, for it cannot be known whether
 * they were carried out; others, and requests made while it is not open, wait until it is. A request's id is the number of its slot in the order of all,
 * so that answers to an earlier domain 0 are recognised and left.
 */
import { EIO, ENODEV } from "../../../abi/errno.ts";
import * as controlBlock from "../../../abi/io/control-block.ts";
import * as control from "../../../abi/io/control.ts";
import {
  CONTROL_BULK_BYTES,
  CONTROL_PAYLOAD_BYTES,
  CONTROL_SLOT_BYTES,
  CONTROL_SLOTS,
  ControlPage,
  ControlRequest,
  ControlResponse,
  IO_CONTROL_MAGIC,
  IO_CONTROL_VERSION,
  IO_PING,
} from "../../../abi/io/control.ts";
import { SERIAL_PORTS } from "../../../abi/io/control-serial.ts";
import { IO_CONTROL, IO_CONTROL_END, IO_DOMAIN } from "../../../abi/io/layout.ts";
import { DOMAIN_0 } from "../domains/system-domains.ts";
import { closeChannel, onInterdomain } from "../events.ts";
import { reportFailure } from "../failures.ts";
import { memory } from "../host.ts";
import { HypercallError } from "../hypercall.ts";
import { domainInfo } from "../hypercalls/domctl.ts";
import { allocUnbound, isConnected, send } from "../hypercalls/event-channel.ts";
import { foreignFrames, mapForeign, unmapPage } from "../hypercalls/memory.ts";
import { IO_WINDOW } from "../map-space.ts";
import { encodeUtf8, decodeUtf8 } from "../text.ts";
import { after } from "../timers.ts";
import { PAGE_SHIFT, PAGE_SIZE, words } from "../window.ts";
import { IoError, type IoAnswer, type IoRequests } from "./io-requests.ts";

/** Words of the control page's head and of a slot's. */
const HEAD_WORDS = ControlPage.serial / 4 + SERIAL_PORTS;
const SLOT_WORDS = ControlRequest.payload / 4;
const REQUEST_PRODUCED = ControlPage.requestProduced / 4;
const REQUEST_CONSUMED = ControlPage.requestConsumed / 4;
const RESPONSE_PRODUCED = ControlPage.responseProduced / 4;
const RESPONSE_CONSUMED = ControlPage.responseConsumed / 4;
const SERIAL = ControlPage.serial / 4;
const PAGES = (IO_CONTROL_END - IO_CONTROL) / PAGE_SIZE;
const NOTHING = new Uint8Array(0);
/** How long to wait for an I/O domain that has just been started, and how often. */
const RETRY_MS = 10;
const RETRIES = 500;

/** Operations that may use the bulk area: one at a time. */
const BULK: ReadonlySet<number> = new Set([
  control.IO_BRIDGE_LIST,
  control.IO_BRIDGE_DUMP,
  control.IO_VIF_LIST,
  control.IO_NIC_LIST,
  control.IO_DISK_LIST,
  control.IO_VOLUME_LIST,
  control.IO_VOLUME_CHECK,
  control.IO_VBD_LIST,
]);

const NAMES = new Map(
  [...Object.entries(control), ...Object.entries(controlBlock)]
    .filter(([name, value]) => name.startsWith("IO_") && typeof value === "number")
    .map(([name, value]) => [value as number, name.slice(3)]),
);

/** What a request is called in errors. */
function nameOf(operation: number): string {
  return NAMES.get(operation) ?? `operation ${operation}`;
}

/** Who uses the serial ports that the I/O domain tells of: their pages' first frames are in its control page. */
export interface SharedPorts {
  /** There are those, more than before. */
  found(frames: readonly number[]): void;
  /** The I/O domain has notified. */
  notified(): void;
  /** They are gone, with the I/O domain. */
  lost(): void;
}

interface Request {
  operation: number;
  payload: Uint8Array;
  resolve: (answer: IoAnswer) => void;
  reject: (error: Error) => void;
}

export class IoChannel implements IoRequests {
  /** Port of ours; null while the channel is not open. */
  private port: number | null = null;
  private mapped = false;
  /** Live views of the mapped pages, made when they are needed: the first page's head, and the heads of slots. */
  private head: Uint32Array | null = null;
  private requests: Uint32Array[] = [];
  private responses: Uint32Array[] = [];
  /** Not sent yet. */
  private readonly queue: Request[] = [];
  /** Sent, by id. */
  private readonly sent = new Map<number, Request>();
  private bulkBusy = false;
  private attempt = 0;
  private cancelRetry: (() => void) | null = null;
  /** Starts of the I/O domain, as it counts them; 0 before the channel was first opened. */
  generation = 0;
  ports: SharedPorts | null = null;
  private portsKnown = 0;

  /** Opens the channel, now or when the I/O domain has started. Without an I/O domain all requests are refused. */
  open(): void {
    this.attempt = 0;
    this.tryOpen();
  }

  /** The I/O domain may have been restarted, or have crashed too often. */
  changed(): void {
    if (this.port !== null && isConnected(this.port)) return;
    if (this.port !== null) this.settle();
    this.close();
    this.open();
  }

  /**
   * The I/O domain of before is gone, its control page stays as it was: answers in it are taken, requests that it had not taken
   * are made again, and the rest is refused.
   */
  private settle(): void {
    this.receive();
    const consumed = this.headWords()[REQUEST_CONSUMED]!;
    const again: Request[] = [];
    for (const [id, request] of this.sent) {
      if ((id - consumed) >>> 0 < CONTROL_SLOTS) again.push(request);
      else request.reject(new IoError(nameOf(request.operation), EIO, true));
    }
    this.sent.clear();
    this.queue.unshift(...again);
    this.bulkBusy = false;
  }

  request(operation: number, payload: Uint8Array): Promise<IoAnswer> {
    if (payload.length > CONTROL_PAYLOAD_BYTES) throw new RangeError("a request to the I/O domain is too long");
    return new Promise((resolve, reject) => {
      this.queue.push({ operation, payload, resolve, reject });
      if (this.port !== null) this.pump();
      else if (this.cancelRetry === null) this.open();
    });
  }

  /** Sends the I/O domain a text, which it sends back. */
  async ping(text = "ping"): Promise<string> {
    const { payload } = await this.request(IO_PING, encodeUtf8(text));
    return decodeUtf8(payload);
  }

  private at(offset: number): number {
    return IO_WINDOW + offset;
  }

  private close(): void {
    this.cancelRetry?.();
    this.cancelRetry = null;
    if (this.portsKnown > 0) this.ports?.lost();
    this.portsKnown = 0;
    if (this.port !== null) closeChannel(this.port);
    this.port = null;
    this.unmap();
  }

  private tryOpen(): void {
    this.cancelRetry = null;
    try {
      if (domainInfo(IO_DOMAIN).shutdown) {
        this.refuseAll();
        return;
      }
      // What is mapped may be the page of an I/O domain that has been restarted since, of which nobody has told yet.
      this.map();
      if (this.isReady() && this.bind()) return;
    } catch (error) {
      this.close();
      // Without an I/O domain there are no devices.
      if (!(error instanceof HypercallError)) reportFailure("opening the channel to the I/O domain", error);
      this.refuseAll();
      return;
    }
    // Just started, it has not had the CPU yet.
    if (this.attempt++ < RETRIES) this.cancelRetry = after(RETRY_MS, () => this.tryOpen());
    else this.refuseAll();
  }

  private refuseAll(): void {
    for (const { operation, reject } of this.queue.splice(0)) reject(new IoError(nameOf(operation), ENODEV));
  }

  /** The I/O domain whose page is mapped has come to where it serves requests. */
  private isReady(): boolean {
    return memory.load32(this.at(ControlPage.magic)) === IO_CONTROL_MAGIC;
  }

  private unmap(): void {
    if (!this.mapped) return;
    this.mapped = false;
    this.head = null;
    this.requests = [];
    this.responses = [];
    for (let page = 0; page < PAGES; page++) unmapPage(IO_WINDOW + page * PAGE_SIZE);
  }

  /** Maps the control pages of the I/O domain that there is now. */
  private map(): void {
    this.unmap();
    const frames = foreignFrames();
    for (let page = 0; page < PAGES; page++) frames[2 * page] = (IO_CONTROL >>> PAGE_SHIFT) + page;
    mapForeign(IO_DOMAIN, PAGES, IO_WINDOW);
    this.mapped = true;
  }

  /**
   * Opens the channel to the I/O domain whose page is mapped. False: it was restarted before the port was bound, which then is its
   * successor's, and the page is not.
   */
  private bind(): boolean {
    const version = memory.load32(this.at(ControlPage.version));
    if (version !== IO_CONTROL_VERSION) throw new Error(`the I/O domain's control page has version ${version}`);
    const generation = memory.load32(this.at(ControlPage.generation));
    const { port, made } = this.bindPort(memory.load32(this.at(ControlPage.port)));
    this.map();
    if (!this.isReady() || memory.load32(this.at(ControlPage.generation)) !== generation) {
      closeChannel(port);
      return false;
    }
    this.generation = generation;
    // Nobody waits for what an earlier domain 0 had asked for.
    this.set(ControlPage.responseConsumed, memory.load32(this.at(ControlPage.responseProduced)));
    if (made !== null) this.set(ControlPage.port, made);
    this.port = port;
    send(this.port);
    this.lookForPorts();
    this.pump();
    return true;
  }

  /** Binds to the port that an earlier domain 0 has made, `earlier`, or to a new one, `made`. */
  private bindPort(earlier: number): { port: number; made: number | null } {
    const handler = () => this.receive();
    if (earlier !== 0) {
      try {
        return { port: onInterdomain(IO_DOMAIN, earlier, handler), made: null };
      } catch (error) {
        if (!(error instanceof HypercallError)) throw error;
      }
    }
    const made = allocUnbound(IO_DOMAIN, DOMAIN_0);
    return { port: onInterdomain(IO_DOMAIN, made, handler), made };
  }

  /** Notifies the I/O domain of what is shared with it besides requests. */
  notify(): void {
    if (this.port !== null) send(this.port);
  }

  private lookForPorts(): void {
    const head = this.headWords();
    let count = this.portsKnown;
    while (count < SERIAL_PORTS && head[SERIAL + count] !== 0) count++;
    if (count === this.portsKnown) return;
    this.portsKnown = count;
    this.ports?.found([...head.subarray(SERIAL, SERIAL + count)]);
  }

  private set(offset: number, value: number): void {
    memory.store32(this.at(offset), value);
  }

  private headWords(): Uint32Array {
    return (this.head ??= words(memory, IO_WINDOW, HEAD_WORDS));
  }

  /** Puts waiting requests into slots as long as there are free ones. */
  private pump(): void {
    if (this.queue.length === 0) return;
    const head = this.headWords();
    let produced = head[REQUEST_PRODUCED]!;
    let some = false;
    for (let i = 0; i < this.queue.length && this.sent.size < CONTROL_SLOTS;) {
      const request = this.queue[i]!;
      if ((produced - head[REQUEST_CONSUMED]!) >>> 0 >= CONTROL_SLOTS) break;
      const bulk = BULK.has(request.operation);
      if (bulk && this.bulkBusy) {
        i++;
        continue;
      }
      if (bulk) this.bulkBusy = true;
      this.queue.splice(i, 1);
      const number = produced % CONTROL_SLOTS;
      const slot = this.at(ControlPage.requests + number * CONTROL_SLOT_BYTES);
      const view = (this.requests[number] ??= words(memory, slot, SLOT_WORDS));
      view[ControlRequest.id / 4] = produced;
      view[ControlRequest.operation / 4] = request.operation;
      view[ControlRequest.length / 4] = request.payload.length;
      memory.write(slot + ControlRequest.payload, request.payload);
      this.sent.set(produced, request);
      produced = (produced + 1) >>> 0;
      some = true;
    }
    if (!some || this.port === null) return;
    head[REQUEST_PRODUCED] = produced;
    send(this.port);
  }

  /** Takes the answers that are there. */
  private receive(): void {
    if (this.port === null) return;
    const head = this.headWords();
    const produced = head[RESPONSE_PRODUCED]!;
    let consumed = head[RESPONSE_CONSUMED]!;
    // More than there are slots: the I/O domain is broken.
    if ((produced - consumed) >>> 0 > CONTROL_SLOTS) consumed = produced;
    while (consumed !== produced) {
      this.take(consumed % CONTROL_SLOTS);
      consumed = (consumed + 1) >>> 0;
    }
    head[RESPONSE_CONSUMED] = consumed;
    this.lookForPorts();
    if (this.portsKnown > 0) this.ports?.notified();
    this.pump();
  }

  private take(number: number): void {
    const slot = this.at(ControlPage.responses + number * CONTROL_SLOT_BYTES);
    const view = (this.responses[number] ??= words(memory, slot, SLOT_WORDS));
    const id = view[ControlResponse.id / 4]!;
    const request = this.sent.get(id);
    if (request === undefined) return;
    this.sent.delete(id);
    const status = view[ControlResponse.status / 4]! | 0;
    const length = Math.min(view[ControlResponse.length / 4]!, CONTROL_PAYLOAD_BYTES);
    const bulkLength = Math.min(view[ControlResponse.bulkLength / 4]!, CONTROL_BULK_BYTES);
    const payload = memory.read(slot + ControlResponse.payload, length);
    const bulk = bulkLength === 0 ? NOTHING : memory.read(this.at(ControlPage.bulk), bulkLength);
    if (BULK.has(request.operation)) this.bulkBusy = false;
    if (status < 0) request.reject(new IoError(nameOf(request.operation), -status, false, payload));
    else request.resolve({ payload, bulk });
  }
}
