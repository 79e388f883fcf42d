/**
 * Domain 0's end of a guest's xenstore ring (xen/io/xs_wire.h). The guest shares the page and may write anything into it at
 * any moment: its indexes are read once and checked, ours are kept here and only written there, never read back.
 *
 * exchange.ts decides what is read and written, and when.
 */
import {
  XENSTORE_CONNECTED,
  XENSTORE_ERROR_NONE,
  XENSTORE_RECONNECT,
  XENSTORE_RING_SIZE,
  XENSTORE_SERVER_FEATURE_ERROR,
  XENSTORE_SERVER_FEATURE_RECONNECTION,
  XenstoreDomainInterface,
} from "../../../abi/xs-wire.ts";
import { memory } from "../host.ts";
import { PAGE_SIZE, words } from "../window.ts";

const REQ_CONS = XenstoreDomainInterface.req_cons / 4;
const REQ_PROD = XenstoreDomainInterface.req_prod / 4;
const RSP_CONS = XenstoreDomainInterface.rsp_cons / 4;
const RSP_PROD = XenstoreDomainInterface.rsp_prod / 4;
const FEATURES = XenstoreDomainInterface.server_features / 4;
const CONNECTION = XenstoreDomainInterface.connection / 4;
const ERROR = XenstoreDomainInterface.error / 4;

const MASK = XENSTORE_RING_SIZE - 1;

export class StoreRing {
  private readonly bytes: Uint8Array;
  private readonly words: Uint32Array;
  private requestConsumer: number;
  private responseProducer: number;

  /** @param page address in the window where the ring page is mapped */
  constructor(page: number) {
    this.bytes = memory.bytes(page, PAGE_SIZE);
    this.words = words(memory, page, PAGE_SIZE / 4);
    this.requestConsumer = this.words[REQ_CONS]!;
    this.responseProducer = this.words[RSP_PROD]!;
    this.words[FEATURES] = XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR;
  }

  /** Bytes of requests that are there; -1 when the guest's index makes no sense. */
  get available(): number {
    const available = (this.words[REQ_PROD]! - this.requestConsumer) >>> 0;
    return available > XENSTORE_RING_SIZE ? -1 : available;
  }

  /** Bytes of answers that there is room for; -1 when the guest's index makes no sense. */
  get room(): number {
    const used = (this.responseProducer - this.words[RSP_CONS]!) >>> 0;
    return used > XENSTORE_RING_SIZE ? -1 : XENSTORE_RING_SIZE - used;
  }

  /** `length` bytes of what is available, `offset` bytes from its beginning; they stay there. */
  peek(offset: number, length: number): string {
    let text = "";
    let at = this.requestConsumer + offset;
    for (let left = length; left > 0;) {
      const from = at & MASK;
      const piece = Math.min(left, XENSTORE_RING_SIZE - from);
      const start = XenstoreDomainInterface.req + from;
      text += String.fromCharCode.apply(null, this.bytes.subarray(start, start + piece) as unknown as number[]);
      at += piece;
      left -= piece;
    }
    return text;
  }

  /** Takes `length` bytes off the requests. */
  consume(length: number): void {
    this.requestConsumer = (this.requestConsumer + length) >>> 0;
    this.words[REQ_CONS] = this.requestConsumer;
  }

  /** Puts bytes of `text` from `from` up to `to` into the ring, where there is room for them. */
  send(text: string, from: number, to: number): void {
    const { bytes } = this;
    let at = this.responseProducer;
    for (let i = from; i < to; i++, at++) bytes[XenstoreDomainInterface.rsp + (at & MASK)] = text.charCodeAt(i);
    this.responseProducer = at >>> 0;
    this.words[RSP_PROD] = this.responseProducer;
  }

  /** True when the guest asks for a fresh start. */
  get reconnectWanted(): boolean {
    return this.words[CONNECTION] === XENSTORE_RECONNECT;
  }

  /** Empties both rings, clears the error and sets the state to connected. */
  reset(): void {
    const { words } = this;
    this.requestConsumer = this.responseProducer = 0;
    words[REQ_CONS] = words[REQ_PROD] = words[RSP_CONS] = words[RSP_PROD] = 0;
    words[ERROR] = XENSTORE_ERROR_NONE;
    words[CONNECTION] = XENSTORE_CONNECTED;
  }

  /** Says why nothing more is exchanged: XENSTORE_ERROR_*. */
  fail(error: number): void {
    this.words[ERROR] = error;
  }

  /** The error reported to the guest, XENSTORE_ERROR_NONE for none. */
  get failure(): number {
    return this.words[ERROR]!;
  }
}
