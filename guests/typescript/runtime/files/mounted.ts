/** The volume on the domain's first disk, mounted when it is used first, and when what was done on it stays. */
import { addImmediate } from "../guest/loop.ts";
import { Volume, type VolumeFile } from "../volume/volume.ts";
import { type FileSystem, Failure, type OpenFile, type Status } from "./file-system.ts";
import { openHostDisk } from "./host-disk.ts";

let volume: Volume | null | undefined;
/** Why it cannot be used. */
let refusal = "";

/** Null: the domain has no disk. @throws Failure when what is on it is no volume */
function mounted(): Volume | null {
  if (volume !== undefined) return volume;
  if (refusal !== "") throw new Failure("EIO", refusal);
  const disk = openHostDisk();
  try {
    volume = disk === null ? null : Volume.mount(disk, () => Date.now());
  } catch (error) {
    refusal = (error as Error).message;
    throw new Failure("EIO", refusal);
  }
  return volume;
}

/** Whether there is one. @throws Failure */
export const hasVolume = (): boolean => mounted() !== null;

function statusOf(node: { kind: string; size?: number; modified: number; made: number; number: number }): Status {
  const { modified, made, number, size = 0 } = node;
  return { folder: node.kind === "folder", size, modified, made, writable: !mounted()!.readOnly, number };
}

class MountedFile implements OpenFile {
  constructor(private readonly file: VolumeFile) {}
  status(): Status {
    return statusOf(this.file);
  }
  read(at: number, into: Uint8Array): number {
    return mounted()!.read(this.file, at, into);
  }
  write(at: number, bytes: Uint8Array): void {
    mounted()!.write(this.file, at, bytes);
  }
  resize(size: number): void {
    mounted()!.resize(this.file, size);
  }
  close(): void {
    mounted()!.close(this.file);
  }
}

export const onVolume: FileSystem = {
  status(path) {
    const node = mounted()!.find(path);
    return node && statusOf(node);
  },
  names: (path) => mounted()!.names(path),
  open: (path, { write: _write, ...options }) => {
    if (_write && mounted()!.readOnly) throw new Failure("EROFS", "read-only file system");
    return new MountedFile(mounted()!.open(path, options));
  },
  makeFolder: (path) => mounted()!.makeFolder(path),
  unlink: (path) => mounted()!.unlink(path),
  removeFolder: (path, all) => mounted()!.removeFolder(path, all),
  rename: (from, to) => mounted()!.rename(from, to),
  setModified: (path, modified) => mounted()!.setModified(path, modified),
};

/** What was done stays from now on. @throws Failure EIO */
export function commitNow(): void {
  volume?.commit();
}

let waiting: ((error?: unknown) => void)[] = [];

/** As `commitNow`, once for all who ask before the next turn; then `done` is called. */
export function commitSoon(done: (error?: unknown) => void): void {
  waiting.push(done);
  if (waiting.length > 1) return;
  addImmediate(() => {
    const all = waiting;
    waiting = [];
    let failed: unknown;
    try {
      commitNow();
    } catch (error) {
      failed = error;
    }
    for (const each of all) each(failed);
  });
}
