/**
 * The control protocol: requests, their answers and streams on one connection, in frames. It says nothing on how the connection is
 * secured or authenticated: that is the layer below.
 *
 * A frame: u32 length of what follows it, u8 type, u32 id, body; numbers are little-endian. The id is that of a request, chosen by
 * the client and free again behind its RESULT or ERROR; 0 is the connection itself.
 *
 * The client begins: HELLO, answered by HELLO. Then REQUESTs, up to REQUESTS_MOST at a time, answered in any order. A stream's bytes are
 * DATA frames, in each direction as many as the other side's WINDOW frames and WINDOW_FIRST allow; DATA_END ends a direction. CANCEL asks
 * to end a request early: it is still answered. What breaks these rules is answered by an ERROR of id 0, and the end of the connection.
 */

export const PROTOCOL_VERSION = 1;
/** TCP port of domain 0 that it is spoken on, inside TLS. */
export const CONTROL_PORT = 4170;

export const HELLO = 1;
/** Client: {"request": NAME, "params": {...}} */
export const REQUEST = 2;
/** Server: {"text": LINE} */
export const PROGRESS = 3;
/** Server: a part of the result's JSON that is not the last. */
export const RESULT_PART = 4;
/** Server: the last part. */
export const RESULT = 5;
/** Server: {"kind": ERROR_KIND, "message": TEXT} */
export const ERROR = 6;
export const DATA = 7;
export const DATA_END = 8;
/** u32: bytes of DATA more that may be sent. */
export const WINDOW = 9;
export const CANCEL = 10;

/** What is wrong: the request itself, what it asked for, or Typevisor. */
export type ErrorKind = "protocol" | "request" | "refused" | "internal";

/** Bytes of the length field, and of what is in front of a body behind it. */
const LENGTH_BYTES = 4;
const HEAD_BYTES = 5;
/** The longest body. */
export const BODY_MOST = 32 * 1024;
/**
 * The body of a DATA frame that is sent, at most: with its head and the head and tag of a TLS record it stays below 16 KiB, so that what
 * is received, decrypted and consumed in one piece is one frame.
 */
export const DATA_MOST = 16_000;
/** Requests of one connection that are not answered yet. */
export const REQUESTS_MOST = 16;
/** Bytes of DATA that may be sent of a stream before the first WINDOW. */
export const WINDOW_FIRST = 64 * 1024;
/** The client's first frame comes within so long. */
export const HELLO_MS = 10_000;
/** A client that has taken nothing for so long while something waits for it is disconnected. */
export const STALLED_MS = 30_000;

export interface Frame {
  type: number;
  id: number;
  body: Uint8Array;
}

/** What a peer has sent is no frame. */
export class ProtocolError extends Error {}

/** A frame's bytes. */
export function encodeFrame(type: number, id: number, body: Uint8Array = NOTHING): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES + HEAD_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, HEAD_BYTES + body.length, true);
  view.setUint8(4, type);
  view.setUint32(5, id, true);
  bytes.set(body, LENGTH_BYTES + HEAD_BYTES);
  return bytes;
}

const NOTHING = new Uint8Array(0);

/** The body of a WINDOW frame. */
export function encodeWindow(bytes: number): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, bytes, true);
  return body;
}

/** @throws ProtocolError */
export function decodeWindow(body: Uint8Array): number {
  if (body.length !== 4) throw new ProtocolError(`a WINDOW of ${body.length} bytes`);
  return new DataView(body.buffer, body.byteOffset).getUint32(0, true);
}

/** Frames from bytes that come in pieces; it has at most one frame's bytes. */
export class FrameReader {
  private readonly buffer = new Uint8Array(LENGTH_BYTES + HEAD_BYTES + BODY_MOST);
  private used = 0;

  /**
   * Takes bytes and calls `each` with every frame that is complete; its body is valid during the call.
   * @throws ProtocolError for what is no frame; the reader is of no use then
   */
  push(bytes: Uint8Array, each: (frame: Frame) => void): void {
    for (let at = 0; at < bytes.length;) {
      if (this.used === 0) {
        const whole = wholeFrame(bytes, at);
        if (whole > 0) {
          each(frameOf(bytes, at, whole));
          at += whole;
          continue;
        }
      }
      const wanted = this.used < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + this.length();
      const some = bytes.subarray(at, at + wanted - this.used);
      this.buffer.set(some, this.used);
      this.used += some.length;
      at += some.length;
      if (this.used < LENGTH_BYTES) return;
      const length = checked(this.length());
      if (this.used < LENGTH_BYTES + length) continue;
      this.used = 0;
      each(frameOf(this.buffer, 0, LENGTH_BYTES + length));
    }
  }

  /** True in the middle of a frame: bytes are missing. */
  get partial(): boolean {
    return this.used > 0;
  }

  private length(): number {
    return word(this.buffer, 0);
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** @throws ProtocolError */
function checked(length: number): number {
  if (length >= HEAD_BYTES && length <= HEAD_BYTES + BODY_MOST) return length;
  throw new ProtocolError(`a frame of ${length} bytes: ${HEAD_BYTES} to ${HEAD_BYTES + BODY_MOST} are allowed`);
}

/** Bytes of the frame that begins at `at`, if all of it is there; else 0. @throws ProtocolError */
function wholeFrame(bytes: Uint8Array, at: number): number {
  const there = bytes.length - at;
  if (there < LENGTH_BYTES + HEAD_BYTES) return 0;
  const size = LENGTH_BYTES + checked(word(bytes, at));
  return size <= there ? size : 0;
}

function frameOf(bytes: Uint8Array, at: number, size: number): Frame {
  const body = bytes.subarray(at + LENGTH_BYTES + HEAD_BYTES, at + size);
  return { type: bytes[at + LENGTH_BYTES]!, id: word(bytes, at + LENGTH_BYTES + 1), body };
}
