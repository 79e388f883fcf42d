import { CommandError } from "../../api/command-error.ts";
import { readWords, usageOf } from "../../api/command-line.ts";
import type { OptionSpec } from "../../api/options.ts";
import { DEFAULT_POLICY, type EndPolicy } from "../../api/policy.ts";
import type { Params } from "../../api/request.ts";
import { createRequest, DEFAULT_MEMORY_MIB } from "../../api/requests/domains.ts";
import { guestShow } from "../console/guest-output.ts";
import { atLineStart, flushConsole, print } from "../console/output.ts";
import type { GuestDomain } from "../domains/domain.ts";
import { isFailure, type EndReason } from "../domains/shutdown.ts";
import { imageArgument } from "../images/find.ts";
import { formatVbd, parseVbd } from "../noxs/vbd-config.ts";
import { formatVif, parseVif } from "../noxs/vif-config.ts";
import type { Command, CommandContext } from "./command.ts";
import { handler, type RequestContext } from "./handler.ts";
import { waitUntilGone } from "./life.ts";
import { consoleRequest, requestCommand } from "./request-command.ts";

const MIB = 1024 * 1024;

/** Disks' settings, none of them with another's name. */
function vbdArguments(given: string[] | undefined): string[] | undefined {
  const seen = new Set<number>();
  return given?.map((text) => {
    const config = parseVbd("--vbd", text);
    if (seen.has(config.number)) throw new CommandError(`--vbd: vdev: ${config.vdev} is given twice`);
    seen.add(config.number);
    return formatVbd(config);
  });
}

function policyArgument({ onPoweroff, onReboot, onCrash, onSoftReset }: CreateParams): EndPolicy {
  if ((onPoweroff ?? onReboot ?? onCrash ?? onSoftReset) === undefined) return DEFAULT_POLICY;
  return {
    poweroff: onPoweroff ?? DEFAULT_POLICY.poweroff,
    reboot: onReboot ?? DEFAULT_POLICY.reboot,
    crash: onCrash ?? DEFAULT_POLICY.crash,
    softReset: onSoftReset ?? DEFAULT_POLICY.softReset,
  };
}

type CreateParams = Params<(typeof createRequest)["arguments"]>;

/** Creates a domain that does not run yet. */
function createPaused(params: CreateParams, { domains, progress }: RequestContext): Promise<GuestDomain> {
  const { kernel, ramdisk, cmdline, memory, vcpus, name, vif, vbd, noxs, xenbus } = params;
  if (noxs && xenbus) throw new CommandError("--noxs and --xenbus exclude each other");
  return domains.create(
    {
      kernel: imageArgument("--kernel", kernel),
      ramdisk: ramdisk === undefined ? undefined : imageArgument("--ramdisk", ramdisk),
      commandLine: cmdline ?? "",
      memoryMib: memory ?? DEFAULT_MEMORY_MIB,
      vcpus: vcpus ?? 1,
      name,
      policy: policyArgument(params),
      vifs: vif?.map((settings) => formatVif(parseVif("--vif", settings))),
      vbds: vbdArguments(vbd),
      model: noxs ? "noxs" : xenbus ? "xenbus" : undefined,
    },
    (done, total) => progress(`creating: ${Math.floor(done / MIB)} of ${Math.ceil(total / MIB)} MiB`),
  );
}

const create = handler(createRequest, async (params, context) => {
  const domain = await createPaused(params, context);
  if (context.interruption.raised) {
    context.domains.destroy(domain);
    throw new CommandError("cancelled: no domain was created");
  }
  if (!params.paused) context.domains.unpause(domain);
  return { id: domain.id, name: domain.name, uuid: domain.uuid };
});

/** At the prompt, besides what the request takes. */
const WAIT: Record<string, OptionSpec> = { wait: {} };

export const createCommand: Command = {
  ...requestCommand(create),
  usage: `${usageOf(createRequest)} [--wait]`,
  details: [
    ...createRequest.details,
    "--wait               show its console and return when it ends, failing if it crashed; Ctrl-C stops waiting",
  ],
  async run(words, context) {
    const { params, switches } = readWords(createRequest, words, WAIT);
    const wait = switches.has("wait");
    if (params.paused && wait) {
      throw new CommandError("--wait would wait for ever: with --paused the domain does not run");
    }
    const domain = await createPaused(params, consoleRequest(context));
    print(`${domain.id}\n`);
    // What the guest prints through the hypervisor comes behind its id.
    flushConsole();
    if (wait) await waitForEnd(domain, context);
    else if (!params.paused) context.domains.unpause(domain);
  },
};

/** Runs the domain with its console shown until it ends or the user has seen enough. */
async function waitForEnd(domain: GuestDomain, context: CommandContext): Promise<void> {
  domain.waiters++;
  domain.console?.attach({ show: guestShow(domain.id) });
  let withdraw = () => {};
  const ending = new Promise<EndReason | null>((resolve) => {
    withdraw = domain.onEnd(resolve);
    context.interruption.onRaise(() => resolve(null));
  });
  context.domains.unpause(domain);
  const reason = await ending;
  withdraw();
  domain.waiters--;
  if (reason === null) {
    domain.console?.attach(null);
    throw new CommandError(`no longer waiting for ${domain}: it runs on`);
  }
  // Destroying also takes the last output from the ring.
  if (reason !== "destroyed") context.domains.finishAwaited(domain, reason);
  if (!atLineStart()) print("\n");
  const kept = context.domains.find(domain.id) === domain;
  if (kept) domain.console?.attach(null);
  else await waitUntilGone(domain, context.domains, consoleRequest(context).progress);
  const line = `${domain} has ended: ${reason}${kept ? `; it is kept until \`destroy ${domain.id}\`` : ""}`;
  if (isFailure(reason)) throw new CommandError(line);
  print(`${line}\n`);
}
