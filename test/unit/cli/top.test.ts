/** `top` outside: rates of two samples, Typevisor's columns and xentop's, samples until they are ended. */
import test from "ava";
import { topRequest } from "../../../toolstack/api/requests/top.ts";
import { topLines, topTable, type TopDomain, type TopSample } from "../../../toolstack/api/results/top.ts";
import { watchSamples } from "../../../toolstack/cli/chaos/samples.ts";
import { xentopLines } from "../../../toolstack/cli/xl/top.ts";

const MIB = 1024 * 1024;

const idle: TopDomain = {
  id: 1,
  name: "web",
  state: "-b----",
  vcpus: 1,
  cpuNs: 1.5e9,
  memoryBytes: 32 * MIB,
  maxMemoryBytes: 64 * MIB,
  vifs: 1,
  rxBytes: 1000,
  txBytes: 5000,
  vbds: 0,
  reads: null,
  writes: null,
  otherRequests: null,
  readBytes: null,
  writtenBytes: null,
  exits: { hlt: 10, interrupt: 0xffffffff },
};

const sample = (seconds: number, ...domains: Partial<TopDomain>[]): TopSample => ({
  ns: seconds * 1e9,
  cpus: 1,
  memoryBytes: 512 * MIB,
  freeBytes: 256 * MIB,
  domains: domains.map((each) => ({ ...idle, ...each })),
});

test("rates are differences by the time between; counters that wrapped or went back make none that are absurd", (t) => {
  const later = { cpuNs: 2e9, rxBytes: 3000, txBytes: 5000, exits: { hlt: 30, interrupt: 19 } };
  const [row] = topTable(sample(10, {}), sample(12, later)).domains;
  t.like(row, {
    cpuPercent: 25,
    rxBytesPerSecond: 1000,
    txBytesPerSecond: 0,
    requestsPerSecond: null,
    exitsPerSecond: { hlt: 10, interrupt: 10 },
  });
  // Another domain with the number of one that has gone.
  const other = { cpuNs: 1e9, rxBytes: 500, exits: { hlt: 4 } };
  t.like(topTable(sample(10, {}), sample(11, other)).domains[0], {
    cpuPercent: 100,
    rxBytesPerSecond: 500,
    exitsPerSecond: { hlt: 4 },
  });
  // One that is new, and two samples of one moment.
  t.like(topTable(sample(10), sample(11, {})).domains[0], { cpuPercent: 150, txBytesPerSecond: 5000 });
  t.true(Number.isFinite(topTable(sample(10, {}), sample(10, later)).domains[0]!.cpuPercent));
  t.like(topTable(null, sample(10, {})), { seconds: null });
  t.is(topTable(null, sample(10, {})).domains[0]!.cpuPercent, null);
});

test("Typevisor's table: a dash where nothing is known or there is no device", (t) => {
  const [memory, titles, row] = topLines(null, sample(10, {})) as [string, string, string];
  t.is(memory, "512 MiB of memory, 256 MiB free");
  t.regex(titles, /^Name +ID +State +CPU\(%\) +Time\(s\) +Mem\(MiB\) +Rx\(B\/s\) +Tx\(B\/s\) +Disk\(r\/s\)/);
  t.regex(row, /^web +1 {2}-b---- +- +1\.5 +32 +- +- +-$/);
  const disk = { vbds: 1, reads: 0, writes: 0, otherRequests: 0, readBytes: 0, writtenBytes: 0 };
  const busy = { ...disk, reads: 7, writes: 2, otherRequests: 1, cpuNs: 2.5e9, rxBytes: 1500 };
  const [, , after] = topLines(sample(10, disk), sample(11, busy)) as [string, string, string];
  t.regex(after, /^web +1 {2}-b---- +100\.0 +2\.5 +32 +500 +0 +10$/);
});

test("xl top has xentop's columns, each as wide, and its letters", (t) => {
  const long = { name: "a-very-long-name", state: "r--s--", id: 2, maxMemoryBytes: null };
  const lines = xentopLines(null, sample(10, { reads: 3, vbds: 1, readBytes: 4096 }, long));
  t.deepEqual(lines[0]!.trim().split(/ +/), [
    ...["NAME", "STATE", "CPU(sec)", "CPU(%)", "MEM(k)", "MEM(%)", "MAXMEM(k)", "MAXMEM(%)", "VCPUS", "NETS"],
    ...["NETTX(k)", "NETRX(k)", "VBDS", "VBD_OO", "VBD_RD", "VBD_WR", "VBD_RSECT", "VBD_WSECT", "SSID"],
  ]);
  t.deepEqual(lines[1]!.trim().split(/ +/), "web --b--- 1 0.0 32768 6.3 65536 12.5 1 1 4 0 1 0 3 0 8 0 0".split(" "));
  t.regex(lines[2]!, /^a-very-lon -s---r .* no limit +n\/a /);
  t.true(lines.every(({ length }) => length === lines[0]!.length));
  t.regex(xentopLines(sample(10, {}), sample(12, { cpuNs: 2e9 }))[1]!, / 2 {3}25\.0 /);
  t.regex(xentopLines(null, sample(10, long), true)[1]!, /^a-very-long-name /);
});

/** A session whose samples are given in turn; with none left it is ended as by Ctrl-C. */
function session(samples: TopSample[]) {
  const ending = new AbortController();
  const asked: string[] = [];
  const ask = (request: { name: string }) => {
    asked.push(request.name);
    const next = samples.shift();
    if (next !== undefined) return Promise.resolve(next);
    ending.abort();
    return Promise.reject(new Error("cancelled"));
  };
  return { session: { ask: ask as never, signal: ending.signal }, asked };
}

test("one request a sample, each with the one before, until Ctrl-C or the user leaves; other errors are told", async (t) => {
  const seen: (number | null)[][] = [];
  const { session: some, asked } = session([sample(1), sample(2), sample(3)]);
  for await (const { before, now } of watchSamples(some, 0.001)) seen.push([before && before.ns / 1e9, now.ns / 1e9]);
  t.deepEqual(seen, [
    [null, 1],
    [1, 2],
    [2, 3],
  ]);
  t.deepEqual([...new Set(asked)], [topRequest.name]);
  t.is(asked.length, 4);

  const left = new AbortController();
  let count = 0;
  for await (const { now } of watchSamples(session([sample(1), sample(2)]).session, 1000, left.signal)) {
    t.is(now.ns, 1e9);
    count++;
    setImmediate(() => left.abort());
  }
  t.is(count, 1);

  const lost = { ask: (() => Promise.reject(new Error("lost"))) as never, signal: new AbortController().signal };
  await t.throwsAsync(watchSamples(lost, 1).next(), { message: "lost" });
});
