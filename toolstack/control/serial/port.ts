/**
 * The clients of a serial port, one after the other. A client is there from when it has said the number of the latest greeting
 * (toolstack/api/serial.ts) until the host's end is closed, or it is ended here: then whoever has the host's end is greeted again, with
 * another number, as soon as anything comes from there.
 */
import { answerFinder, greetingOf, type LineFinder } from "../../api/serial.ts";
import { reportFailure } from "../failures.ts";
import type { Connection } from "../net/connection.ts";
import { encodeUtf8 } from "../text.ts";
import type { Line } from "./line.ts";

/** Bytes that are looked through in one piece for the answer to a greeting. */
const PIECE = 4096;
const piece = new Uint8Array(PIECE);

export class SerialConnection implements Connection {
  onReady: () => void = () => {};
  trusted = false;
  private over: Connection["ended"] = null;

  /** @param rest what came with the answer to the greeting */
  constructor(
    private readonly port: SerialPort,
    readonly peer: string,
    private readonly line: Line,
    readonly connection: number,
    private rest: Uint8Array,
  ) {}

  get ended(): Connection["ended"] {
    return this.over;
  }

  read(into: Uint8Array): number {
    if (this.over !== null) return 0;
    let bytes = Math.min(this.rest.length, into.length);
    if (bytes > 0) {
      into.set(this.rest.subarray(0, bytes));
      this.rest = this.rest.subarray(bytes);
    } else {
      bytes = this.line.read(into);
    }
    if (this.look()) this.port.tell();
    else if (bytes > 0) this.port.soon();
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.over !== null) return 0;
    this.port.soon();
    return this.line.write(bytes);
  }

  /** Ends it, if the host's end was closed and all was read; true when it has ended now. */
  look(): boolean {
    if (this.over !== null || this.line.connection === this.connection) return false;
    if (this.rest.length > 0 || this.line.available > 0) return false;
    this.over = "closed";
    return true;
  }

  /** The port is there no more. */
  lost(): void {
    this.over ??= "reset";
  }

  close(): void {
    this.abort();
  }

  abort(): void {
    if (this.over !== null) return;
    this.over = "local";
    this.port.soon();
  }
}

export class SerialPort {
  /** The host's end as it was when it was greeted last; null: it is to be greeted. */
  private greeted: number | null = null;
  private unsent: Uint8Array = new Uint8Array(0);
  private finder: LineFinder | null = null;
  private client: SerialConnection | null = null;
  private news = false;
  /** The connection that was ended here and is there yet: not greeted again before it says something, for it is about to leave. */
  private ended: number | null = null;

  /**
   * @param name for logs; the same for each of its clients
   * @param accept is given each client
   * @param number a new number for each greeting, 16 hexadecimal digits
   * @param soon has `pump` called
   */
  constructor(
    private readonly line: Line,
    private readonly name: string,
    private readonly accept: (connection: SerialConnection) => void,
    private readonly number: () => string,
    readonly soon: () => void,
  ) {}

  /** The client is to be called. */
  tell(): void {
    this.news = true;
    this.soon();
  }

  /** Does a piece of what there is to do; true: there is more. */
  pump(): boolean {
    if (this.client !== null && !this.serve(this.client)) return false;
    const { connection } = this.line;
    if (connection % 2 === 0) {
      this.greeted = null;
      // What a client has left that is gone.
      return this.line.read(piece) > 0;
    }
    if (this.ended === connection && this.line.available === 0) return false;
    this.ended = null;
    if (this.greeted !== connection) this.greet(connection);
    if (this.unsent.length > 0) this.unsent = this.unsent.subarray(this.line.write(this.unsent));
    const bytes = this.line.read(piece);
    if (bytes === 0) return false;
    const found = this.finder!.push(piece.subarray(0, bytes));
    if (found === null) return true;
    const client = new SerialConnection(this, this.name, this.line, connection, found.rest.slice());
    this.client = client;
    this.news = true;
    this.guarded(() => this.accept(client));
    return true;
  }

  /** Ends what is there: the I/O domain has gone. */
  lose(): void {
    const { client } = this;
    this.client = null;
    if (client === null || client.ended !== null) return;
    client.lost();
    this.guarded(() => client.onReady());
  }

  /** Tells the client of what may have come; true when it is over, and the next one's turn. */
  private serve(client: SerialConnection): boolean {
    if (this.news) {
      this.news = false;
      client.look();
      // One that was ended here knows it.
      if (client.ended !== "local") this.guarded(() => client.onReady());
    }
    if (client.ended === null) return false;
    this.client = null;
    this.greeted = null;
    if (client.ended === "local") this.ended = client.connection;
    return true;
  }

  private greet(connection: number): void {
    this.greeted = connection;
    const number = this.number();
    this.unsent = encodeUtf8(greetingOf(number));
    this.finder = answerFinder(number);
  }

  private guarded(what: () => void): void {
    try {
      what();
    } catch (error) {
      reportFailure(`the client of ${this.name}`, error);
    }
  }
}
