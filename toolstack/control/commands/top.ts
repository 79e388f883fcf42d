import { systemTime } from "../clock.ts";
import { print } from "../console/output.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { exitCounts, physicalInfo } from "../hypercalls/sysctl.ts";
import { formatBytes } from "../text.ts";
import { after } from "../timers.ts";
import { PAGE_SIZE } from "../window.ts";
import type { Command, CommandContext } from "./command.ts";
import { stateLetters } from "./list.ts";
import { parseCount, parseOptions } from "./options.ts";

const DEFAULT_INTERVAL_S = 2;
const MAX_INTERVAL_S = 3600;
const MAX_COUNT = 1_000_000;
const COUNTS = 0x100000000;

/** The machine at a moment. */
interface Sample {
  ns: number;
  domains: { info: DomainInfo; name: string }[];
  /** Exits by domain and reason: counts modulo 2^32. */
  exits: Map<number, Map<string, number>>;
}

function sample({ domains }: CommandContext): Sample {
  return { ns: systemTime(), domains: domains.list(), exits: exitCounts() };
}

/** Exits per second by reason, most first, in words; "" for a domain that had none, such as domain 0. */
function exitRates(id: number, before: Sample, now: Sample, seconds: number): string {
  const earlier = before.exits.get(id);
  return [...(now.exits.get(id) ?? [])]
    .map(([reason, count]) => {
      const more = (count - (earlier?.get(reason) ?? 0) + COUNTS) % COUNTS;
      // A count that went back is of another domain, which has got the number since.
      return { reason, rate: Math.round((more < COUNTS / 2 ? more : count) / seconds) };
    })
    .filter(({ rate }) => rate > 0)
    .sort((a, b) => b.rate - a.rate)
    .map(({ reason, rate }) => `${reason} ${rate}`)
    .join(", ");
}

function show(before: Sample, now: Sample): void {
  const seconds = (now.ns - before.ns) / 1e9;
  const { totalPages, freePages } = physicalInfo();
  print(`${formatBytes(totalPages * PAGE_SIZE)} of memory, ${formatBytes(freePages * PAGE_SIZE)} free\n`);
  print("Name                   ID  State    CPU(%)   Time(s)   Mem(MiB)  Exits/s by reason\n");
  const used = new Map(before.domains.map(({ info }) => [info.id, info.cpuTimeNs]));
  for (const { info, name } of now.domains) {
    const percent = ((info.cpuTimeNs - (used.get(info.id) ?? 0)) / 1e7 / seconds).toFixed(1);
    const mib = ((info.pages * PAGE_SIZE) / (1024 * 1024)).toFixed(0);
    const line =
      `${name.padEnd(20)} ${String(info.id).padStart(4)}  ${stateLetters(info)} ${percent.padStart(8)} ` +
      `${(info.cpuTimeNs / 1e9).toFixed(1).padStart(9)} ${mib.padStart(10)}  ${exitRates(info.id, before, now, seconds)}`;
    print(`${line.trimEnd()}\n`);
  }
}

export const topCommand: Command = {
  name: "top",
  usage: "[--interval SECONDS] [--count N]",
  summary: "show what the domains use, again and again",
  details: [
    `--interval  between two tables, ${DEFAULT_INTERVAL_S} seconds if not given`,
    "--count     end after so many tables; without: Ctrl-C ends it (in exec mode: one table)",
    "CPU(%) is of one CPU, within the interval. An exit is when a vCPU leaves its guest for the hypervisor.",
  ],
  async run(words, context) {
    const { values } = parseOptions(words, { interval: { value: "SECONDS" }, count: { value: "N" } });
    const interval = parseCount("--interval", values.get("interval") ?? String(DEFAULT_INTERVAL_S), 1, MAX_INTERVAL_S);
    const endless = context.interactive ? MAX_COUNT : 1;
    const tables = parseCount("--count", values.get("count") ?? String(endless), 1, MAX_COUNT);
    let before = sample(context);
    for (let i = 0; i < tables && !context.interruption.raised; i++) {
      await new Promise<void>((resolve) => {
        const cancel = after(interval * 1000, resolve);
        context.interruption.onRaise(() => {
          cancel();
          resolve();
        });
      });
      if (context.interruption.raised) return;
      const now = sample(context);
      show(before, now);
      before = now;
    }
  },
};
