/** What passes domains' devices in a second, for `top`: columns of counters that only grow, and their differences. */
import { IoError } from "../../noxs/io-requests.ts";
import type { Devices } from "../../noxs/devices.ts";

/** The columns: a domain's counters are in their order. A device of another kind gets its own here, and its part in `countDevices`. */
const COLUMNS = ["Rx(B/s)", "Tx(B/s)"] as const;
const RX = 0;
const TX = 1;
const WIDTH = 10;

/** Counters by domain, of those that have devices. */
export type DeviceCounts = ReadonlyMap<number, readonly number[]>;

export const DEVICE_TITLES = COLUMNS.map((title) => title.padStart(WIDTH)).join(" ");

/** Reads all counters: one listing, in parts. Without an I/O domain there are none. */
export async function countDevices(devices: Devices): Promise<DeviceCounts> {
  const counts = new Map<number, number[]>();
  try {
    for (const { domain, counters } of await devices.vifs.list()) {
      const sums = counts.get(domain) ?? COLUMNS.map(() => 0);
      sums[RX]! += counters.rxBytes;
      sums[TX]! += counters.txBytes;
      counts.set(domain, sums);
    }
  } catch (error) {
    if (!(error instanceof IoError)) throw error;
  }
  return counts;
}

/** One domain's columns; "-" where it has no device. A count that went back is another domain's, which has got the number since. */
export function deviceRates(
  before: readonly number[] | undefined,
  now: readonly number[] | undefined,
  seconds: number,
): string {
  return COLUMNS.map((_, i) => {
    if (now === undefined) return "-".padStart(WIDTH);
    const earlier = before?.[i] ?? 0;
    const more = now[i]! >= earlier ? now[i]! - earlier : now[i]!;
    return String(Math.round(more / seconds)).padStart(WIDTH);
  }).join(" ");
}
