import { uptimeRequest } from "../../../api/requests/domains.ts";
import { systemTime } from "../../clock.ts";
import type { Domains } from "../../domains/domains.ts";
import { DOMAIN_0 } from "../../domains/system-domains.ts";
import { handler } from "../handler.ts";
import { requestCommand } from "../request-command.ts";
import { listedDomains } from "./listed.ts";

/** System time, ns, at which a domain began; 0: not known. */
function began(id: number, domains: Domains): number | null {
  if (id === DOMAIN_0) return 0; // system time begins with the machine
  return domains.find(id)?.madeNs || null;
}

export const uptimeCommand = requestCommand(
  handler(uptimeRequest, ({ ids }, { domains }) => {
    const now = systemTime();
    return listedDomains(ids, domains).map(({ info: { id }, name }) => {
      const from = began(id, domains);
      // Kept to a second, rounded up, it may be one that is not over yet.
      return { name, id, seconds: from === null ? null : Math.max(0, Math.floor((now - from) / 1e9)) };
    });
  }),
);
