import { atLineStart, print, printBytes } from "../console/output.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { EndReason } from "../domains/shutdown.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command, CommandContext } from "./command.ts";
import { domainArgument } from "./life.ts";
import { parseOptions } from "../../api/options.ts";

/** Ctrl-]: leaves a guest's console, as in `xl console` and telnet. */
const LEAVE = 0x1d;

export const consoleCommand: Command = {
  name: "console",
  usage: "ID",
  summary: "talk to a domain's console; Ctrl-] leaves",
  details: [
    "Output kept while nobody looked is shown first. Of the latest ended domains the last output can still be shown.",
  ],
  async run(words, context) {
    const which = parseOptions(words, {}, ["ID"]).rest[0]!;
    const ended = context.domains.find(which) === undefined ? context.domains.findEnded(which) : undefined;
    if (ended !== undefined) {
      showEnded(ended);
      return;
    }
    await talk(domainArgument(words, context.domains), context);
  },
};

function showEnded(domain: GuestDomain): void {
  domain.console?.attach({ show: printBytes });
  domain.console?.attach(null);
  if (!atLineStart()) print("\n");
  print(`${domain} has ended: ${domain.ended}\n`);
}

async function talk(domain: GuestDomain, context: CommandContext): Promise<void> {
  const { console } = domain;
  if (console === null) throw new CommandError(`${domain} has no console`);
  if (console.attached) throw new CommandError(`the console of ${domain} is shown already`);
  if (context.interactive) print(`[${domain}: Ctrl-] leaves]\n`);
  console.attach({ show: printBytes, ready: () => context.inputWanted() });
  // Non-interactively the console cannot be left: only the available output is shown.
  if (context.interactive) {
    const reason = await new Promise<EndReason | null>((resolve) => {
      domain.onEnd(resolve);
      context.takeInput({
        room: () => console.inputRoom,
        take(bytes) {
          const leave = bytes.indexOf(LEAVE);
          if (leave !== 0) console.input(leave < 0 ? bytes : bytes.subarray(0, leave));
          if (leave < 0) return bytes.length;
          resolve(null);
          return leave + 1;
        },
      });
    });
    context.takeInput(null);
    if (!atLineStart()) print("\n");
    // The end of a domain is reported by a notice.
    if (reason === "destroyed") print(`${domain} has ended: ${reason}\n`);
  }
  console.attach(null);
}
