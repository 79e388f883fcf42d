/** The server's end of one request's stream: bytes both ways, each as far as the other side has room. */
import { BODY_MOST, WINDOW_FIRST } from "../../api/protocol.ts";
import type { OutputFlow } from "../domains/guest-console.ts";
import { giveWay } from "../tasks.ts";

/** Bytes that wait for the client beyond which who makes them should wait. */
const FULL = 32 * 1024;
/** A client is told of so much room at once: a frame for every few bytes would cost as much as the bytes. */
const WINDOW_STEP = WINDOW_FIRST / 4;

/** What the session does for a stream. */
export interface StreamSink {
  /** Whether the connection takes more at present; when it does again, the session calls `pump`. */
  hasRoom(): boolean;
  /** Sends bytes of the stream, BODY_MOST at most. */
  data(bytes: Uint8Array): void;
  /** Tells the client that no data will follow, though the answer may still be some time away. */
  dataEnd(): void;
  /** Tells the client of room for so many bytes more. */
  window(bytes: number): void;
}

export class ServerStream implements OutputFlow {
  private readonly waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  /** Bytes that the client has room for. */
  private allowed = WINDOW_FIRST;
  /** Bytes that the client may still send. */
  private expected = WINDOW_FIRST;
  /** Bytes consumed that the client has not been told of. */
  private freed = 0;
  private listeners: (() => void)[] = [];
  private ended = false;
  /** `endOutput` was called, and the client told. */
  private outputEnds = false;
  private outputEnded = false;
  /** Takes what the client has sent, and says `consumed` when it has room for as much again. */
  onInput: (bytes: Uint8Array) => void = (bytes) => this.consumed(bytes.length);
  onInputEnd: () => void = () => {};

  constructor(private readonly sink: StreamSink) {}

  // --- To the client -------------------------------------------------------------------------------------------------------

  /** Sends bytes, or keeps a copy of them until there is room. */
  write(bytes: Uint8Array): void {
    if (this.ended) return;
    for (let at = 0; at < bytes.length; at += BODY_MOST) this.waiting.push(bytes.slice(at, at + BODY_MOST));
    this.waitingBytes += bytes.length;
    this.pump();
  }

  /** Nothing more will be written: the client is told behind what was. */
  endOutput(): void {
    this.outputEnds = true;
    this.pump();
  }

  full(): boolean {
    return this.waitingBytes >= FULL;
  }

  whenDrained(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Waits until there is room for more. */
  async room(): Promise<void> {
    while (this.full() && !this.ended) await new Promise<void>((resolve) => this.whenDrained(resolve));
    await giveWay();
  }

  /** Waits until there is room on the connection, or nobody takes anything any more; others have their turns meanwhile. */
  async drained(hasRoom: () => boolean): Promise<void> {
    while (!hasRoom() && !this.ended) await new Promise<void>((resolve) => this.whenDrained(resolve));
    await giveWay();
  }

  /** Waits until everything that was written has been sent. */
  async sent(): Promise<void> {
    while (this.waitingBytes > 0 && !this.ended) await new Promise<void>((resolve) => this.whenDrained(resolve));
  }

  /** The client has room for so many bytes more. */
  allow(bytes: number): void {
    this.allowed += bytes;
    this.pump();
  }

  /** Sends what there is room for. */
  pump(): void {
    while (this.waiting.length > 0 && this.allowed > 0 && this.sink.hasRoom()) {
      const piece = this.waiting[0]!;
      const part = piece.subarray(0, this.allowed);
      if (part.length === piece.length) this.waiting.shift();
      else this.waiting[0] = piece.subarray(part.length);
      this.allowed -= part.length;
      this.waitingBytes -= part.length;
      this.sink.data(part);
    }
    if (this.outputEnds && !this.outputEnded && !this.ended && this.waiting.length === 0) {
      this.outputEnded = true;
      this.sink.dataEnd();
    }
    if (this.waitingBytes > FULL / 2) return;
    this.wake();
  }

  private wake(): void {
    const ready = this.listeners;
    this.listeners = [];
    for (const listener of ready) listener();
  }

  /** Nobody takes anything any more: what waits is dropped, and who waits goes on. */
  end(): void {
    this.ended = true;
    this.waiting.length = 0;
    this.waitingBytes = 0;
    this.wake();
  }

  // --- From the client -----------------------------------------------------------------------------------------------------

  /** Who takes the input has room for so many bytes more. */
  consumed(bytes: number): void {
    if (this.ended) return;
    this.freed += bytes;
    if (this.freed < WINDOW_STEP) return;
    this.expected += this.freed;
    this.sink.window(this.freed);
    this.freed = 0;
  }

  /** The client has sent bytes, valid during the call. False: more than it may. */
  input(bytes: Uint8Array): boolean {
    if (bytes.length > this.expected) return false;
    this.expected -= bytes.length;
    this.onInput(bytes);
    return true;
  }
}
