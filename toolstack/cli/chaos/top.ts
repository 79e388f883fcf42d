/** `chaos top`: what the domains use, in place on a terminal, else one table below the other. */
import type { Command } from "commander";
import { topLines, topTable } from "../../api/results/top.ts";
import { topRequest } from "../../api/requests/top.ts";
import { delaySeconds, topForm } from "../../api/top-command.ts";
import { requestCommand, type Run } from "./request-commands.ts";
import type { ToolSession } from "./session.ts";
import { Screen } from "./screen.ts";
import { watchSamples } from "./samples.ts";

/** Tables in place. The first has no rates yet: what is there is seen at once. */
async function inPlace(session: ToolSession, seconds: number, iterations: number): Promise<void> {
  const screen = new Screen();
  try {
    for await (const { before, now } of watchSamples(session, seconds, screen.left)) {
      screen.show(topLines(before, now));
      if (before !== null && --iterations === 0) return;
    }
  } finally {
    screen.close();
  }
}

/** Tables that each span an interval. */
async function inBatch(session: ToolSession, seconds: number, iterations: number, json: boolean): Promise<void> {
  for await (const { before, now } of watchSamples(session, seconds)) {
    if (before === null) continue;
    const lines = json ? [JSON.stringify(topTable(before, now))] : topLines(before, now);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
    if (--iterations === 0) return;
  }
}

const run: Run = async (session, params, json) => {
  const { delay, iterations = Infinity, batch } = params as { delay?: number; iterations?: number; batch?: boolean };
  const seconds = delaySeconds({ delay });
  const terminal = process.stdout.isTTY === true && !batch && !json;
  if (terminal) await inPlace(session, seconds, iterations);
  else await inBatch(session, seconds, iterations, json);
};

/** @param within runs something with a session */
export function topCommand(within: (run: (session: ToolSession) => Promise<void>) => Promise<void>): Command {
  return requestCommand(topForm, "top", within, run)
    .option("--json", "one line of JSON a table, as with --batch")
    .addHelpText("after", `\n${topRequest.details.join("\n")}\n\nOn a terminal q or Ctrl-C ends it.`);
}
