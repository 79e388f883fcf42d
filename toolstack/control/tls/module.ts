/**
 * The TLS module in its sandbox (abi/tls.ts), and its sessions. It is started when the first session is opened, and anew after a fault has
 * stopped it: all sessions of that instance are then lost. A session has memory only while it is open.
 */
import {
  TLS_BEGIN,
  TLS_CLOSE,
  TLS_FAILED,
  TLS_FINISH,
  TLS_IDENTITY_BYTES,
  TLS_INPUT_BYTES,
  TLS_KEY,
  TLS_KEY_BYTES,
  TLS_KEYS,
  TLS_OPEN,
  TLS_OUTPUT_BYTES,
  TLS_OWN_BYTES,
  TLS_READ,
  TLS_REFUSED,
  TLS_SEED,
  TLS_SEED_MOST,
  TLS_SESSION_BYTES,
  TLS_SESSIONS,
  TLS_SHARED,
  TLS_SHARED_BYTES,
  TLS_STEP,
  TLS_WRITE,
  TlsSession,
} from "../../../abi/tls.ts";
import type { Connection } from "../net/connection.ts";
import { encodeUtf8 } from "../text.ts";

/** The module's surroundings. Addresses are the module's own. */
export interface TlsHost {
  /** Makes a new instance and calls it. Null: a fault has stopped it. */
  start(operation: number, a: number, b: number): number | null;
  /** Calls the instance. Null: a fault has stopped it, or there is none. */
  call(operation: number, a: number, b: number): number | null;
  /** Gives its memory RAM, all zeroes; false when there is none. */
  give(address: number, bytes: number): boolean;
  /** Takes that away again, and what was in it. */
  take(address: number, bytes: number): void;
  /** A live view of 32-bit words that are in one page. */
  words(address: number, count: number): Uint32Array;
  read(address: number, bytes: number): Uint8Array;
  /** As much as `into` has room for. */
  readInto(address: number, into: Uint8Array): void;
  write(address: number, bytes: Uint8Array): void;
}

/** A client's key: 32 bytes that nobody else has, and the name by which a client says that it has it. */
export interface TlsKey {
  readonly identity: string;
  readonly key: Uint8Array;
}

/** Of a session whose instance is gone; the module's own errors are in abi/tls.ts. */
export const TLS_LOST = 4;

/** What is copied between a connection and a session at once; used within one call only. */
const stage = new Uint8Array(TLS_SHARED_BYTES);

/** Words of a session's fields. */
const STATE = TlsSession.state / 4;
const ERROR = TlsSession.error / 4;
const INPUT_END = TlsSession.inputEnd / 4;
const OUTPUT_START = TlsSession.outputStart / 4;
const OUTPUT_END = TlsSession.outputEnd / 4;
const KEY = TlsSession.key / 4;
const WANTED = TlsSession.wanted / 4;

function sessionAddress(number: number): number {
  return TLS_OWN_BYTES + number * TLS_SESSION_BYTES;
}

/** @throws Error that says what is wrong with the list */
export function checkKeys(keys: readonly TlsKey[]): void {
  if (keys.length === 0) throw new Error("TLS: there is no key");
  if (keys.length > TLS_KEYS) throw new Error(`TLS: ${keys.length} keys: at most ${TLS_KEYS} are possible`);
  const names = new Set<string>();
  for (const { identity, key } of keys) {
    const bytes = encodeUtf8(identity).length;
    if (bytes === 0 || bytes > TLS_IDENTITY_BYTES) {
      throw new Error(`TLS: a key's name has ${bytes} bytes: 1 to ${TLS_IDENTITY_BYTES} are possible`);
    }
    if (key.length !== TLS_KEY_BYTES) {
      throw new Error(`TLS: the key ${identity} has ${key.length} bytes instead of ${TLS_KEY_BYTES}`);
    }
    if (names.has(identity)) throw new Error(`TLS: two keys have the name ${identity}`);
    names.add(identity);
  }
}

export class TlsModule {
  /** Counts instances: a session belongs to one. */
  private instance = 0;
  private running = false;
  private readonly taken: boolean[] = new Array<boolean>(TLS_SESSIONS).fill(false);

  /**
   * @param seed fresh bytes that nobody can predict, TLS_SEED_BYTES or more, for a new instance
   * @param stir bytes that are mixed into what is there for each session; may be none
   * @param stopped called when a fault has stopped an instance
   * @throws Error for keys that are not possible
   */
  constructor(
    readonly host: TlsHost,
    private clientKeys: readonly TlsKey[],
    private readonly seed: () => Uint8Array,
    private readonly stir: () => Uint8Array,
    private readonly stopped: () => void,
  ) {
    checkKeys(clientKeys);
  }

  get keys(): readonly TlsKey[] {
    return this.clientKeys;
  }

  /**
   * Has other keys from now on. All sessions are lost: who has had a key is nobody any more.
   * @throws Error for keys that are not possible
   */
  setKeys(keys: readonly TlsKey[]): void {
    checkKeys(keys);
    this.clientKeys = keys;
    if (this.running) this.end();
  }

  /** Whether that instance is the present one. */
  isPresent(instance: number): boolean {
    return this.running && this.instance === instance;
  }

  /** Sessions that are open. */
  get open(): number {
    return this.taken.filter((taken) => taken).length;
  }

  /** A new session, at the start of its handshake; null when there is no room for it: too many, or no memory. */
  session(): Session | null {
    if (!this.running && !this.start()) return null;
    const number = this.taken.indexOf(false);
    if (number < 0 || !this.host.give(sessionAddress(number), TLS_SESSION_BYTES)) return null;
    this.taken[number] = true;
    this.mix(this.stir());
    const session = new Session(this, number, this.instance);
    if (this.call(TLS_OPEN, number, 0) === 0) return session;
    session.close();
    return null;
  }

