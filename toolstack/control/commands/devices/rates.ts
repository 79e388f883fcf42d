/** What passes domains' devices in a second, for `top`: columns of counters that only grow, and their differences. */
import { IoError } from "../../noxs/io-requests.ts";
import type { Devices } from "../../noxs/devices.ts";

/** The columns: a domain's counters are in their order. */
const COLUMNS = ["Rx(B/s)", "Tx(B/s)", "Disk(r/s)"] as const;
const RX = 0;
const TX = 1;
const REQUESTS = 2;
const WIDTH = 10;

/** Counters by domain; null where it has no such device. */
type Counts = (number | null)[];
export type DeviceCounts = ReadonlyMap<number, Readonly<Counts>>;

export const DEVICE_TITLES = COLUMNS.map((title) => title.padStart(WIDTH)).join(" ");

/** A listing; without an I/O domain there is nothing in it. */
async function listed<T>(list: Promise<T[]>): Promise<T[]> {
  try {
    return await list;
  } catch (error) {
    if (error instanceof IoError) return [];
    throw error;
  }
}

/** Reads all counters: one listing of vifs and one of vbds, each in parts. */
export async function countDevices({ vifs, vbds }: Devices): Promise<DeviceCounts> {
  const counts = new Map<number, Counts>();
  const add = (domain: number, column: number, amount: number) => {
    const sums = counts.get(domain) ?? COLUMNS.map(() => null);
    sums[column] = (sums[column] ?? 0) + amount;
    counts.set(domain, sums);
  };
  for (const { domain, counters } of await listed(vifs.list())) {
    add(domain, RX, counters.rxBytes);
    add(domain, TX, counters.txBytes);
  }
  for (const { domain, reads, writes, flushes, discards } of await listed(vbds.list())) {
    add(domain, REQUESTS, reads + writes + flushes + discards);
  }
  return counts;
}

/** One domain's columns; "-" where it has no device. A count that went back is another domain's, which has got the number since. */
export function deviceRates(
  before: Readonly<Counts> | undefined,
  now: Readonly<Counts> | undefined,
  seconds: number,
): string {
  return COLUMNS.map((_, i) => {
    const count = now?.[i] ?? null;
    if (count === null) return "-".padStart(WIDTH);
    const earlier = before?.[i] ?? 0;
    return String(Math.round((count >= earlier ? count - earlier : count) / seconds)).padStart(WIDTH);
  }).join(" ");
}
