/**
 * The exchange of messages between a client and its ring: requests in, answers and events out. A guest that violates the
 * protocol loses its connection, with no other effect. The amount of work per call is limited.
 */
import { XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX, XENSTORE_PAYLOAD_MAX } from "../../../abi/xs-wire.ts";
import type { Client } from "./client.ts";
import type { StoreRing } from "./ring.ts";
import { decodeHeader, HEADER_BYTES, type Header } from "./wire.ts";

/** Nodes looked up and changed after which no further request is begun in the same piece of work. */
const PIECE_WORK = 150;

export interface ExchangeHooks {
  /** Carries out a request and queues its answer. */
  request(header: Header, payload: string): void;
  /** The connection was broken: XENSTORE_ERROR_*. */
  broken(error: number): void;
  /** The guest has reset the connection. */
  reconnected(): void;
}

export class Exchange {
  /** An incomplete header. */
  private headerBytes = "";
  /** A request with an incomplete payload. */
  private header: Header | null = null;
  private payload = "";
  /** Bytes of the oldest message that are in the ring already. */
  private sentBytes = 0;
  private broken: boolean;

  constructor(
    private readonly client: Client,
    private readonly ring: StoreRing,
    private readonly hooks: ExchangeHooks,
  ) {
    this.broken = ring.failure !== 0;
  }

  /** True when a message to the guest has been begun. */
  get begun(): boolean {
    return this.sentBytes > 0;
  }

  /**
   * Exchanges what can be exchanged, as far as that is a short piece of work.
   * @param requests most requests that are carried out
   * @returns how many were, whether the ring has changed: then the guest is to be notified, and whether there may be more
   *   to do at once
   */
  run(requests: number): { done: number; moved: boolean; more: boolean } {
    const { tree } = this.client.store;
    const enough = tree.work + PIECE_WORK;
    let moved = false;
    if (this.ring.reconnectWanted) {
      this.reconnect();
      moved = true;
    }
    let done = 0;
    let more = false;
    while (!this.broken) {
      if (this.flush()) moved = true;
      more = done > 0 && tree.work >= enough;
      if (this.broken || more || done >= requests || !this.client.mayAsk) break;
      const taken = this.take();
      if (taken === "nothing") break;
      moved = true;
      if (taken === "request") done++;
    }
    return { done, moved, more };
  }

  private reconnect(): void {
    this.client.close();
    this.forgetRequest();
    this.sentBytes = 0;
    this.broken = false;
    this.ring.reset();
    this.hooks.reconnected();
  }

  private forgetRequest(): void {
    this.headerBytes = "";
    this.header = null;
    this.payload = "";
  }

  private fail(error: number): void {
    this.broken = true;
    this.forgetRequest();
    this.sentBytes = 0;
    this.client.close();
    this.ring.fail(error);
    this.hooks.broken(error);
  }

  /**
   * Puts messages into the ring, as far as there is room: a guest that makes room tells so only when the ring was full
   * (Linux, xb_read).
   */
  private flush(): boolean {
    const { client, ring } = this;
    let moved = false;
    for (let next = client.nextOutput; next !== undefined; next = client.nextOutput) {
      const { room } = ring;
      if (room < 0) {
        this.fail(XENSTORE_ERROR_RINGIDX);
        return true;
      }
      const left = next.length - this.sentBytes;
      if (room === 0) break;
      const piece = Math.min(room, left);
      ring.send(next, this.sentBytes, this.sentBytes + piece);
      moved = true;
      this.sentBytes += piece;
      if (piece < left) break;
      this.sentBytes = 0;
      client.sent();
    }
    return moved;
  }

  /**
   * Reads a request, or the part of it that has arrived: a guest that writes it in parts (header and payload, and either of them
   * split at the ring's end) sends an event for later parts only when the earlier ones have been read (Linux, xb_write).
   */
  private take(): "nothing" | "piece" | "request" {
    const { ring } = this;
    const { available } = ring;
    if (available < 0) {
      this.fail(XENSTORE_ERROR_RINGIDX);
      return "piece";
    }
    if (this.header !== null) return this.takePiece(available);
    if (available === 0) return "nothing";
    const headerLeft = HEADER_BYTES - this.headerBytes.length;
    if (available < headerLeft) {
      this.headerBytes += ring.peek(0, available);
      ring.consume(available);
      return "piece";
    }
    const header = decodeHeader(this.headerBytes + ring.peek(0, headerLeft));
    if (header.length > XENSTORE_PAYLOAD_MAX) {
      this.fail(XENSTORE_ERROR_PROTO);
      return "piece";
    }
    this.headerBytes = "";
    if (available < headerLeft + header.length) {
      ring.consume(headerLeft);
      this.header = header;
      return "piece";
    }
    this.hooks.request(header, ring.peek(headerLeft, header.length));
    // Carrying it out may have broken the connection; then there is nothing to take off.
    if (!this.broken) ring.consume(headerLeft + header.length);
    return "request";
  }

  private takePiece(available: number): "nothing" | "piece" | "request" {
    const { ring } = this;
    const header = this.header!;
    const piece = Math.min(available, header.length - this.payload.length);
    if (piece === 0) return "nothing";
    this.payload += ring.peek(0, piece);
    ring.consume(piece);
    if (this.payload.length < header.length) return "piece";
    const { payload } = this;
    this.forgetRequest();
    this.hooks.request(header, payload);
    return "request";
  }
}
