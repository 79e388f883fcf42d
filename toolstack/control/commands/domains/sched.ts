/** Domains' shares of the CPU. */
import { CommandError } from "../../../api/command-error.ts";
import { schedRequest } from "../../../api/requests/scheduling.ts";
import { systemName } from "../../domains/system-domains.ts";
import { schedulingOf, setWeight } from "../../hypercalls/domctl.ts";
import { handler } from "../handler.ts";
import { namedDomain } from "../life.ts";
import { requestCommand } from "../request-command.ts";
import { listedDomains, type Listed } from "./listed.ts";

export const schedCommand = requestCommand(
  handler(schedRequest, ({ id, weight, cap }, { domains }) => {
    if (id === undefined && (weight ?? cap) !== undefined) throw new CommandError("ID is missing");
    if (cap !== undefined && cap !== 0) {
      throw new CommandError(
        "--cap: there are no caps: a domain gets what is free. 0 says so; --weight sets its share",
      );
    }
    if (weight !== undefined) {
      const [{ info, name }] = listedDomains([id!], domains) as [Listed];
      if (systemName(info.id) !== undefined) {
        throw new CommandError(`${name} has a budget instead of a share: a weight would have no effect`);
      }
      const domain = namedDomain(id!, domains);
      setWeight(domain.id, weight);
      if (domain.request !== null) domain.request = { ...domain.request, weight };
      domains.saveNow(domain);
    }
    return listedDomains(id === undefined ? undefined : [id], domains)
      .filter(({ info }) => !info.dying)
      .map(({ info, name }) => ({ name, id: info.id, ...schedulingOf(info.id) }));
  }),
);
