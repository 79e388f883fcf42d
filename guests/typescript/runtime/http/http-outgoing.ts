/** What HTTP messages that are sent have in common: fields, and the body's framing. */
import { type Buffer, latin1Bytes, toBuffer } from "../data/buffer.ts";
import { codedError } from "../program/errors.ts";
import { fieldName, type Headers } from "./http-message.ts";
import type { Socket } from "../network/net.ts";
import { Writable } from "../data/streams.ts";

type Done = (error?: Error | null) => void;

export abstract class OutgoingMessage extends Writable {
  headersSent = false;
  sendDate = true;
  socket: Socket | null = null;
  protected readonly fields = new Map<string, { name: string; value: string | string[] }>();
  protected chunked = false;
  protected bodyAllowed = true;

  setHeader(name: string, value: number | string | readonly string[]): this {
    if (this.headersSent) throw codedError("ERR_HTTP_HEADERS_SENT", "the head has been sent");
    const text = Array.isArray(value) ? value.map(String) : String(value);
    const lower = fieldName(name);
    if (lower === undefined) throw codedError("ERR_INVALID_HTTP_TOKEN", `"${name}" is no name of a header field`);
    if (/[^\t\x20-\x7e\x80-\xff]/.test(String(text)))
      throw codedError("ERR_INVALID_CHAR", `the value of ${name} has forbidden characters`);
    this.fields.set(lower, { name, value: text });
    return this;
  }
  /** A field of ours, whose name and value need no look. */
  protected addField(name: string, lower: string, value: string): void {
    this.fields.set(lower, { name, value });
  }
  setHeaders(headers: Iterable<[string, string]>): this {
    for (const [name, value] of headers) this.setHeader(name, value);
    return this;
  }
  appendHeader(name: string, value: string): this {
    const before = this.getHeader(name);
    return this.setHeader(name, before === undefined ? value : ([] as string[]).concat(before, value));
  }
  getHeader(name: string): string | string[] | undefined {
    return this.fields.get(name.toLowerCase())?.value;
  }
  hasHeader(name: string): boolean {
    return this.fields.has(name.toLowerCase());
  }
  removeHeader(name: string): void {
    this.fields.delete(name.toLowerCase());
  }
  getHeaderNames(): string[] {
    return [...this.fields.keys()];
  }
  getHeaders(): Headers {
    return Object.fromEntries([...this.fields].map(([name, { value }]) => [name, value]));
  }
  /** The first line. */
  protected abstract startLine(): string;
  /** Adds the fields that are missing. `length`: of the whole body where it is known. */
  protected abstract completeFields(length: number | undefined): void;

  protected headBytes(length: number | undefined): Buffer {
    this.completeFields(length);
    this.headersSent = true;
    let text = `${this.startLine()}\r\n`;
    for (const { name, value } of this.fields.values()) {
      if (typeof value === "string") text += `${name}: ${value}\r\n`;
      else for (const one of value) text += `${name}: ${one}\r\n`;
    }
    return latin1Bytes(`${text}\r\n`);
  }
  flushHeaders(): void {
    if (!this.headersSent) this.sendBytes([this.headBytes(undefined)]);
  }
  /** Passes bytes to the connection, now or when there is one. */
  protected abstract sendBytes(parts: Buffer[], done?: Done): void;
  /** Everything was passed to the connection. */
  protected abstract sentAll(): void;

  private framed(chunk: Buffer): Buffer[] {
    if (!this.bodyAllowed || chunk.length === 0) return [];
    if (!this.chunked) return [chunk];
    return [toBuffer(`${chunk.length.toString(16)}\r\n`), chunk, toBuffer("\r\n")];
  }
  /** The usual answer, a body in one piece and nothing before it, takes none of the stream's steps. */
  override end(data?: string | Uint8Array | Done | null, encoding?: string | Done, done?: Done): this {
    const whole = data === undefined || typeof data === "string" || data instanceof Uint8Array;
    if (!whole || typeof encoding === "function" || this.headersSent || this.writableEnded || this.destroyed)
      return super.end(data, encoding, done);
    if (this.writing || this.writes.length > 0) return super.end(data, encoding, done);
    if (done) this.once("finish", done as () => void);
    const chunk = data === undefined ? undefined : toBuffer(data, encoding);
    this.writableEnded = this.writing = true;
    this.writable = false;
    const parts = [this.headBytes(chunk?.length ?? 0)];
    if (chunk !== undefined) parts.push(...this.framed(chunk));
    if (this.chunked && this.bodyAllowed) parts.push(toBuffer("0\r\n\r\n"));
    this.sendBytes(parts, (error) => {
      this.wroteAll(error);
      if (!error) this.sentAll();
    });
    return this;
  }
  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    const parts = this.headersSent
      ? []
      : [this.headBytes(this.writableEnded && this.writes.length === 0 ? chunk.length : undefined)];
    parts.push(...this.framed(chunk));
    this.sendBytes(parts, done);
  }
  override _final(done: Done): void {
    const parts = this.headersSent ? [] : [this.headBytes(0)];
    if (this.chunked && this.bodyAllowed) parts.push(toBuffer("0\r\n\r\n"));
    this.sendBytes(parts, (error) => {
      done(error);
      if (!error) this.sentAll();
    });
  }
}
