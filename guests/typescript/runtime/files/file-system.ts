/** What the files of a program and those of a volume have in common. */
import { codedError, type CodedError } from "../program/errors.ts";

export interface Status {
  folder: boolean;
  size: number;
  /** ms since 1970. */
  modified: number;
  made: number;
  writable: boolean;
  number: number;
}

export interface OpenFile {
  status(): Status;
  /** Fills `into` from a place on; bytes that were read, fewer at the end. */
  read(at: number, into: Uint8Array): number;
  write(at: number, bytes: Uint8Array): void;
  resize(size: number): void;
  close(): void;
}

export interface OpenOptions {
  write: boolean;
  create: boolean;
  exclusive: boolean;
  truncate: boolean;
}

/** Paths are the names from its root. All throw Failure. */
export interface FileSystem {
  /** Undefined: there is nothing. */
  status(path: string[]): Status | undefined;
  names(path: string[]): string[];
  open(path: string[], options: OpenOptions): OpenFile;
  makeFolder(path: string[]): void;
  unlink(path: string[]): void;
  removeFolder(path: string[], all: boolean): void;
  rename(from: string[], to: string[]): void;
  setModified(path: string[], modified: number): void;
}

/** What is wrong, without where: a code of Node's. */
export class Failure extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const MESSAGES = {
  EACCES: "permission denied",
  EBADF: "bad file descriptor",
  EINVAL: "invalid argument",
  EISDIR: "illegal operation on a directory",
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  EXDEV: "cross-device link not permitted",
} as const;

export function fail(code: keyof typeof MESSAGES): never {
  throw new Failure(code, MESSAGES[code]);
}

/** Runs `work`; a Failure becomes the error that Node would throw. */
export function within<T>(syscall: string, path: unknown, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, message } = error as Failure;
    if (typeof code !== "string" || (error as CodedError).syscall !== undefined) throw error;
    const where = path === undefined ? "" : ` '${String(path)}'`;
    throw codedError(code, `${message}, ${syscall}${where}`, {
      syscall,
      ...(path === undefined ? {} : { path: String(path) }),
    });
  }
}
