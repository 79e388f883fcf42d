/**
 * Finds the cause of a crash of domain 0: before it processes a domain's request or record, it records this in stable memory.
 * A request stays in the guest's ring until it is answered, and the restarted domain 0 finds it there: one that has repeatedly
 * crashed domain 0 must be refused, or domain 0 would crash forever.
 */
import { DOM0_STABLE } from "../../abi/domain0-layout.ts";
import { memory } from "./host.ts";
import { words } from "./window.ts";

/** What domain 0 was doing. */
export const REQUEST = 1;
export const RESTORE = 2;

/** Crashes after which it is not tried again. */
const ATTEMPTS_MAX = 2;
/** In the first page of stable memory, which holds no records: what is being done, then pairs of what it was and how often. */
const AT = DOM0_STABLE + 2048;
const PAIRS = 64;

/** Set by `openSuspects`. */
let table: Uint32Array;

/** Takes the notes into use, and counts the death of the domain 0 that was here before; once, at the start. */
export function openSuspects(): void {
  table = words(memory, AT, 1 + 2 * PAIRS);
  const key = table[0]!;
  table[0] = 0;
  if (key === 0) return;
  // All in use: the oldest notes are as good as any.
  const at = find(key) ?? find(0) ?? 1;
  table[at + 1] = table[at] === key ? table[at + 1]! + 1 : 1;
  table[at] = key;
}

function find(key: number): number | undefined {
  for (let i = 1; i < table.length; i += 2) if (table[i] === key) return i;
  return undefined;
}

/**
 * Does something that `domain` asked for, or that was kept for it.
 * @returns false when that has ended domain 0 too often: it was not done, and is forgotten
 */
export function attempt(what: number, domain: number, work: () => void): boolean {
  const key = (what << 16) | domain;
  const at = find(key);
  if (at !== undefined) {
    const refused = table[at + 1]! >= ATTEMPTS_MAX;
    if (refused) {
      table[at] = 0;
      return false;
    }
  }
  table[0] = key;
  try {
    work();
  } finally {
    table[0] = 0;
    if (at !== undefined) table[at] = 0;
  }
  return true;
}
