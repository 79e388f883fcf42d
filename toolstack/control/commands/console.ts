import { guestShow } from "../console/guest-output.ts";
import { atLineStart, print } from "../console/output.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { EndReason } from "../domains/shutdown.ts";
import { CommandError } from "../../api/command-error.ts";
import { readWords } from "../../api/command-line.ts";
import { WINDOW_FIRST } from "../../api/protocol.ts";
import { consoleRequest, logsRequest, waitRequest } from "../../api/requests/domains.ts";
import { ByteRing } from "../byte-ring.ts";
import type { GuestConsole } from "../domains/guest-console.ts";
import type { Command, CommandContext } from "./command.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";
import { namedDomain } from "./life.ts";

/** Ctrl-]: leaves a guest's console, as in `xl console` and telnet. */
const LEAVE = 0x1d;
const NOTHING = new Uint8Array(0);

/** For a client: bytes both ways until the domain ends, or the client ends its direction or cancels. */
const talkRemotely = handler(consoleRequest, async ({ id }, { domains, stream, interruption }) => {
  const client = stream!;
  const grave = domains.find(id) === undefined ? domains.findEnded(id) : undefined;
  if (grave !== undefined) {
    client.write(grave.console?.unseen() ?? NOTHING);
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
    console.attach({ show: (bytes) => client.write(bytes), ready: feed, flow: client });
  });
  withdraw();
  client.onInput = client.onInputEnd = () => {};
  if (reason !== null) console.attach(null);
  return { ended: reason };
});

const logs = handler(logsRequest, ({ id }, { domains, output }) => {
  const domain = domains.find(id) ?? domains.findEnded(id) ?? namedDomain(id, domains);
  output(domain.console?.unseen() ?? NOTHING);
  return { ended: domain.ended };
});

export const logsCommand = requestCommand(logs);

const wait = handler(waitRequest, async ({ id }, { domains, interruption }) => {
  const domain = domains.find(id) ?? domains.findEnded(id) ?? namedDomain(id, domains);
  if (domain.ended !== null) return { ended: domain.ended };
  let withdraw = () => {};
  const reason = await new Promise<EndReason | null>((resolve) => {
    withdraw = domain.onEnd(resolve);
    interruption.onRaise(() => resolve(null));
  });
  withdraw();
  if (reason === null) throw new CommandError(`no longer waiting for ${domain}: it runs on`);
  return { ended: reason };
});

export const waitCommand = requestCommand(wait);

export const consoleCommand: Command = {
  ...requestCommand(talkRemotely),
  async run(words, context) {
    const which = readWords(consoleRequest, words).params.id;
    const ended = context.domains.find(which) === undefined ? context.domains.findEnded(which) : undefined;
    if (ended !== undefined) {
      showEnded(ended);
      return;
    }
    await talk(namedDomain(which, context.domains), context);
  },
};

function showEnded(domain: GuestDomain): void {
  domain.console?.attach({ show: guestShow(domain.id) });
  domain.console?.attach(null);
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

async function talk(domain: GuestDomain, context: CommandContext): Promise<void> {
  const console = freeConsole(domain);
  if (context.interactive) print(`[${domain}: Ctrl-] leaves]\n`);
  console.attach({ show: guestShow(domain.id), ready: () => context.inputWanted() });
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
    if (!atLineStart()) print("\n");
    // The end of a domain is reported by a notice.
    if (reason === "destroyed") print(`${domain} has ended: ${reason}\n`);
  }
  console.attach(null);
}
