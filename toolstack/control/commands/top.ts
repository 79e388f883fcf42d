import { readWords } from "../../api/command-line.ts";
import { topRequest } from "../../api/requests/top.ts";
import { topLines, topTable } from "../../api/results/top.ts";
import { delaySeconds, topForm } from "../../api/top-command.ts";
import { systemTime } from "../clock.ts";
import { print } from "../console/output.ts";
import { terminalSize } from "../console/terminal.ts";
import { exitCounts, physicalInfo } from "../hypercalls/sysctl.ts";
import { pause } from "../interruption.ts";
import { PAGE_SIZE } from "../window.ts";
import type { Command } from "./command.ts";
import { countDevices, NO_DEVICES } from "./devices/counts.ts";
import { handled, handler } from "./handler.ts";
import { stateLetters } from "./list.ts";
import { consoleRequest, JSON_OPTION, requestCommand } from "./request-command.ts";

/** Terminal control sequences (ECMA-48). */
const HOME = "\x1b[H";
const CLEAR = "\x1b[H\x1b[J";
const TO_LINE_END = "\x1b[K";
const TO_SCREEN_END = "\x1b[J";

/** Pages beyond which a domain has no limit: more than an address has bits for. */
const NO_LIMIT_PAGES = 2 ** 40;

const sample = handler(topRequest, async (_params, { domains }) => {
  const devices = await countDevices(domains.devices);
  const { totalPages, freePages, cpus } = physicalInfo();
  const exits = exitCounts();
  return {
    ns: systemTime(),
    cpus,
    memoryBytes: totalPages * PAGE_SIZE,
    freeBytes: freePages * PAGE_SIZE,
    domains: domains.list().map(({ info, name }) => ({
      id: info.id,
      name,
      state: stateLetters(info),
      vcpus: info.onlineVcpus,
      cpuNs: info.cpuTimeNs,
      memoryBytes: info.pages * PAGE_SIZE,
      maxMemoryBytes: info.maxPages >= NO_LIMIT_PAGES ? null : info.maxPages * PAGE_SIZE,
      ...(devices.get(info.id) ?? NO_DEVICES),
      exits: Object.fromEntries([...(exits.get(info.id) ?? [])].filter(([, count]) => count > 0)),
    })),
  };
});

/** Draws a table where the one before was: what finds no room on the screen is left out. */
function draw(lines: string[], first: boolean): void {
  const { columns, rows } = terminalSize();
  const shown = rows === 0 ? lines : lines.slice(0, rows - 1);
  print(first ? CLEAR : HOME);
  shown.forEach((line, i) => {
    print(`${line.slice(0, columns - 1)}${i === shown.length - 1 ? TO_SCREEN_END : TO_LINE_END}\n`);
  });
}

const form = requestCommand({ request: topForm, handle: () => {} });

export const topCommand: Command = {
  ...form,
  usage: `${form.usage} [--json]`,
  details: [
    ...(form.details ?? []),
    "--json: a line of JSON a table",
    "Without --iterations Ctrl-C ends it; in exec mode there is one table then.",
  ],
  handlers: [sample],
  async run(words, context) {
    const { params, switches } = readWords(topForm, words, JSON_OPTION);
    const json = switches.has("json");
    const tables = params.iterations ?? (context.interactive ? Infinity : 1);
    const inPlace = context.interactive && tables > 1 && !params.batch && !json;
    const { interruption } = context;
    /** null: nobody waits for it any longer. */
    const take = async () => {
      try {
        return await handled(sample, {}, consoleRequest(context));
      } catch (error) {
        if (interruption.raised) return null;
        throw error;
      }
    };
    let before = await take();
    for (let i = 0; i < tables && before !== null; i++) {
      await pause(delaySeconds(params) * 1000, interruption);
      const now = interruption.raised ? null : await take();
      if (now === null) return;
      if (inPlace) draw(topLines(before, now), i === 0);
      else if (json) print(`${JSON.stringify(topTable(before, now))}\n`);
      else for (const line of topLines(before, now)) print(`${line}\n`);
      before = now;
    }
  },
};
