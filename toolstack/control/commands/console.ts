import { GuestView } from "../console/guest-output.ts";
import { atLineStart, print } from "../console/output.ts";
import { guestLevel } from "../console/terminal.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { EndReason } from "../domains/shutdown.ts";
import { CommandError } from "../../api/command-error.ts";
import { readWords } from "../../api/command-line.ts";
import { WINDOW_FIRST } from "../../api/protocol.ts";
import { consoleRequest, logsRequest, waitRequest } from "../../api/requests/domains.ts";
import { TerminalFilter, type FilterLevel } from "../../api/terminal-filter.ts";
import { ByteRing } from "../byte-ring.ts";
import type { Domains } from "../domains/domains.ts";
import type { GuestConsole } from "../domains/guest-console.ts";
import type { Command, CommandContext } from "./command.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";
import { endOf, namedDomain } from "./life.ts";

/** Ctrl-]: leaves a guest's console, as in `xl console` and telnet. */
const LEAVE = 0x1d;
const NOTHING = new Uint8Array(0);

/** For a client: bytes both ways until the domain ends, or the client ends its direction or cancels. */
const talkRemotely = handler(consoleRequest, async ({ id, safe }, { domains, stream, interruption }) => {
  const client = stream!;
  const filter = safe ? new TerminalFilter("screen") : null;
  const show = (bytes: Uint8Array) => client.write(filter === null ? bytes : filter.filter(bytes));
  const grave = domains.find(id) === undefined ? domains.findEnded(id) : undefined;
  if (grave !== undefined) {
    show(grave.console?.unseen() ?? NOTHING);
    client.write(filter?.end() ?? NOTHING);
    return { ended: grave.ended };
  }
  const domain = namedDomain(id, domains);
  const console = freeConsole(domain);
  /** What the guest has no room for yet: the client sends no more than the window that it was given. */
  const pending = new ByteRing(WINDOW_FIRST);
  const feed = () => {
    const bytes = pending.take(Math.min(console.inputRoom, pending.length));
    if (bytes.length === 0) return;
    console.input(bytes);
    client.consumed(bytes.length);
  };
  let withdraw = () => {};
  const reason = await new Promise<EndReason | null>((resolve) => {
    client.onInput = (bytes) => {
      pending.add(bytes);
      feed();
    };
    // At once: what the guest prints from now on is kept.
    const leave = () => {
      console.attach(null);
      resolve(null);
    };
    client.onInputEnd = leave;
    interruption.onRaise(leave);
    withdraw = domain.onEnd(resolve);
    console.attach({ show, ready: feed, flow: client });
  });
  withdraw();
  client.onInput = client.onInputEnd = () => {};
  if (reason !== null) console.attach(null);
  client.write(filter?.end() ?? NOTHING);
  return { ended: reason };
});

/** One that there is, or one that has ended and is remembered. @throws CommandError */
function logged(which: string, domains: Domains): GuestDomain {
  return domains.find(which) ?? domains.findEnded(which) ?? namedDomain(which, domains);
}

const logs = handler(logsRequest, ({ id, raw }, { domains, output }) => {
  const domain = logged(id, domains);
  const bytes = domain.console?.unseen() ?? NOTHING;
  if (raw) output(bytes);
  else {
    const filter = new TerminalFilter("text");
    output(filter.filter(bytes));
    output(filter.end());
  }
  return { ended: domain.ended };
});

export const logsCommand: Command = {
  ...requestCommand(logs),
  // Here, lines that look like Typevisor's are marked.
  run(words, { domains }) {
    const { id, raw } = readWords(logsRequest, words).params;
    const domain = logged(id, domains);
    const view = new GuestView(domain.id, raw ? "raw" : "text");
    view.show(domain.console?.unseen() ?? NOTHING);
    view.end();
  },
};

const wait = handler(waitRequest, async ({ id }, { domains, interruption }) => {
  const domain = logged(id, domains);
  if (domain.ended !== null) return { ended: domain.ended };
  return { ended: await endOf(domain, interruption) };
});

export const waitCommand = requestCommand(wait);

export const consoleCommand: Command = {
  ...requestCommand(talkRemotely),
  async run(words, context) {
    const { id: which, safe } = readWords(consoleRequest, words).params;
    const level = safe ? "screen" : guestLevel();
    const ended = context.domains.find(which) === undefined ? context.domains.findEnded(which) : undefined;
    if (ended !== undefined) {
      showEnded(ended, level);
      return;
    }
    await talk(namedDomain(which, context.domains), context, level);
  },
};

function showEnded(domain: GuestDomain, level: FilterLevel | "raw"): void {
  const view = new GuestView(domain.id, level);
  domain.console?.attach({ show: (bytes) => view.show(bytes) });
  domain.console?.attach(null);
  view.end();
  if (!atLineStart()) print("\n");
  print(`${domain} has ended: ${domain.ended}\n`);
}

/** The console of a domain, which nobody else looks at. Throws CommandError. */
function freeConsole(domain: GuestDomain): GuestConsole {
  const { console } = domain;
  if (console === null) throw new CommandError(`${domain} has no console`);
  if (console.attached) throw new CommandError(`the console of ${domain} is shown already`);
  return console;
}

async function talk(domain: GuestDomain, context: CommandContext, level: FilterLevel | "raw"): Promise<void> {
  const console = freeConsole(domain);
  if (context.interactive) print(`[${domain}: Ctrl-] leaves]\n`);
  const view = new GuestView(domain.id, level);
  console.attach({ show: (bytes) => view.show(bytes), ready: () => context.inputWanted() });
  // Non-interactively the console cannot be left: only the available output is shown.
  if (context.interactive) {
    let withdraw = () => {};
    const reason = await new Promise<EndReason | null>((resolve) => {
      withdraw = domain.onEnd(resolve);
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
    withdraw();
    context.takeInput(null);
    view.end();
    if (!atLineStart()) print("\n");
    // The end of a domain is reported by a notice.
    if (reason === "destroyed") print(`${domain} has ended: ${reason}\n`);
  }
  console.attach(null);
}
