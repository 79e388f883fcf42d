/**
 * `top`: what the domains use, in a second, of two samples of their counters. Both samples are the client's: domain 0 would have to
 * keep one for each client, and the time between two is only known where they arrive.
 */
import * as v from "valibot";
import { formatBytes } from "../sizes.ts";

/** Exits are counted modulo this. */
const COUNTS = 0x100000000;
const WIDTH = 10;

const number = v.number();
/** null: it has no such device. */
const ofDevices = v.nullable(number);

const domain = v.object({
  id: number,
  name: v.string(),
  /** Letters as `list` has them. */
  state: v.string(),
  vcpus: number,
  cpuNs: number,
  memoryBytes: number,
  /** null: no limit. */
  maxMemoryBytes: v.nullable(number),
  vifs: number,
  rxBytes: ofDevices,
  txBytes: ofDevices,
  vbds: number,
  reads: ofDevices,
  writes: ofDevices,
  /** Flushes and discards. */
  otherRequests: ofDevices,
  readBytes: ofDevices,
  writtenBytes: ofDevices,
  /** By reason, modulo 2^32. */
  exits: v.record(v.string(), number),
});

export const topSample = v.object({
  /** System time. */
  ns: number,
  cpus: number,
  memoryBytes: number,
  freeBytes: number,
  domains: v.array(domain),
});

export type TopDomain = v.InferOutput<typeof domain>;
export type TopSample = v.InferOutput<typeof topSample>;

/** A domain's rates, a second; null where it has no such device, or there is no sample before. */
export interface TopRates {
  /** Of one CPU. */
  cpuPercent: number | null;
  rxBytesPerSecond: number | null;
  txBytesPerSecond: number | null;
  requestsPerSecond: number | null;
  exitsPerSecond: Record<string, number>;
}

/** What a counter has grown by; one that went back is another domain's, which has got the number since. */
function growth(before: number | null | undefined, now: number): number {
  const earlier = before ?? 0;
  return now >= earlier ? now - earlier : now;
}

const requestsOf = ({ reads, writes, otherRequests }: TopDomain) =>
  reads === null ? null : reads + (writes ?? 0) + (otherRequests ?? 0);

function exitRates(before: TopDomain["exits"], now: TopDomain["exits"], seconds: number): Record<string, number> {
  const rates: Record<string, number> = {};
  for (const [reason, count] of Object.entries(now)) {
    const more = (count - (before[reason] ?? 0) + COUNTS) % COUNTS;
    const rate = Math.round((more < COUNTS / 2 ? more : count) / seconds);
    if (rate > 0) rates[reason] = rate;
  }
  return rates;
}

function ratesOf(before: TopDomain | undefined, now: TopDomain, seconds: number): TopRates {
  const rate = (earlier: number | null | undefined, count: number | null) =>
    count === null ? null : Math.round(growth(earlier, count) / seconds);
  return {
    cpuPercent: Math.round(growth(before?.cpuNs, now.cpuNs) / 1e6 / seconds) / 10,
    rxBytesPerSecond: rate(before?.rxBytes, now.rxBytes),
    txBytesPerSecond: rate(before?.txBytes, now.txBytes),
    requestsPerSecond: rate(before && requestsOf(before), requestsOf(now)),
    exitsPerSecond: exitRates(before?.exits ?? {}, now.exits, seconds),
  };
}

const UNKNOWN: TopRates = {
  cpuPercent: null,
  rxBytesPerSecond: null,
  txBytesPerSecond: null,
  requestsPerSecond: null,
  exitsPerSecond: {},
};

/** A sample with the rates since the one before: what `--json` shows, a line each. */
export interface TopTable extends Omit<TopSample, "domains"> {
  /** Since the sample before; null: there is none. */
  seconds: number | null;
  domains: (TopDomain & TopRates)[];
}

export function topTable(before: TopSample | null, now: TopSample): TopTable {
  if (before === null) {
    return { ...now, seconds: null, domains: now.domains.map((domain) => ({ ...domain, ...UNKNOWN })) };
  }
  // Two samples of one moment have no rates, but no infinite ones either.
  const seconds = Math.max(now.ns - before.ns, 1) / 1e9;
  const earlier = new Map(before.domains.map((domain) => [domain.id, domain]));
  const domains = now.domains.map((domain) => ({ ...domain, ...ratesOf(earlier.get(domain.id), domain, seconds) }));
  return { ...now, seconds, domains };
}

const column = (value: number | null) => (value === null ? "-" : String(value)).padStart(WIDTH);

/** The table's lines. */
export function topLines(before: TopSample | null, now: TopSample): string[] {
  const { memoryBytes, freeBytes, domains } = topTable(before, now);
  const titles = ["Rx(B/s)", "Tx(B/s)", "Disk(r/s)"].map((title) => title.padStart(WIDTH)).join(" ");
  const lines = [
    `${formatBytes(memoryBytes)} of memory, ${formatBytes(freeBytes)} free`,
    `Name                   ID  State    CPU(%)   Time(s)   Mem(MiB)  ${titles}  Exits/s by reason`,
  ];
  for (const domain of domains) {
    const { name, id, state, cpuPercent, cpuNs, memoryBytes: bytes } = domain;
    const percent = cpuPercent === null ? "-" : cpuPercent.toFixed(1);
    const exits = Object.entries(domain.exitsPerSecond)
      .sort(([, a], [, b]) => b - a)
      .map(([reason, rate]) => `${reason} ${rate}`);
    const line =
      `${name.padEnd(20)} ${String(id).padStart(4)}  ${state} ${percent.padStart(8)} ` +
      `${(cpuNs / 1e9).toFixed(1).padStart(9)} ${(bytes / (1024 * 1024)).toFixed(0).padStart(10)}  ` +
      `${column(domain.rxBytesPerSecond)} ${column(domain.txBytesPerSecond)} ${column(domain.requestsPerSecond)}  ` +
      exits.join(", ");
    lines.push(line.trimEnd());
  }
  return lines;
}
