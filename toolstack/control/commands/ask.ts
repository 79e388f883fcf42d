/** Commands that make requests to a guest: by its sysctl device if it is a NoXS guest, or through the store. */
import { SHUTDOWN_reboot } from "../../../abi/sched.ts";
import { checkBounds, checkMib } from "../../api/options.ts";
import {
  DEFAULT_TIMEOUT_S,
  memSetRequest,
  rebootRequest,
  shutdownRequest,
  sysrqRequest,
  vcpuSetRequest,
} from "../../api/requests/domains.ts";
import {
  askShutdown,
  hasTakenShutdown,
  memoryTarget,
  obeys,
  sendSysrq,
  setMemoryTarget,
  setOnlineVcpus,
  vcpuNodes,
  type ShutdownRequest,
} from "../domains/control-nodes.ts";
import { domainPath } from "../domains/domain-nodes.ts";
import type { GuestDomain } from "../domains/domain.ts";
import { isFailure, type EndReason } from "../domains/shutdown.ts";
import { isAsleep } from "../domains/sleep.ts";
import { setMemoryLimit } from "../domains/memory-limit.ts";
import { domainInfo } from "../hypercalls/domctl.ts";
import { after } from "../timers.ts";
import { CommandError } from "../../api/command-error.ts";
import type { Command } from "./command.ts";
import { handler, type RequestContext } from "./handler.ts";
import { namedDomain } from "./life.ts";
import { requestCommand, runRequest } from "./request-command.ts";

const WORDS: Record<ShutdownRequest, string> = { poweroff: "shut down", reboot: "reboot" };

function disobeys(domain: GuestDomain, request: ShutdownRequest): string {
  return `${domain} does not obey a request to ${WORDS[request]}; \`destroy ${domain.id}\` ends it`;
}

/** What is known of the guest's answer so far, and what can be done. */
function progress(domain: GuestDomain, request: ShutdownRequest, { domains }: RequestContext): string {
  const { local } = domains.store;
  const hint = `\`destroy ${domain.id}\` ends it at once`;
  const { sysctls } = domains.devices;
  const connected = sysctls.isConnected(domain.id);
  if (connected === true && !sysctls.obeys(domain.id, request)) return disobeys(domain, request);
  const taken = connected === true ? sysctls.hasTaken(domain.id) : hasTakenShutdown(local, domain.id);
  if (taken) return `${domain} has taken the request and is still running; ${hint}`;
  if (connected === true) return `${domain} has been asked by its sysctl device and is still running; ${hint}`;
  if (sysctls.hasClosed(domain.id)) {
    return `${domain} was asked by its sysctl device, has closed it and is still running; ${hint}`;
  }
  if (connected === false) {
    return `${domain} has connected neither its sysctl device nor a driver of the store's that listens; ${hint}`;
  }
  const driver = obeys(local, domain.id, request) ? "its kernel says it obeys" : "it may have no driver that listens";
  return `${domain} has not taken the request (${driver}); ${hint}`;
}

/** What both requests take. */
interface Waiting {
  timeout?: number;
  noWait?: boolean;
}

async function ask(request: ShutdownRequest, id: string, waiting: Waiting, context: RequestContext): Promise<void> {
  const { timeout = DEFAULT_TIMEOUT_S, noWait = false } = waiting;
  const domain = namedDomain(id, context.domains);
  if (domain.ended !== null) throw new CommandError(`${domain} has ended already: ${domain.ended}`);
  if (domainInfo(domain.id).paused)
    throw new CommandError(`${domain} is paused: it would not notice; unpause it first`);
  if (isAsleep(domain.id))
    throw new CommandError(`${domain} sleeps: it would not notice; \`trigger ${domain.id} s3resume\` wakes it`);
  const asked = context.domains.devices.sysctls.request(domain.id, request);
  if (asked === "refused") {
    throw new CommandError(disobeys(domain, request));
  }
  if (asked !== "sent") {
    askShutdown(context.domains.store.local, domain.id, request);
    context.domains.saveNow(domain);
  }
  if (noWait) return;
  context.progress(`waiting for ${domain} to ${WORDS[request]}`);
  const reason = await endWithin(domain, timeout, context, request);
  if (isFailure(reason)) throw new CommandError(`${domain} has ended: ${reason}`);
}

/** Waits for a domain to end, reporting progress from time to time. Throws CommandError if it does not. */
async function endWithin(
  domain: GuestDomain,
  seconds: number,
  context: RequestContext,
  request: ShutdownRequest,
): Promise<EndReason> {
  const cancels: (() => void)[] = [];
  const outcome = await new Promise<{ reason: EndReason } | "timeout" | "interrupted">((resolve) => {
    cancels.push(domain.onEnd((reason) => resolve({ reason })));
    context.interruption.onRaise(() => resolve("interrupted"));
    cancels.push(after(seconds * 1000, () => resolve("timeout")));
    const half = (seconds * 1000) / 2;
    cancels.push(after(half, () => context.progress(progress(domain, request, context))));
  });
  for (const cancel of cancels) cancel();
  if (outcome === "interrupted") throw new CommandError(`no longer waiting for ${domain}: the request stands`);
  if (outcome === "timeout") throw new CommandError(`after ${seconds} s: ${progress(domain, request, context)}`);
  return outcome.reason;
}

export const shutdownCommand = requestCommand(
  handler(shutdownRequest, (params, context) => ask("poweroff", params.id, params, context)),
);

/** Of a domain. */
const rebootOne = handler(rebootRequest, async (params, context) => {
  if (params.id === undefined) throw new CommandError("ID is missing");
  await ask("reboot", params.id, params, context);
});

export const rebootCommand: Command = {
  ...requestCommand(rebootOne),
  usage: "[ID [--timeout SECONDS] [--no-wait]]",
  async run(words, context) {
    if (words.length > 0) await runRequest(rebootOne, words, context);
    else context.endMachine(SHUTDOWN_reboot);
  },
};

export const sysrqCommand = requestCommand(
  handler(sysrqRequest, ({ id, key }, { domains }) => {
    const domain = namedDomain(id, domains);
    if (!/^[A-Za-z0-9]$/.test(key)) throw new CommandError(`"${key}" is not one letter or digit`);
    sendSysrq(domains.store.local, domain.id, key);
  }),
);

export const vcpuSetCommand = requestCommand(
  handler(vcpuSetRequest, ({ id, vcpus }, { domains }) => {
    const domain = namedDomain(id, domains);
    const { local } = domains.store;
    checkBounds("N", vcpus, 1, vcpuNodes(local, domain.id));
    setOnlineVcpus(local, domain.id, vcpus);
    domain.sizes.onlineVcpus = vcpus;
    domains.saveNow(domain);
  }),
);

export const memSetCommand = requestCommand(
  handler(memSetRequest, ({ id, memory }, { domains }) => {
    const domain = namedDomain(id, domains);
    const { local } = domains.store;
    const { target, most } = memoryTarget(local, domain.id);
    if (!(target >= 0 && most >= 0)) throw new CommandError(`${domainPath(domain.id)}/memory does not say what it has`);
    checkMib("SIZE", memory, 1, Math.floor(most / 1024));
    const kib = memory * 1024;
    setMemoryLimit(domain, kib);
    setMemoryTarget(local, domain.id, domain.uuid, kib);
    domain.sizes.memoryKib = kib;
    domains.saveNow(domain);
  }),
);
