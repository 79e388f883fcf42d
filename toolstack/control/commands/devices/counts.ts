/** What has passed domains' devices, for `top`. */
import type { TopDomain } from "../../../api/results/top.ts";
import type { Devices } from "../../noxs/devices.ts";
import { IoError } from "../../noxs/io-requests.ts";

/** Counters of a domain's devices, which only grow; null where it has no such device. */
export type DeviceCounts = Pick<
  TopDomain,
  "vifs" | "rxBytes" | "txBytes" | "vbds" | "reads" | "writes" | "otherRequests" | "readBytes" | "writtenBytes"
>;

export const NO_DEVICES: Readonly<DeviceCounts> = {
  vifs: 0,
  rxBytes: null,
  txBytes: null,
  vbds: 0,
  reads: null,
  writes: null,
  otherRequests: null,
  readBytes: null,
  writtenBytes: null,
};

/** A listing; without an I/O domain there is nothing in it. */
async function listed<T>(list: Promise<T[]>): Promise<T[]> {
  try {
    return await list;
  } catch (error) {
    if (error instanceof IoError) return [];
    throw error;
  }
}

/** Reads all counters, by domain: one listing of vifs and one of vbds, each in parts. */
export async function countDevices({ vifs, vbds }: Devices): Promise<ReadonlyMap<number, DeviceCounts>> {
  const counts = new Map<number, DeviceCounts>();
  const of = (domain: number) => {
    const there = counts.get(domain) ?? { ...NO_DEVICES };
    counts.set(domain, there);
    return there;
  };
  for (const { domain, counters } of await listed(vifs.list())) {
    const all = of(domain);
    all.vifs++;
    all.rxBytes = (all.rxBytes ?? 0) + counters.rxBytes;
    all.txBytes = (all.txBytes ?? 0) + counters.txBytes;
  }
  for (const vbd of await listed(vbds.list())) {
    const all = of(vbd.domain);
    all.vbds++;
    all.reads = (all.reads ?? 0) + vbd.reads;
    all.writes = (all.writes ?? 0) + vbd.writes;
    all.otherRequests = (all.otherRequests ?? 0) + vbd.flushes + vbd.discards;
    all.readBytes = (all.readBytes ?? 0) + vbd.readBytes;
    all.writtenBytes = (all.writtenBytes ?? 0) + vbd.writtenBytes;
  }
  return counts;
}
