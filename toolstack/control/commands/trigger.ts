/** What acts on a guest like a button or a line of a real machine: xl's `trigger`, as far as a PVH guest has any. */
import { isAsleep, wake } from "../domains/sleep.ts";
import { domainInfo, sendNmi } from "../hypercalls/domctl.ts";
import { CommandError } from "./command-error.ts";
import type { Command } from "./command.ts";
import { namedDomain } from "./life.ts";
import { parseCount, parseOptions } from "./options.ts";

/** Triggers of xl's that act on devices which these guests do not have, and what does the same. */
const ABSENT: Record<string, string> = {
  power: "`shutdown` asks the guest",
  sleep: "the guest's own `echo mem > /sys/power/state` is what there is",
  reset: "`reboot` asks the guest, `destroy` ends it",
  init: "`reboot` asks the guest, `destroy` ends it",
};

export const triggerCommand: Command = {
  name: "trigger",
  usage: "ID s3resume|nmi [VCPU]",
  summary: "wake a sleeping domain, or send it an NMI",
  details: [
    "s3resume  wakes a domain that sleeps (ACPI S3, Linux's `echo mem > /sys/power/state`)",
    "nmi       a non-maskable interrupt for vCPU VCPU, 0 if not given",
  ],
  run(words, { domains }) {
    const hasVcpu = words.length > 2;
    const [which, what, vcpu] = parseOptions(words, {}, hasVcpu ? ["ID", "TRIGGER", "VCPU"] : ["ID", "TRIGGER"]).rest;
    const domain = namedDomain(which!, domains);
    if (what === "s3resume") {
      if (hasVcpu) throw new CommandError("s3resume takes no vCPU");
      if (!isAsleep(domain.id)) throw new CommandError(`${domain} does not sleep`);
      wake(domain.id);
    } else if (what === "nmi") {
      sendNmi(domain.id, parseCount("VCPU", vcpu ?? "0", 0, domainInfo(domain.id).maxVcpus - 1));
    } else {
      const instead = ABSENT[what!];
      if (instead === undefined) throw new CommandError(`"${what}" is neither s3resume nor nmi`);
      throw new CommandError(`these guests have no line for "${what}": ${instead}`);
    }
  },
};
