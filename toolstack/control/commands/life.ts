import type { Domains } from "../domains/domains.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { EndReason } from "../domains/shutdown.ts";
import { systemRefusal } from "../domains/system-domains.ts";
import { domainInfo, pauseDomain } from "../hypercalls/domctl.ts";
import type { Interruption } from "../interruption.ts";
import { CommandError } from "../../api/command-error.ts";
import { destroyRequest, pauseRequest, unpauseRequest } from "../../api/requests/domains.ts";
import { handler } from "./handler.ts";
import { requestCommand } from "./request-command.ts";

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

/** Domains by id or name, each once. Throws CommandError, whichever of them is unknown. */
function namedDomains(ids: string[], domains: Domains): GuestDomain[] {
  return [...new Set(ids.map((which) => namedDomain(which, domains)))];
}

/** Waits for a domain's end. @throws CommandError when nobody wants to wait any longer */
export async function endOf(domain: GuestDomain, interruption: Interruption): Promise<EndReason> {
  let withdraw = () => {};
  const reason = await new Promise<EndReason | null>((resolve) => {
    withdraw = domain.onEnd(resolve);
    interruption.onRaise(() => resolve(null));
  });
  withdraw();
  if (reason === null) throw new CommandError(`no longer waiting for ${domain}: it runs on`);
  return reason;
}

/** Waits until a destroyed domain no longer exists; tells if it remains. */
export async function waitUntilGone(
  domain: GuestDomain,
  domains: Domains,
  tell: (text: string) => void,
): Promise<void> {
  if (await domains.gone(domain)) return;
  tell(`${domain} is dying: other domains still use some of its memory`);
}

export const pauseCommand = requestCommand(
  handler(pauseRequest, ({ ids }, { domains }) => {
    for (const domain of namedDomains(ids, domains)) pauseDomain(domain.id);
  }),
);

export const unpauseCommand = requestCommand(
  handler(unpauseRequest, ({ ids }, { domains }) => {
    const named = namedDomains(ids, domains);
    for (const domain of named) if (!domainInfo(domain.id).paused) throw new CommandError(`${domain} is not paused`);
    for (const domain of named) domains.unpause(domain);
  }),
);

export const destroyCommand = requestCommand(
  handler(destroyRequest, async ({ ids }, { domains, progress, interruption }) => {
    for (const domain of namedDomains(ids, domains)) {
      if (interruption.raised) throw new CommandError(`cancelled: ${domain} is still there`);
      // Ended by itself, while the one before was waited for.
      if (domains.find(domain.id) !== domain) continue;
      domains.destroy(domain);
      await waitUntilGone(domain, domains, progress);
    }
  }),
);
