/** How a domain is made when it is restarted: what xl's config-update stores. */
import { CommandError } from "../../../api/command-error.ts";
import { configUpdateRequest } from "../../../api/requests/domains.ts";
import { physicalInfo } from "../../hypercalls/sysctl.ts";
import { PAGE_SIZE } from "../../window.ts";
import { makingArguments } from "../create.ts";
import { handler } from "../handler.ts";
import { namedDomain } from "../life.ts";
import { requestCommand } from "../request-command.ts";

const MIB = 1024 * 1024;

export const configUpdateCommand = requestCommand(
  handler(configUpdateRequest, ({ id, ...making }, { domains }) => {
    const domain = namedDomain(id, domains);
    if (domain.ended !== null) throw new CommandError(`${domain} has ended: it is not restarted`);
    const next = makingArguments(making, domains);
    // What is free then is not known.
    const most = Math.floor((physicalInfo().totalPages * PAGE_SIZE) / MIB);
    if (next.memoryMib > most) throw new CommandError(`--memory: the machine has ${most} MiB`);
    domain.next = next;
    domains.saveNow(domain);
  }),
);
