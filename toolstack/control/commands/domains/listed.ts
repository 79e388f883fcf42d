/** Domains of listings, the hypervisor's own included. */
import { CommandError } from "../../../api/command-error.ts";
import type { Domains } from "../../domains/domains.ts";
import { idOf } from "../../domains/name.ts";
import type { DomainInfo } from "../../hypercalls/domain-info.ts";

export interface Listed {
  info: DomainInfo;
  name: string;
}

/**
 * All domains, or, in their order, those that are named by ids or names.
 * @throws CommandError for one that is not there
 */
export function listedDomains(ids: readonly string[] | undefined, domains: Domains): Listed[] {
  const all = domains.list();
  if (ids === undefined || ids.length === 0) return all;
  return ids.map((which) => {
    const id = idOf(which);
    const found = all.find(({ info, name }) => (id === undefined ? name === which : info.id === id));
    if (found === undefined) throw new CommandError(`no domain "${which}"; \`list\` shows them`);
    return found;
  });
}
