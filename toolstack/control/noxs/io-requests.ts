/** Requests to the I/O domain, as those who make them see it: bytes there, a status and bytes back. channel.ts carries them. */
import { errnoName } from "../hypercall.ts";

export interface IoAnswer {
  payload: Uint8Array;
  /** Of listings and dumps. */
  bulk: Uint8Array;
}

export interface IoRequests {
  /**
   * @param operation of abi/io/control.ts
   * @throws IoError for a status below 0, and when there is no I/O domain
   */
  request(operation: number, payload: Uint8Array): Promise<IoAnswer>;
}

/** A request that the I/O domain refused. */
export class IoError extends Error {
  override name = "IoError";

  /**
   * @param operation its name, such as "VIF_ADD"
   * @param code the positive error number
   * @param lost the I/O domain was restarted before it had answered: it may have been done or not
   * @param payload of the refusal, where it says more
   */
  constructor(
    operation: string,
    readonly code: number,
    readonly lost = false,
    readonly payload: Uint8Array | null = null,
  ) {
    super(`${operation}: ${errnoName(code)}`);
  }

  /** The error's name, such as "ENOENT". */
  get errno(): string {
    return errnoName(this.code);
  }
}

/**
 * Makes a request again as long as the I/O domain dies before it answers.
 * @param request one that may be made twice; `again` tells that it may have been done already
 */
export async function untilAnswered<T>(request: (again: boolean) => Promise<T>): Promise<T> {
  for (let again = false; ; again = true) {
    try {
      return await request(again);
    } catch (error) {
      if (!(error instanceof IoError && error.lost)) throw error;
    }
  }
}

/** A payload that is written field by field; numbers are little-endian. */
export class Payload {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  u32(at: number, value: number): this {
    this.view.setUint32(at, value, true);
    return this;
  }

  /** A number from 0 to 2^53. */
  u64(at: number, value: number): this {
    return this.u32(at, value % 0x100000000).u32(at + 4, Math.floor(value / 0x100000000));
  }

  put(at: number, bytes: ArrayLike<number>): this {
    this.bytes.set(bytes, at);
    return this;
  }

  /** Text in ASCII, padded with NULs by the size of its field. */
  name(at: number, text: string): this {
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
    return this;
  }
}

/** An answer's or entry's fields. */
export class Fields {
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(at: number): number {
    return this.view.getUint32(at, true);
  }

  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * 0x100000000;
  }

  slice(at: number, size: number): Uint8Array {
    return this.bytes.slice(at, at + size);
  }

  /** Up to the first NUL. */
  name(at: number, size: number): string {
    const bytes = this.bytes.subarray(at, at + size);
    const end = bytes.indexOf(0);
    return String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)));
  }
}

/** All entries of a listing, which comes in parts. @param decode reads one entry */
export async function listAll<T>(
  io: IoRequests,
  operation: number,
  entrySize: number,
  decode: (entry: Fields) => T,
): Promise<T[]> {
  const entries: T[] = [];
  for (let cursor = 0; ;) {
    const from = new Payload(4).u32(0, cursor).bytes;
    const { payload, bulk } = await untilAnswered(() => io.request(operation, from));
    const answer = new Fields(payload);
    const count = answer.u32(4);
    for (let i = 0; i < count; i++) entries.push(decode(new Fields(bulk.subarray(i * entrySize, (i + 1) * entrySize))));
    cursor = answer.u32(0);
    if (cursor === 0) return entries;
  }
}
