/** The most memory that a domain may own, as libxl_domain_setmaxmem sets it: what the guest is told, and `mem-set` goes by, stays. */
import { CommandError } from "../../../api/command-error.ts";
import { memMaxRequest } from "../../../api/requests/domains.ts";
import { KIB } from "../../domains/domain.ts";
import { setMemoryLimit } from "../../domains/memory-limit.ts";
import { handler } from "../handler.ts";
import { namedDomain } from "../life.ts";
import { requestCommand } from "../request-command.ts";

export const memMaxCommand = requestCommand(
  handler(memMaxRequest, ({ id, memory }, { domains }) => {
    const domain = namedDomain(id, domains);
    const kib = memory * KIB;
    const { memoryKib } = domain.sizes;
    if (kib < memoryKib) {
      throw new CommandError(
        `SIZE: ${memory} MiB are less than the ${memoryKib / KIB} MiB that ${domain} is to have: \`mem-set\` lowers that`,
      );
    }
    setMemoryLimit(domain, kib);
    domains.saveNow(domain);
  }),
);
