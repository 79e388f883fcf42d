/** node:dgram: UDP over lwIP. */
import EventEmitter from "events";
import { type Buffer, toBuffer } from "../data/buffer.ts";
import { networkError } from "../program/errors.ts";
import { call, OPERATION, transfer, TRANSFER_SIZE, word } from "../guest/host.ts";
import { forgetSocket, hold, watchSocket } from "../guest/loop.ts";
import { lookup } from "./dns.ts";
import { addressText, listenAddress, openNetwork, parseAddress, whenReady } from "./network.ts";
import { addTick } from "../guest/ticks.ts";
import { joined } from "../data/join.ts";

/** The most that one packet of IPv4 carries. */
const DATAGRAM_MOST = Math.min(TRANSFER_SIZE, 65507);

type Sent = (error: Error | null, bytes?: number) => void;

export class Socket extends EventEmitter {
  private handle = 0;
  private release: () => void = () => {};

  bind(...values: unknown[]): this {
    const done = values.find((value) => typeof value === "function") as (() => void) | undefined;
    const [first, second] = values;
    const { port, address } =
      typeof first === "object" && first !== null
        ? (first as { port?: number; address?: string })
        : { port: Number(first ?? 0) || 0, address: typeof second === "string" ? second : undefined };
    if (done) this.once("listening", done);
    try {
      this.open(listenAddress(address), port ?? 0);
      addTick(() => this.emit("listening"));
    } catch (error) {
      addTick(() => this.emit("error", error));
    }
    return this;
  }
  private open(address: number, port: number): void {
    openNetwork();
    const handle = call(OPERATION.datagrams, address, port);
    if (handle <= 0) throw networkError(handle, "bind", addressText(address), port);
    this.handle = handle;
    this.release = hold();
    watchSocket(handle, () => this.receive());
  }
  private receive(): void {
    for (;;) {
      const length = this.handle > 0 ? call(OPERATION.receive, this.handle) : -1;
      if (length < 0) return;
      const [address, port] = [addressText(word(0)), word(1)];
      this.emit("message", toBuffer(transfer.slice(0, length)), { address, port, family: "IPv4", size: length });
    }
  }
  /** send(data, port, address?, done?) and send(data, offset, length, port, address?, done?). */
  send(data: string | Uint8Array | (string | Uint8Array)[], ...rest: unknown[]): void {
    const done = rest.find((value) => typeof value === "function") as Sent | undefined;
    const numbers = rest.filter((value) => typeof value === "number");
    const host = rest.find((value) => typeof value === "string") ?? "localhost";
    const parts = (Array.isArray(data) ? data : [data]).map((part) => toBuffer(part));
    let bytes = concat(parts);
    if (numbers.length >= 3) bytes = bytes.subarray(numbers[0], numbers[0]! + numbers[1]!) as Buffer;
    const port = numbers.at(-1) ?? 0;
    const fail = (error: Error) => {
      if (done) done(error);
      else this.emit("error", error);
    };
    const send = (error: Error | null | undefined, address = "") => {
      const number = parseAddress(address) ?? 0;
      if (error) return fail(error);
      if (bytes.length > DATAGRAM_MOST) return fail(networkError(1, "send", address, port));
      transfer.set(bytes);
      const result = call(OPERATION.send, this.handle, number, port, bytes.length);
      if (result < 0) return fail(networkError(result, "send", address, port));
      done?.(null, bytes.length);
    };
    try {
      if (this.handle === 0) this.open(0, 0);
      whenReady((error) => (error ? send(error) : lookup(host, send)));
    } catch (error) {
      addTick(() => fail(error as Error));
    }
  }
  address(): { address: string; port: number; family: "IPv4" } {
    const known = call(OPERATION.names, this.handle) >= 0;
    return { address: known ? addressText(word(0)) : "0.0.0.0", port: known ? word(1) : 0, family: "IPv4" };
  }
  close(done?: () => void): this {
    if (done) this.once("close", done);
    if (this.handle > 0) {
      forgetSocket(this.handle);
      call(OPERATION.close, this.handle, 0);
    }
    this.handle = 0;
    this.release();
    addTick(() => this.emit("close"));
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    this.release();
    return this;
  }
}

function concat(parts: Uint8Array[]): Buffer {
  return toBuffer(parts.length === 1 ? parts[0]! : joined(parts));
}

export function createSocket(_type: unknown, onMessage?: (data: Buffer, from: object) => void): Socket {
  const socket = new Socket();
  if (onMessage) socket.on("message", onMessage);
  return socket;
}
