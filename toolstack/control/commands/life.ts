import { print } from "../console/output.ts";
import type { Domains } from "../domains/domains.ts";
import type { GuestDomain } from "../domains/domain.ts";
import { systemRefusal } from "../domains/system-domains.ts";
import { domainInfo, pauseDomain } from "../hypercalls/domctl.ts";
import { CommandError } from "./command-error.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options.ts";

/** The domain that a command's only word names. Throws CommandError. */
export function domainArgument(words: string[], domains: Domains): GuestDomain {
  return namedDomain(parseOptions(words, {}, ["ID"]).rest[0]!, domains);
}

/**
 * A domain by id or name.
 * @throws CommandError if there is none, or it is one of the hypervisor's own
 */
export function namedDomain(which: string, domains: Domains): GuestDomain {
  const domain = domains.find(which);
  if (domain !== undefined) return domain;
  const refusal = systemRefusal(which);
  if (refusal !== undefined) throw new CommandError(refusal);
  throw new CommandError(`no domain "${which}"; \`list\` shows them`);
}

/** The domains that a command's words name, each once. Throws CommandError, whichever of them is unknown. */
function domainArguments(words: string[], domains: Domains): GuestDomain[] {
  return [...new Set(parseOptions(words, {}, ["ID..."]).rest.map((which) => namedDomain(which, domains)))];
}

/** Waits until a destroyed domain no longer exists; prints a message if it remains. */
export async function waitUntilGone(domain: GuestDomain, domains: Domains): Promise<void> {
  if (await domains.gone(domain)) return;
  print(`${domain} is dying: other domains still use some of its memory\n`);
}

export const pauseCommand: Command = {
  name: "pause",
  usage: "ID...",
  summary: "stop domains' vCPUs",
  details: ["Pauses count: a domain paused twice is to be unpaused twice."],
  run(words, { domains }) {
    for (const domain of domainArguments(words, domains)) pauseDomain(domain.id);
  },
};

export const unpauseCommand: Command = {
  name: "unpause",
  usage: "ID...",
  summary: "let paused domains run",
  run(words, { domains }) {
    const named = domainArguments(words, domains);
    for (const domain of named) if (!domainInfo(domain.id).paused) throw new CommandError(`${domain} is not paused`);
    for (const domain of named) domains.unpause(domain);
  },
};

export const destroyCommand: Command = {
  name: "destroy",
  usage: "ID...",
  summary: "end domains at once and return their memory",
  async run(words, { domains }) {
    for (const domain of domainArguments(words, domains)) {
      // Ended by itself, while the one before was waited for.
      if (domains.find(domain.id) !== domain) continue;
      domains.destroy(domain);
      await waitUntilGone(domain, domains);
    }
  },
};
