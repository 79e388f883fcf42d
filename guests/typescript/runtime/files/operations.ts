/** What the functions of `fs` do, each at once; when it stays is fs.ts's to see to. */
import { Buffer, toBuffer } from "../data/buffer.ts";
import { fail, Failure, type Status, within } from "./file-system.ts";
import {
  closeHandle,
  constants,
  handleOf,
  openHandle,
  readHandle,
  readRest,
  resizeHandle,
  writeHandle,
} from "./handles.ts";
import { mustBeAt, namesIn, namesOf, pathOf, placeOf, statusAt } from "./places.ts";

type Encoded = string | { encoding?: string | null; flag?: string } | null | undefined;

const encodingOf = (options: Encoded) => (typeof options === "string" ? options : options?.encoding);
const flagOf = (options: Encoded) => (typeof options === "object" ? options?.flag : undefined);

export class Stats {
  readonly size: number;
  readonly mode: number;
  readonly ino: number;
  readonly mtimeMs: number;
  readonly birthtimeMs: number;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly atime: Date;
  readonly birthtime: Date;
  readonly nlink = 1;
  readonly uid = 0;
  readonly gid = 0;
  private readonly folder: boolean;
  constructor({ folder, size, modified, made, writable, number }: Status) {
    this.folder = folder;
    this.size = size;
    this.ino = number;
    this.mode = (folder ? 0o040555 : 0o100444) | (writable ? 0o200 : 0);
    [this.mtimeMs, this.birthtimeMs] = [modified, made];
    this.mtime = this.ctime = this.atime = new Date(modified);
    this.birthtime = new Date(made);
  }
  isFile(): boolean {
    return !this.folder;
  }
  isDirectory(): boolean {
    return this.folder;
  }
  isSymbolicLink(): boolean {
    return false;
  }
}

