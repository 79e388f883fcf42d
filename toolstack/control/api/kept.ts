/**
 * What was said about the control connection at the console: kept over restarts of domain 0, as the record of domain 0 itself, and gone
 * with the machine.
 */
import { formatKey, parseKey, type ControlKey } from "../../api/key.ts";
import { DOMAIN_0 } from "../domains/system-domains.ts";
import { dropRecord, saveRecord } from "../stable.ts";

export interface Kept {
  /** Instead of the boot module's. */
  key: ControlKey | null;
  /** Instead of what `control=` says. */
  network: string | null;
}

/** Reads a record that `keep` has made; nothing of what is none. */
export function parseKept(record: string | undefined): Kept {
  const nothing: Kept = { key: null, network: null };
  if (record === undefined) return nothing;
  try {
    const { key, network } = JSON.parse(record) as { key: string | null; network: string | null };
    return {
      key: typeof key === "string" ? parseKey(key) : null,
      network: typeof network === "string" ? network : null,
    };
  } catch {
    return nothing;
  }
}

/** Keeps it; false when there is no room: a restart of domain 0 will forget it. */
export function keep({ key, network }: Kept): boolean {
  if (key === null && network === null) {
    dropRecord(DOMAIN_0);
    return true;
  }
  return saveRecord(DOMAIN_0, JSON.stringify({ key: key === null ? null : formatKey(key), network }));
}