  /** As TlsHost's; after a fault the instance is gone, with its memory. */
  call(operation: number, a: number, b: number): number | null {
    if (!this.running) return null;
    const result = this.host.call(operation, a, b);
    if (result === null) this.stop();
    return result;
  }

  /** Frees what a session had that was closed. */
  release(number: number): void {
    this.host.take(sessionAddress(number), TLS_SESSION_BYTES);
    this.taken[number] = false;
  }

  private start(): boolean {
    if (!this.host.give(0, TLS_OWN_BYTES)) return false;
    this.instance++;
    this.running = true;
    const begun = this.host.start(TLS_BEGIN, 0, 0);
    if (begun === null) this.stop();
    else if (begun !== 0) throw new Error("TLS: the module does not begin: it was built for another layout");
    this.mix(this.seed());
    for (const { identity, key } of this.keys) {
      if (!this.running) break;
      const name = encodeUtf8(identity);
      this.host.write(TLS_SHARED, name);
      this.host.write(TLS_SHARED + name.length, key);
      this.call(TLS_KEY, name.length, 0);
    }
    return this.running;
  }

  private mix(bytes: Uint8Array): void {
    for (let at = 0; this.running && at < bytes.length; at += TLS_SEED_MOST) {
      const part = bytes.subarray(at, at + TLS_SEED_MOST);
      this.host.write(TLS_SHARED, part);
      this.call(TLS_SEED, part.length, 0);
    }
  }

  private stop(): void {
    this.end();
    this.stopped();
  }

  private end(): void {
    this.running = false;
    this.taken.forEach((taken, number) => {
      if (taken) this.release(number);
    });
    this.host.take(0, TLS_OWN_BYTES);
  }
}

/** One session. Nothing that it reads from the module's memory is trusted. */
export class Session {
  private closed = false;
  private readonly address: number;
  /** Its fields: read on every call, by a view because calls of calls are what takes time. */
  private readonly fields: Uint32Array;

  constructor(
    private readonly module: TlsModule,
    private readonly number: number,
    private readonly instance: number,
  ) {
    this.address = sessionAddress(number);
    this.fields = module.host.words(this.address, TlsSession.input / 4);
  }

  private get lost(): boolean {
    return this.closed || !this.module.isPresent(this.instance);
  }

  /** TLS_HANDSHAKE, ...; TLS_FAILED once the module has been stopped. */
  get state(): number {
    return this.lost ? TLS_FAILED : this.fields[STATE]!;
  }

  /** Of a session that has failed: mbedTLS's error, negative; TLS_NO_MEMORY, ...; TLS_LOST. */
  get error(): number {
    return this.lost ? TLS_LOST : this.fields[ERROR]! | 0;
  }

  /** The key that the client has named; null if it has named none, or none that there is. */
  get identity(): string | null {
    if (this.lost) return null;
    return this.module.keys[this.fields[KEY]!]?.identity ?? null;
  }

  /** Bytes that the last `step` or `read` lacked to go on; 0: it has stopped for another reason. */
  get wanted(): number {
    return this.lost ? 0 : Math.min(this.fields[WANTED]!, TLS_INPUT_BYTES);
  }

  /** Continues the handshake. */
  step(): void {
    this.call(TLS_STEP, 0);
  }

  /** Takes what a connection has received, as far as there is room; returns the bytes. */
  receive(connection: Connection): number {
    if (this.lost) return 0;
    const end = this.fields[INPUT_END]!;
    if (end >= TLS_INPUT_BYTES) return 0;
    const bytes = connection.read(stage.subarray(0, TLS_INPUT_BYTES - end));
    if (bytes === 0) return 0;
    this.module.host.write(this.address + TlsSession.input + end, stage.subarray(0, bytes));
    this.fields[INPUT_END] = end + bytes;
    return bytes;
  }

  /** Gives a connection what is to be sent, as far as it accepts it; returns the bytes that stay. */
  send(connection: Connection): number {
    if (this.lost) return 0;
    const start = this.fields[OUTPUT_START]!;
    const end = this.fields[OUTPUT_END]!;
    if (start >= end || end > TLS_OUTPUT_BYTES) return 0;
    const sent = connection.write(this.module.host.read(this.address + TlsSession.output + start, end - start));
    if (sent > 0) this.fields[OUTPUT_START] = start + sent;
    return end - start - sent;
  }

  /** Decrypts: at most `into.length` bytes of what was received; returns how many. The state is what it is after them. */
  read(into: Uint8Array): number {
    const wanted = Math.min(into.length, TLS_SHARED_BYTES);
    const bytes = Math.min(this.call(TLS_READ, wanted), wanted);
    if (bytes > 0) this.module.host.readInto(TLS_SHARED, into.subarray(0, bytes));
    return bytes;
  }

  /** Encrypts as much of `bytes` as there is room for; returns how many. */
  write(bytes: Uint8Array): number {
    if (this.lost) return 0;
    const part = bytes.subarray(0, TLS_SHARED_BYTES);
    this.module.host.write(TLS_SHARED, part);
    return Math.min(this.call(TLS_WRITE, part.length), part.length);
  }

  /** Says that no more will be sent; false when there is no room for that now. */
  finish(): boolean {
    return this.lost || this.call(TLS_FINISH, 0) !== 0;
  }

  /** Ends and forgets it; harmless when that was done, or it was lost. */
  close(): void {
    if (this.lost) return;
    this.module.call(TLS_CLOSE, this.number, 0);
    if (!this.lost) this.module.release(this.number);
    this.closed = true;
  }

  private call(operation: number, b: number): number {
    const result = this.lost ? null : this.module.call(operation, this.number, b);
    return result === null || result === TLS_REFUSED ? 0 : result;
  }
}
