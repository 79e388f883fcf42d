/**
 * Access to nodes. A node's list begins with its owner, which has full access; the owner's letter is the access of
 * domains that are not listed; an entry for a domain is that domain's access. Domain 0 has full access.
 *
 * An entry holds for the domain that had the number when it was made: domains younger than the node do not inherit it.
 */
import { EINVAL } from "./store-error.ts";

export const NO_ACCESS = 0;
export const READ = 1;
export const WRITE = 2;
export const OWN = 4;

export interface Permission {
  readonly domain: number;
  /** READ and WRITE, or neither. */
  readonly access: number;
}

/** The owner's entry first; never empty, never changed. */
export type Permissions = readonly Permission[];

/** A client, as seen by permission checks. */
export interface Subject {
  readonly domain: number;
  /** Domain 0. */
  readonly privileged: boolean;
  /** The domain on whose behalf it may also act (XS_SET_TARGET), -1 none. */
  target: number;
}

const LETTERS = "nrwb";

/** Highest number a permission entry may name. */
const DOMAIN_MAX = 65535;

/**
 * What `subject` may do with a node that has these permissions, as READ, WRITE and OWN.
 * @param holds says whether an entry for a domain is still in force
 */
export function accessOf(subject: Subject, permissions: Permissions, holds: (domain: number) => boolean): number {
  const owner = permissions[0]!;
  const { domain, target } = subject;
  if (subject.privileged || owner.domain === domain || owner.domain === target) return READ | WRITE | OWN;
  for (let i = 1; i < permissions.length; i++) {
    const entry = permissions[i]!;
    if ((entry.domain === domain || entry.domain === target) && holds(entry.domain)) return entry.access;
  }
  return owner.access;
}

/** Reads "n0", "r5", "w5", "b5". Throws EINVAL. */
export function parsePermissions(words: readonly string[]): Permissions {
  return words.map((word) => {
    const access = word === "" ? -1 : LETTERS.indexOf(word[0]!);
    const number = word.slice(1);
    if (access < 0 || !/^[0-9]{1,5}$/.test(number) || Number(number) > DOMAIN_MAX) throw EINVAL;
    return { domain: Number(number), access };
  });
}

/** The entries as `parsePermissions` reads them. */
export function formatPermissions(permissions: Permissions): string[] {
  return permissions.map(({ domain, access }) => LETTERS[access & (READ | WRITE)]! + String(domain));
}
