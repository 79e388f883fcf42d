/** What acts on a guest like a button or a line of a real machine: xl's `trigger`, as far as a PVH guest has any. */
import { isAsleep, wake } from "../domains/sleep.ts";
import { domainInfo, sendNmi } from "../hypercalls/domctl.ts";
import { CommandError } from "../../api/command-error.ts";
import { triggerRequest } from "../../api/requests/domains.ts";
import { handler } from "./handler.ts";
import { namedDomain } from "./life.ts";
import { parseCount } from "../../api/options.ts";
import { requestCommand } from "./request-command.ts";

/** Triggers of xl's that act on devices which these guests do not have, and what does the same. */
const ABSENT: Record<string, string> = {
  power: "`shutdown` asks the guest",
  sleep: "the guest's own `echo mem > /sys/power/state` is what there is",
  reset: "`reboot` asks the guest, `destroy` ends it",
  init: "`reboot` asks the guest, `destroy` ends it",
};

export const triggerCommand = requestCommand(
  handler(triggerRequest, ({ id, trigger, vcpu }, { domains }) => {
    const domain = namedDomain(id, domains);
    if (trigger === "s3resume") {
      if (vcpu !== undefined) throw new CommandError("s3resume takes no vCPU");
      if (!isAsleep(domain.id)) throw new CommandError(`${domain} does not sleep`);
      wake(domain.id);
    } else if (trigger === "nmi") {
      sendNmi(domain.id, parseCount("VCPU", vcpu ?? "0", 0, domainInfo(domain.id).maxVcpus - 1));
    } else {
      const instead = ABSENT[trigger];
      if (instead === undefined) throw new CommandError(`"${trigger}" is neither s3resume nor nmi`);
      throw new CommandError(`these guests have no line for "${trigger}": ${instead}`);
    }
  }),
);
