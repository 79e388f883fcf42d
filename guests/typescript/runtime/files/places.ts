/** Which file system a path is in: the volume below where it is mounted, if there is one, else the packed files. */
import { toBuffer } from "../data/buffer.ts";
import { commandLine } from "../guest/command-line.ts";
import { fail, type FileSystem, Failure, type Status } from "./file-system.ts";
import { hasVolume, onVolume } from "./mounted.ts";
import { packed } from "./packed.ts";

/** Where it is mounted if the domain's command line does not say. */
const DEFAULT_MOUNT = "/data";

/** The names of an absolute path, without "." and "..". */
export function namesOf(path: unknown): string[] {
  const text =
    path instanceof URL
      ? decodeURIComponent(path.pathname)
      : path instanceof Uint8Array
        ? toBuffer(path).toString()
        : path;
  if (typeof text !== "string") throw new TypeError("a path is a string, a Buffer or a file: URL");
  if (text.includes("\0")) throw new Failure("EINVAL", "a path without NUL is expected");
  const names: string[] = [];
  for (const name of text.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names;
}

export const pathOf = (names: readonly string[]) => `/${names.join("/")}`;

let mount: string[] | undefined;

function mountNames(): string[] {
  if (mount === undefined) {
    const word = commandLine().options.find((option) => option.startsWith("volume="));
    mount = namesOf(word?.slice("volume=".length) ?? DEFAULT_MOUNT);
    if (mount.length === 0) mount = namesOf(DEFAULT_MOUNT);
  }
  return mount;
}

export interface Place {
  system: FileSystem;
  /** Names from its root. */
  path: string[];
}

/** @throws Failure when it is on the volume, and that cannot be used */
export function placeOf(path: unknown): Place {
  const names = namesOf(path);
  const above = mountNames();
  const inside = names.length >= above.length && above.every((name, i) => names[i] === name);
  return inside && hasVolume()
    ? { system: onVolume, path: names.slice(above.length) }
    : { system: packed, path: names };
}

/** The next name on the way from a folder of the packed files to the volume; undefined: it is not there, or there is none. */
function wayToVolume(names: readonly string[]): string | undefined {
  const above = mountNames();
  const leads = names.length < above.length && names.every((name, i) => above[i] === name);
  return leads && hasVolume() ? above[names.length] : undefined;
}

/** What a path names. */
export function statusAt(path: unknown): Status | undefined {
  const place = placeOf(path);
  const status = place.system.status(place.path);
  if (status !== undefined || place.system !== packed || wayToVolume(place.path) === undefined) return status;
  return { folder: true, size: 0, modified: 0, made: 0, writable: false, number: 0 };
}

/** What a path must name. */
export function mustBeAt(path: unknown): Status {
  return statusAt(path) ?? fail("ENOENT");
}

/** The names in a folder, in order. */
export function namesIn(path: unknown): string[] {
  if (!mustBeAt(path).folder) fail("ENOTDIR");
  const place = placeOf(path);
  const way = place.system === packed ? wayToVolume(place.path) : undefined;
  const own = place.system.status(place.path) === undefined ? [] : place.system.names(place.path);
  return [...new Set(way === undefined ? own : [...own, way])].sort();
}
