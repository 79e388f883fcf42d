/**
 * Paths of the store. All strings of the store are byte strings: one character, 0 to 255, for each byte on the wire.
 * Rules: Xen's docs/misc/xenstore.txt, "Paths", and its xenstored.
 */
import { XENSTORE_REL_PATH_MAX } from "../../../abi/xs-wire.ts";

export const ROOT = "/";

/** The part of a path that does not count for its length: a guest's own relative paths may all be as long. */
const HOME = /^\/local\/domain\/[0-9]{1,5}\//;

/** Where a domain's relative paths begin. */
export function homeOf(domain: number): string {
  return `/local/domain/${domain}`;
}

/** True for names of events that are no nodes: @introduceDomain, @releaseDomain. */
export function isSpecial(path: string): boolean {
  return path.startsWith("@");
}

/** The absolute path; special names stay as they are. Nothing is checked. */
export function absolutePath(path: string, home: string): string {
  return path.startsWith("/") || path.startsWith("@") ? path : `${home}/${path}`;
}

/** True for an absolute path that a node may have. */
export function isValidPath(path: string): boolean {
  if (!path.startsWith("/") || /[^A-Za-z0-9/_@-]/.test(path)) return false;
  if (path === ROOT) return true;
  if (path.endsWith("/") || path.includes("//")) return false;
  if (path.length <= XENSTORE_REL_PATH_MAX) return true;
  const home = HOME.exec(path);
  return home !== null && path.length <= home[0].length + XENSTORE_REL_PATH_MAX;
}

/** The parent of a path other than "/". */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === 0 ? ROOT : path.slice(0, slash);
}

/** The last part of a path other than "/". */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function childPath(parent: string, name: string): string {
  return parent === ROOT ? `/${name}` : `${parent}/${name}`;
}
