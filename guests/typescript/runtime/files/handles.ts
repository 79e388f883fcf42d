/** Files that are open, by descriptor, and Node's FileHandle. */
import { Buffer, toBuffer } from "../data/buffer.ts";
import { joined } from "../data/join.ts";
import { fail, type OpenFile } from "./file-system.ts";
import { placeOf } from "./places.ts";

/** Behind what elsewhere are standard input, output and errors. */
const FIRST = 3;
const OPEN_MOST = 1024;
/** Bytes that a whole file is read by. */
const PIECE = 64 * 1024;

export const constants = {
  F_OK: 0,
  R_OK: 4,
  W_OK: 2,
  X_OK: 1,
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  COPYFILE_EXCL: 1,
};

/** What flags of `open` say, as a text or as O_ bits. */
export function parseFlags(flags: unknown): {
  read: boolean;
  write: boolean;
  append: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
} {
  if (typeof flags === "number") {
    return {
      read: (flags & 3) !== constants.O_WRONLY,
      write: (flags & 3) !== constants.O_RDONLY,
      append: (flags & constants.O_APPEND) !== 0,
      create: (flags & constants.O_CREAT) !== 0,
      exclusive: (flags & constants.O_EXCL) !== 0,
      truncate: (flags & constants.O_TRUNC) !== 0,
    };
  }
  const text = String(flags ?? "r");
  const match = /^(r|w|a)(x?)(\+?)(x?)$/.exec(text.replace("s", ""));
  if (match === null) throw new TypeError(`the flags "${text}" are none of r, r+, w, w+, wx, wx+, a, a+, ax, ax+`);
  const [, kind, , more] = match;
  return {
    read: kind === "r" || more === "+",
    write: kind !== "r" || more === "+",
    append: kind === "a",
    create: kind !== "r",
    exclusive: text.includes("x"),
    truncate: kind === "w",
  };
}

export interface Handle {
  readonly file: OpenFile;
  /** Where the next bytes are read or written that are not asked for at a place. */
  at: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly path: string;
  /** Something was written. */
  written: boolean;
}

const handles = new Map<number, Handle>();

export function openHandle(path: unknown, flags: unknown): number {
  const { read, write, append, ...how } = parseFlags(flags);
  if (handles.size >= OPEN_MOST) fail("EACCES");
  const place = placeOf(path);
  const file = place.system.open(place.path, { write, ...how });
  let descriptor = FIRST;
  while (handles.has(descriptor)) descriptor++;
  // A file that was made, or emptied, has changed.
  handles.set(descriptor, {
    file,
    at: 0,
    read,
    write,
    append,
    path: String(path),
    written: how.create || how.truncate,
  });
  return descriptor;
}

export function handleOf(descriptor: unknown): Handle {
  return handles.get(descriptor as number) ?? fail("EBADF");
}

/** Returns whether something was written to it. */
export function closeHandle(descriptor: unknown): boolean {
  const handle = handleOf(descriptor);
  handles.delete(descriptor as number);
  handle.file.close();
  return handle.written;
}

/** @param position null: where the last one has ended */
export function readHandle(
  descriptor: unknown,
  into: Uint8Array,
  position: number | bigint | null | undefined,
): number {
  const handle = handleOf(descriptor);
  if (!handle.read) fail("EBADF");
  const own = position === null || position === undefined || Number(position) < 0;
  const count = handle.file.read(own ? handle.at : Number(position), into);
  if (own) handle.at += count;
  return count;
}

export function writeHandle(descriptor: unknown, bytes: Uint8Array, position: number | null | undefined): number {
  const handle = handleOf(descriptor);
  if (!handle.write) fail("EBADF");
  const own = position === null || position === undefined;
  const at = handle.append ? handle.file.status().size : own ? handle.at : position;
  handle.written = true;
  handle.file.write(at, bytes);
  if (own || handle.append) handle.at = at + bytes.length;
  return bytes.length;
}

export function resizeHandle(descriptor: unknown, size = 0): void {
  const handle = handleOf(descriptor);
  if (!handle.write) fail("EINVAL");
  handle.written = true;
  handle.file.resize(size);
}

/** Everything from where it stands to its end. */
export function readRest(descriptor: unknown): Buffer {
  const handle = handleOf(descriptor);
  const parts: Uint8Array[] = [];
  for (;;) {
    const left = handle.file.status().size - handle.at;
    const piece = new Uint8Array(Math.min(Math.max(left, 1), PIECE));
    const count = readHandle(descriptor, piece, null);
    if (count === 0) break;
    parts.push(piece.subarray(0, count));
  }
  return toBuffer(parts.length === 1 ? parts[0]! : joined(parts));
}
