/** The files that were packed in with `--files`, read-only. */
import { fileBytes, programInfo } from "../guest/host.ts";
import { fail, type FileSystem, type OpenFile, type OpenOptions, type Status } from "./file-system.ts";

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

const textOf = (path: string[]) => path.map((name) => `/${name}`).join("");

class PackedFile implements OpenFile {
  constructor(private readonly place: [number, number]) {}
  status(): Status {
    return {
      folder: false,
      size: this.place[1],
      modified: builtAt,
      made: builtAt,
      writable: false,
      number: this.place[0],
    };
  }
  read(at: number, into: Uint8Array): number {
    const bytes = fileBytes(this.place).subarray(at, at + into.length);
    into.set(bytes);
    return bytes.length;
  }
  write(): never {
    fail("EBADF");
  }
  resize(): never {
    fail("EINVAL");
  }
  close(): void {}
}

const refuse = (): never => fail("EROFS");

export const packed: FileSystem = {
  status(path) {
    const name = textOf(path);
    if (Object.hasOwn(files, name)) return new PackedFile(files[name]!).status();
    if (!folders.has(name)) return undefined;
    return { folder: true, size: 0, modified: builtAt, made: builtAt, writable: false, number: 0 };
  },
  names(path) {
    return [...(folders.get(textOf(path)) ?? fail("ENOENT"))];
  },
  open(path, { write, create, truncate }: OpenOptions) {
    if (write || create || truncate) fail("EROFS");
    const name = textOf(path);
    if (folders.has(name)) fail("EISDIR");
    return new PackedFile(Object.hasOwn(files, name) ? files[name]! : fail("ENOENT"));
  },
  makeFolder: refuse,
  unlink: refuse,
  removeFolder: refuse,
  rename: refuse,
  setModified: refuse,
};
