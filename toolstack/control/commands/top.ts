import { systemTime } from "../clock.ts";
import { print } from "../console/output.ts";
import { terminalSize } from "../console/terminal.ts";
import type { DomainInfo } from "../hypercalls/domain-info.ts";
import { exitCounts, physicalInfo } from "../hypercalls/sysctl.ts";
import { pause } from "../interruption.ts";
import { formatBytes } from "../../api/sizes.ts";
import { PAGE_SIZE } from "../window.ts";
import type { Command, CommandContext } from "./command.ts";
import { countDevices, DEVICE_TITLES, deviceRates, type DeviceCounts } from "./devices/rates.ts";
import { stateLetters } from "./list.ts";
import { parseCount, parseOptions } from "../../api/options.ts";

const DEFAULT_INTERVAL_S = 2;
const MAX_INTERVAL_S = 3600;
const MAX_COUNT = 1_000_000;
const COUNTS = 0x100000000;

/** Terminal control sequences (ECMA-48). */
const HOME = "\x1b[H";
const CLEAR = "\x1b[H\x1b[J";
const TO_LINE_END = "\x1b[K";
const TO_SCREEN_END = "\x1b[J";

/** The machine at a moment. */
interface Sample {
  ns: number;
  domains: { info: DomainInfo; name: string }[];
  /** Exits by domain and reason: counts modulo 2^32. */
  exits: Map<number, Map<string, number>>;
  devices: DeviceCounts;
}

async function sample({ domains }: CommandContext): Promise<Sample> {
  const devices = await countDevices(domains.devices);
  return { ns: systemTime(), domains: domains.list(), exits: exitCounts(), devices };
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

function table(before: Sample, now: Sample): string[] {
  const seconds = (now.ns - before.ns) / 1e9;
  const { totalPages, freePages } = physicalInfo();
  const lines = [
    `${formatBytes(totalPages * PAGE_SIZE)} of memory, ${formatBytes(freePages * PAGE_SIZE)} free`,
    `Name                   ID  State    CPU(%)   Time(s)   Mem(MiB)  ${DEVICE_TITLES}  Exits/s by reason`,
  ];
  const used = new Map(before.domains.map(({ info }) => [info.id, info.cpuTimeNs]));
  for (const { info, name } of now.domains) {
    const percent = ((info.cpuTimeNs - (used.get(info.id) ?? 0)) / 1e7 / seconds).toFixed(1);
    const mib = ((info.pages * PAGE_SIZE) / (1024 * 1024)).toFixed(0);
    const line =
      `${name.padEnd(20)} ${String(info.id).padStart(4)}  ${stateLetters(info)} ${percent.padStart(8)} ` +
      `${(info.cpuTimeNs / 1e9).toFixed(1).padStart(9)} ${mib.padStart(10)}  ` +
      `${deviceRates(before.devices.get(info.id), now.devices.get(info.id), seconds)}  ` +
      exitRates(info.id, before, now, seconds);
    lines.push(line.trimEnd());
  }
  return lines;
}

/** Draws a table where the one before was: what finds no room on the screen is left out. */
function draw(lines: string[], first: boolean): void {
  const { columns, rows } = terminalSize();
  const shown = rows === 0 ? lines : lines.slice(0, rows - 1);
  print(first ? CLEAR : HOME);
  shown.forEach((line, i) => {
    print(`${line.slice(0, columns - 1)}${i === shown.length - 1 ? TO_SCREEN_END : TO_LINE_END}\n`);
  });
}

export const topCommand: Command = {
  name: "top",
  usage: "[--interval SECONDS] [--count N]",
  summary: "show what the domains use, again and again, in place",
  details: [
    `--interval  between two tables, ${DEFAULT_INTERVAL_S} seconds if not given`,
    "--count     end after so many tables; without: Ctrl-C ends it (in exec mode: one table)",
    "CPU(%) is of one CPU, within the interval. Rx and Tx are what the domain's vifs have received and sent, in bytes a second;",
    "Disk is requests of its vbds a second.",
    "An exit is when a vCPU leaves its guest for the hypervisor.",
  ],
  async run(words, context) {
    const { values } = parseOptions(words, { interval: { value: "SECONDS" }, count: { value: "N" } });
    const interval = parseCount("--interval", values.get("interval") ?? String(DEFAULT_INTERVAL_S), 1, MAX_INTERVAL_S);
    const endless = context.interactive ? MAX_COUNT : 1;
    const tables = parseCount("--count", values.get("count") ?? String(endless), 1, MAX_COUNT);
    let before = await sample(context);
    for (let i = 0; i < tables && !context.interruption.raised; i++) {
      await pause(interval * 1000, context.interruption);
      if (context.interruption.raised) return;
      const now = await sample(context);
      const lines = table(before, now);
      if (context.interactive && tables > 1) draw(lines, i === 0);
      else for (const line of lines) print(`${line}\n`);
      before = now;
    }
  },
};
