/** node:fs: the files that were packed in, read-only. */
import { Buffer, toBuffer } from "../data/buffer.ts";
import { codedError, type CodedError } from "./errors.ts";
import { fileBytes, programInfo } from "../guest/host.ts";
import { Readable } from "../data/streams.ts";
import { addTick } from "../guest/ticks.ts";

type Options = string | { encoding?: string | null } | null | undefined;

const { files, builtAt } = programInfo;
/** Names in each folder, by the folder's path without a slash at its end; the root is "". */
const folders = new Map<string, Set<string>>([["", new Set()]]);
for (const name of Object.keys(files)) {
  for (let path = name; path !== ""; path = path.slice(0, path.lastIndexOf("/"))) {
    const above = path.slice(0, path.lastIndexOf("/"));
    const names = folders.get(above) ?? new Set();
    names.add(path.slice(above.length + 1));
    folders.set(above, names);
  }
}

function failure(code: string, message: string, syscall: string, path: string): CodedError {
  return codedError(code, `${message}, ${syscall} '${path}'`, { syscall, path });
}

/** An absolute path without "." and "..", and without a slash at its end. */
function normalize(path: unknown): string {
  const text =
    path instanceof URL
      ? decodeURIComponent(path.pathname)
      : path instanceof Uint8Array
        ? toBuffer(path).toString()
        : path;
  if (typeof text !== "string") throw new TypeError("a path is a string, a Buffer or a file: URL");
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.map((part) => `/${part}`).join("");
}

export class Stats {
  readonly mtimeMs = builtAt;
  readonly mtime = new Date(builtAt);
  readonly ctime = this.mtime;
  readonly atime = this.mtime;
  readonly birthtime = this.mtime;
  readonly mode: number;
  constructor(
    private readonly folder: boolean,
    readonly size: number,
  ) {
    this.mode = folder ? 0o040555 : 0o100444;
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

function status(path: unknown, syscall: string): Stats {
  const name = normalize(path);
  const place = Object.hasOwn(files, name) ? files[name] : undefined;
  if (place !== undefined) return new Stats(false, place[1]);
  if (folders.has(name)) return new Stats(true, 0);
  throw failure("ENOENT", "no such file or directory", syscall, String(path));
}

export function readFileSync(path: unknown, options?: Options): Buffer | string {
  if (status(path, "open").isDirectory())
    throw failure("EISDIR", "illegal operation on a directory", "read", String(path));
  const bytes = toBuffer(fileBytes(files[normalize(path)]!).slice());
  const encoding = typeof options === "string" ? options : options?.encoding;
  return encoding ? bytes.toString(encoding as "utf8") : bytes;
}

export const statSync = (path: unknown, options?: { throwIfNoEntry?: boolean }): Stats | undefined => {
  if (options?.throwIfNoEntry === false && !existsSync(path)) return undefined;
  return status(path, "stat");
};
export const lstatSync = statSync;
export const realpathSync = (path: unknown): string => (status(path, "realpath"), normalize(path) || "/");
export const accessSync = (path: unknown, mode = 0): void => {
  status(path, "access");
  if ((mode & 2) !== 0) throw failure("EROFS", "read-only file system", "access", String(path));
};

export function existsSync(path: unknown): boolean {
  try {
    status(path, "access");
    return true;
  } catch {
    return false;
  }
}

export interface Dirent {
  name: string;
  parentPath: string;
  isFile(): boolean;
  isDirectory(): boolean;
}

export function readdirSync(path: unknown, options?: { withFileTypes?: boolean } | string): string[] | Dirent[] {
  if (!status(path, "scandir").isDirectory()) throw failure("ENOTDIR", "not a directory", "scandir", String(path));
  const folder = normalize(path);
  const names = [...folders.get(folder)!].sort();
  if (typeof options !== "object" || !options.withFileTypes) return names;
  return names.map((name) => {
    const isFolder = folders.has(`${folder}/${name}`);
    return { name, parentPath: folder || "/", isFile: () => !isFolder, isDirectory: () => isFolder };
  });
}

export function createReadStream(path: unknown, options?: Options | { start?: number; end?: number }): Readable {
  const { start = 0, end = Infinity } =
    ((typeof options === "object" ? options : null) as { start?: number; end?: number }) ?? {};
  let at = start;
  const stream = new Readable({
    read(size) {
      try {
        const bytes = readFileSync(path) as Buffer;
        const piece = bytes.subarray(at, Math.min(at + size, end + 1));
        at += piece.length;
        stream.push(piece.length === 0 ? null : piece);
      } catch (error) {
        stream.destroy(error as Error);
      }
    },
  });
  const encoding =
    typeof options === "string" ? options : (options as { encoding?: string } | null | undefined)?.encoding;
  return encoding ? stream.setEncoding(encoding) : stream;
}

export const constants = { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1 };

const refuse =
  (syscall: string) =>
  (path: unknown): never => {
    throw failure("EROFS", "the files of a guest are read-only", syscall, String(path));
  };
export const writeFileSync = refuse("open");
export const appendFileSync = refuse("open");
export const mkdirSync = refuse("mkdir");
export const rmSync = refuse("rm");
export const unlinkSync = refuse("unlink");
export const renameSync = refuse("rename");

/** Each function of these in its three forms: synchronous, with a callback, with a promise. */
const SYNCHRONOUS = {
  readFile: readFileSync,
  stat: statSync,
  lstat: lstatSync,
  realpath: realpathSync,
  access: accessSync,
  readdir: readdirSync,
  writeFile: writeFileSync,
  appendFile: appendFileSync,
  mkdir: mkdirSync,
  rm: rmSync,
  unlink: unlinkSync,
  rename: renameSync,
} as Record<string, (...values: never[]) => unknown>;

export const promises: Record<string, (...values: never[]) => Promise<unknown>> = {};
const callbacks: Record<string, (...values: unknown[]) => void> = {};
for (const [name, run] of Object.entries(SYNCHRONOUS)) {
  promises[name] = async (...values) => run(...values);
  callbacks[name] = (...values) => {
    const done = values.pop() as (error: unknown, result?: unknown) => void;
    let outcome: [unknown, unknown?];
    try {
      outcome = [null, run(...(values as never[]))];
    } catch (error) {
      outcome = [error];
    }
    addTick(() => done(...outcome));
  };
}

/** The module, with the callback forms. */
export const fs = {
  ...callbacks,
  ...{
    readFileSync,
    statSync,
    lstatSync,
    realpathSync,
    accessSync,
    existsSync,
    readdirSync,
    createReadStream,
    Stats,
    constants,
  },
  ...{ writeFileSync, appendFileSync, mkdirSync, rmSync, unlinkSync, renameSync, promises },
};
export { Buffer };
