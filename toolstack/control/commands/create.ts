import { CommandError } from "../../api/command-error.ts";
import { readWords, usageOf } from "../../api/command-line.ts";
import { parseCpuList } from "../../api/cpu-list.ts";
import { checkBounds, parseCount, type OptionSpec } from "../../api/options.ts";
import { DEFAULT_POLICY, type EndPolicy } from "../../api/policy.ts";
import type { Params } from "../../api/request.ts";
import { createRequest, DEFAULT_MEMORY_MIB } from "../../api/requests/domains.ts";
import { GuestView } from "../console/guest-output.ts";
import { atLineStart, flushConsole, print } from "../console/output.ts";
import { guestLevel } from "../console/terminal.ts";
import { withAffinity, type Affinity } from "../domains/affinity.ts";
import type { GuestDomain } from "../domains/domain.ts";
import type { Domains } from "../domains/domains.ts";
import type { CreateRequest } from "../domains/request.ts";
import { isFailure, type EndReason } from "../domains/shutdown.ts";
import { isUuid } from "../domains/uuid.ts";
import { physicalInfo } from "../hypercalls/sysctl.ts";
import { imageArgument } from "../images/find.ts";
import { formatVbd, parseVbd } from "../noxs/vbd-config.ts";
import { AddressChoice } from "../net/guest-address.ts";
import { network } from "../net/network.ts";
import { formatVif, parseVif } from "../noxs/vif-config.ts";
import type { Command, CommandContext } from "./command.ts";
import { handler, type RequestContext } from "./handler.ts";
import { endOf, waitUntilGone } from "./life.ts";
import { consoleRequest, requestCommand } from "./request-command.ts";

const MIB = 1024 * 1024;
const CANCELLED = "cancelled: no domain was created";

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

function policyArgument({ onPoweroff, onReboot, onCrash, onSoftReset }: MakingParams): EndPolicy {
  if ((onPoweroff ?? onReboot ?? onCrash ?? onSoftReset) === undefined) return DEFAULT_POLICY;
  return {
    poweroff: onPoweroff ?? DEFAULT_POLICY.poweroff,
    reboot: onReboot ?? DEFAULT_POLICY.reboot,
    crash: onCrash ?? DEFAULT_POLICY.crash,
    softReset: onSoftReset ?? DEFAULT_POLICY.softReset,
  };
}

type CreateParams = Params<(typeof createRequest)["arguments"]>;
type MakingParams = Omit<CreateParams, "name" | "uuid" | "paused">;

/** CPUs of vCPUs, by vCPU: of all that there are, and then of those with numbers. */
function affinityArguments({ cpus, cpusSoft }: MakingParams, vcpus: number): CreateRequest["affinity"] {
  const used = physicalInfo().cpus;
  let affinity: CreateRequest["affinity"];
  const read = (what: string, key: keyof Affinity, given: string[] = []) => {
    for (const text of given) {
      const [, vcpu, list = text] = /^([0-9]{1,4})=(.*)$/.exec(text) ?? [];
      parseCpuList(what, list, used);
      const which =
        vcpu === undefined ? Array.from({ length: vcpus }, (_, i) => i) : [parseCount(what, vcpu, 0, vcpus - 1)];
      affinity = withAffinity(affinity, which, { [key]: list });
    }
  };
  read("--cpus", "hard", cpus);
  read("--cpus-soft", "soft", cpusSoft);
  return affinity;
}

/** What is to be made, but for its name and UUID. @throws CommandError */
export function makingArguments(params: MakingParams, domains: Domains): CreateRequest {
  const { kernel, ramdisk, cmdline, memory, vcpus, maxVcpus, weight, cpus, cpusSoft, vif, vbd, noxs, xenbus } = params;
  if (noxs && xenbus) throw new CommandError("--noxs and --xenbus exclude each other");
  const most = maxVcpus ?? vcpus ?? 1;
  if (vcpus !== undefined && vcpus > most) checkBounds("--vcpus", vcpus, 1, most);
  return {
    kernel: imageArgument("--kernel", kernel),
    ramdisk: ramdisk === undefined ? undefined : imageArgument("--ramdisk", ramdisk),
    commandLine: cmdline ?? "",
    memoryMib: memory ?? DEFAULT_MEMORY_MIB,
    vcpus: most,
    onlineVcpus: maxVcpus === undefined ? undefined : (vcpus ?? maxVcpus),
    weight,
    affinity: (cpus ?? cpusSoft) === undefined ? undefined : affinityArguments(params, most),
    policy: policyArgument(params),
    vifs: vif?.map((settings) => vifArgument("--vif", settings, domains)),
    vbds: vbdArguments(vbd),
    model: noxs ? "noxs" : xenbus ? "xenbus" : undefined,
  };
}

function checkUuid(uuid: string): void {
  if (isUuid(uuid)) return;
  throw new CommandError(
    `--uuid: "${uuid}" is no UUID such as 5f0c1c3a-9c3f-4f43-9a6f-8c1b6a1f0d2e, not of zeroes alone`,
  );
}

const addresses = new AddressChoice();

/** A vif's settings, complete: with `ip=auto` an address is chosen. */
export function vifArgument(what: string, settings: string, domains: Domains): string {
  const config = parseVif(what, settings);
  return formatVif(config.chooseIp ? addresses.choose(config, domains.all(), network) : config);
}

/** Creates a domain that does not run yet. */
function createPaused(params: CreateParams, { domains, progress, interruption }: RequestContext): Promise<GuestDomain> {
  const request = makingArguments(params, domains);
  request.name = params.name;
  request.uuid = params.uuid;
  if (params.uuid !== undefined) checkUuid(params.uuid);
  return domains.create(request, (done, total) => {
    // What it throws ends the build, and nothing is left of it.
    if (interruption.raised) throw new CommandError(CANCELLED);
    progress(`creating: ${Math.floor(done / MIB)} of ${Math.ceil(total / MIB)} MiB`);
  });
}

const create = handler(createRequest, async (params, context) => {
  const domain = await createPaused(params, context);
  if (context.interruption.raised) {
    context.domains.destroy(domain);
    throw new CommandError(CANCELLED);
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
  const view = new GuestView(domain.id, guestLevel());
  domain.console?.attach({ show: (bytes) => view.show(bytes) });
  const ending = endOf(domain, context.interruption);
  context.domains.unpause(domain);
  let reason: EndReason;
  try {
    reason = await ending;
  } catch (error) {
    domain.console?.attach(null);
    view.end();
    throw error;
  } finally {
    domain.waiters--;
  }
  // Destroying also takes the last output from the ring.
  if (reason !== "destroyed") context.domains.finishAwaited(domain, reason);
  view.end();
  if (!atLineStart()) print("\n");
  const kept = context.domains.find(domain.id) === domain;
  if (kept) domain.console?.attach(null);
  else await waitUntilGone(domain, context.domains, consoleRequest(context).progress);
  const line = `${domain} has ended: ${reason}${kept ? `; it is kept until \`destroy ${domain.id}\`` : ""}`;
  if (isFailure(reason)) throw new CommandError(line);
  print(`${line}\n`);
}