export interface Dirent {
  name: string;
  parentPath: string;
  path: string;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

function bytesOf(data: unknown, encoding: string | null | undefined): Uint8Array {
  if (typeof data === "string") return toBuffer(data, encoding ?? "utf8");
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new TypeError("what is written is a string or bytes");
}

/** Runs `work` with an open file, which is closed. */
function withFile<T>(path: unknown, flags: unknown, work: (descriptor: number) => T): T {
  if (typeof path === "number") return work(path);
  const descriptor = openHandle(path, flags);
  try {
    return work(descriptor);
  } finally {
    closeHandle(descriptor);
  }
}

function readFile(path: unknown, options?: Encoded): Buffer | string {
  const bytes = within("open", path, () => withFile(path, flagOf(options) ?? "r", readRest));
  const encoding = encodingOf(options);
  return encoding ? bytes.toString(encoding as "utf8") : bytes;
}

function putFile(path: unknown, data: unknown, options: Encoded, flags: string): void {
  const bytes = bytesOf(data, encodingOf(options));
  within("open", path, () =>
    withFile(path, flagOf(options) ?? flags, (descriptor) => writeHandle(descriptor, bytes, null)),
  );
}

function readdir(
  path: unknown,
  options?: { withFileTypes?: boolean; recursive?: boolean } | string | null,
): string[] | Dirent[] {
  const { withFileTypes = false, recursive = false } = typeof options === "object" && options !== null ? options : {};
  const entries: Dirent[] = [];
  const names: string[] = [];
  const walk = (folder: string[], prefix: string) => {
    for (const name of namesIn(pathOf(folder))) {
      const isFolder = mustBeAt(pathOf([...folder, name])).folder;
      names.push(prefix + name);
      const above = pathOf(folder);
      const [isDirectory, isFile, isSymbolicLink] = [() => isFolder, () => !isFolder, () => false];
      entries.push({ name, parentPath: above, path: above, isFile, isDirectory, isSymbolicLink });
      if (recursive && isFolder) walk([...folder, name], `${prefix}${name}/`);
    }
  };
  within("scandir", path, () => walk(namesOf(path), ""));
  return withFileTypes ? entries : names;
}

function mkdir(path: unknown, options?: { recursive?: boolean } | number | null): string | undefined {
  return within("mkdir", path, () => {
    const make = (names: string[]) => {
      const place = placeOf(pathOf(names));
      if (statusAt(pathOf(names)) !== undefined) throw new Failure("EEXIST", "file already exists");
      place.system.makeFolder(place.path);
    };
    const names = namesOf(path);
    if (typeof options !== "object" || !options?.recursive) {
      make(names);
      return undefined;
    }
    let first: string | undefined;
    for (let depth = 1; depth <= names.length; depth++) {
      const part = names.slice(0, depth);
      const there = statusAt(pathOf(part));
      if (there === undefined) {
        make(part);
        first ??= pathOf(part);
      } else if (!there.folder) fail(depth < names.length ? "ENOTDIR" : "EPERM");
    }
    return first;
  });
}

function rm(path: unknown, { recursive = false, force = false }: { recursive?: boolean; force?: boolean } = {}): void {
  within("rm", path, () => {
    const status = statusAt(path);
    if (status === undefined) {
      if (force) return;
      fail("ENOENT");
    }
    const { system, path: names } = placeOf(path);
    if (!status.folder) system.unlink(names);
    else if (recursive) system.removeFolder(names, true);
    else throw new Failure("ERR_FS_EISDIR", "it is a directory: recursive removes one");
  });
}

function rename(from: unknown, to: unknown): void {
  within("rename", from, () => {
    const [source, target] = [placeOf(from), placeOf(to)];
    if (source.system !== target.system) fail("EXDEV");
    source.system.rename(source.path, target.path);
  });
}

let temporary = 0;

/** Each function as Node has it with `Sync` at its end. */
export const OPERATIONS = {
  readFile,
  readdir,
  stat: (path: unknown, options?: { throwIfNoEntry?: boolean }): Stats | undefined => {
    if (options?.throwIfNoEntry === false && statusAt(path) === undefined) return undefined;
    return within("stat", path, () => new Stats(mustBeAt(path)));
  },
  realpath: (path: unknown): string => within("realpath", path, () => (mustBeAt(path), pathOf(namesOf(path)))),
  access: (path: unknown, mode = 0): void =>
    within("access", path, () => {
      const { writable } = mustBeAt(path);
      if ((mode & constants.W_OK) !== 0 && !writable) fail("EROFS");
    }),
  fstat: (descriptor: number): Stats => within("fstat", undefined, () => new Stats(handleOf(descriptor).file.status())),
  open: (path: unknown, flags?: unknown): number => within("open", path, () => openHandle(path, flags)),
  read: (
    descriptor: number,
    into: Uint8Array,
    offset: number | { offset?: number; length?: number; position?: number | null } = 0,
    length?: number | null,
    position: number | bigint | null = null,
  ): number =>
    within("read", undefined, () => {
      const given = typeof offset === "object" ? offset : { offset, length: length ?? undefined, position };
      const at = given.offset ?? 0;
      const part = into.subarray(at, at + (given.length ?? into.length - at));
      return readHandle(descriptor, part, given.position);
    }),
  write: (
    descriptor: number,
    data: unknown,
    first?: number | null,
    second?: number | string | null,
    third?: number | null,
  ): number =>
    within("write", undefined, () => {
      // Of a string: position, encoding. Of bytes: offset, length, position.
      if (typeof data === "string") {
        return writeHandle(descriptor, bytesOf(data, typeof second === "string" ? second : undefined), first);
      }
      const bytes = bytesOf(data, null);
      const offset = first ?? 0;
      return writeHandle(descriptor, bytes.subarray(offset, offset + Number(second ?? bytes.length - offset)), third);
    }),
};

/** The same of those that change something. */
export const CHANGES = {
  writeFile: (path: unknown, data: unknown, options?: Encoded): void => putFile(path, data, options, "w"),
  appendFile: (path: unknown, data: unknown, options?: Encoded): void => putFile(path, data, options, "a"),
  copyFile: (from: unknown, to: unknown, mode = 0): void => {
    const bytes = readFile(from);
    putFile(to, bytes, null, mode & constants.COPYFILE_EXCL ? "wx" : "w");
  },
  mkdir,
  mkdtemp: (prefix: string): string => {
    for (;;) {
      const path = prefix + (temporary++).toString(36).padStart(6, "0");
      if (statusAt(path) !== undefined) continue;
      mkdir(path);
      return path;
    }
  },
  rm,
  rmdir: (path: unknown): void =>
    within("rmdir", path, () => {
      const place = placeOf(path);
      place.system.removeFolder(place.path, false);
    }),
  unlink: (path: unknown): void =>
    within("unlink", path, () => {
      const place = placeOf(path);
      if (statusAt(path)?.folder) fail("EISDIR");
      place.system.unlink(place.path);
    }),
  rename,
  truncate: (path: unknown, size = 0): void =>
    within("open", path, () => withFile(path, "r+", (descriptor) => resizeHandle(descriptor, size))),
  utimes: (path: unknown, _accessed: unknown, modified: number | string | Date): void =>
    within("utime", path, () => {
      const place = placeOf(path);
      const ms = modified instanceof Date ? modified.getTime() : Number(modified) * 1000;
      place.system.setModified(place.path, Math.round(ms));
    }),
  fsync: (descriptor: number): void => within("fsync", undefined, () => void handleOf(descriptor)),
  fdatasync: (descriptor: number): void => within("fdatasync", undefined, () => void handleOf(descriptor)),
};

/** Those whose change stays only with a later `fsync` or `close`. */
export const LOOSE = {
  ftruncate: (descriptor: number, size = 0): void =>
    within("ftruncate", undefined, () => resizeHandle(descriptor, size)),
};

/** Returns whether something was written. */
export const close = (descriptor: number): boolean => within("close", undefined, () => closeHandle(descriptor));

export function exists(path: unknown): boolean {
  try {
    return statusAt(path) !== undefined;
  } catch {
    return false;
  }
}
