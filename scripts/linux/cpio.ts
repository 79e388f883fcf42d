/**
 * cpio archives in the format "newc", of which Linux makes its initramfs.
 *
 * Source: Linux's Documentation/driver-api/early-userspace/buffer-format.rst.
 */

const TRAILER = "TRAILER!!!";
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFLNK = 0o120000;
/** Links have no permissions of their own. */
const LINK_MODE = 0o777;

/** One file of an archive; paths are relative, folders come before what is in them. */
export type CpioEntry = { path: string } & (
  | { kind: "folder"; mode: number }
  | { kind: "file"; mode: number; data: Uint8Array }
  | { kind: "device"; mode: number; major: number; minor: number }
  | { kind: "link"; target: string }
);

const TYPES = { folder: S_IFDIR, file: S_IFREG, device: S_IFCHR, link: S_IFLNK };

/** What an entry's record has as its data: of a link, where it leads. */
function dataOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === "file") return entry.data;
  return entry.kind === "link" ? Buffer.from(entry.target, "utf8") : new Uint8Array(0);
}

/** Pads to a multiple of four, as everything in the format is. */
function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

function record(
  path: string,
  inode: number,
  mode: number,
  links: number,
  data: Uint8Array,
  rdev: [number, number],
): Buffer {
  const name = Buffer.from(`${path}\0`, "utf8");
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check. No times: the same
  // files make the same archive.
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, ...rdev, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header, "latin1"), name])), padded(data)]);
}

/** The archive of `entries`, owned by root. */
export function makeCpio(entries: CpioEntry[]): Buffer {
  const records = entries.map((entry, index) => {
    const rdev: [number, number] = entry.kind === "device" ? [entry.major, entry.minor] : [0, 0];
    const links = entry.kind === "folder" ? 2 : 1;
    const mode = TYPES[entry.kind] | (entry.kind === "link" ? LINK_MODE : entry.mode);
    return record(entry.path, index + 1, mode, links, dataOf(entry), rdev);
  });
  return Buffer.concat([...records, record(TRAILER, 0, 0, 1, new Uint8Array(0), [0, 0])]);
}
