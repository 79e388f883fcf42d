/** Commands that make requests to a guest: by its sysctl device if it is a NoXS guest, or through the store. */
import { SHUTDOWN_reboot } from "../../../abi/sched.ts";
import { print } from "../console/output.ts";
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
import { domainInfo, setMaxMemory } from "../hypercalls/domctl.ts";
import { after } from "../timers.ts";
import { PAGE_SIZE } from "../window.ts";
import { CommandError } from "./command-error.ts";
import type { Command, CommandContext } from "./command.ts";
import { namedDomain } from "./life.ts";
import { parseCount, parseMib, parseOptions } from "./options.ts";

const DEFAULT_TIMEOUT_S = 60;
const MAX_TIMEOUT_S = 86_400;

const WAITING = {
  timeout: { value: "SECONDS" },
  "no-wait": {},
};

const WORDS: Record<ShutdownRequest, string> = { poweroff: "shut down", reboot: "reboot" };

const WAITING_DETAILS = [
  `--timeout  how long to wait for it, ${DEFAULT_TIMEOUT_S} seconds if not given; Ctrl-C stops waiting`,
  "--no-wait  only ask",
  "What happens when the domain has ended is its --on-poweroff or --on-reboot to say: see `help create`.",
];

function disobeys(domain: GuestDomain, request: ShutdownRequest): string {
  return `${domain} does not obey a request to ${WORDS[request]}; \`destroy ${domain.id}\` ends it`;
}

/** What is known of the guest's answer so far, and what can be done. */
function progress(domain: GuestDomain, request: ShutdownRequest, { domains }: CommandContext): string {
  const { local } = domains.store;
  const hint = `\`destroy ${domain.id}\` ends it at once`;
  const { sysctls } = domains.devices;
  const connected = sysctls.isConnected(domain.id);
  if (connected === true && !sysctls.obeys(domain.id, request)) return disobeys(domain, request);
  const taken = connected === true ? sysctls.hasTaken(domain.id) : hasTakenShutdown(local, domain.id);
  if (taken) return `${domain} has taken the request and is still running; ${hint}`;
  if (connected === true) return `${domain} has been asked by its sysctl device and is still running; ${hint}`;
  if (connected === false) {
    return `${domain} has connected neither its sysctl device nor a driver of the store's that listens; ${hint}`;
  }
  const driver = obeys(local, domain.id, request) ? "its kernel says it obeys" : "it may have no driver that listens";
  return `${domain} has not taken the request (${driver}); ${hint}`;
}

async function ask(request: ShutdownRequest, words: string[], context: CommandContext): Promise<void> {
  const { values, switches, rest } = parseOptions(words, WAITING, ["ID"]);
  const seconds = parseCount("--timeout", values.get("timeout") ?? String(DEFAULT_TIMEOUT_S), 1, MAX_TIMEOUT_S);
  const domain = namedDomain(rest[0]!, context.domains);
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
  if (switches.has("no-wait")) return;
  print(`waiting for ${domain} to ${WORDS[request]}\n`);
  const reason = await endWithin(domain, seconds, context, request);
  if (isFailure(reason)) throw new CommandError(`${domain} has ended: ${reason}`);
}

/** Waits for a domain to end, reporting progress from time to time. Throws CommandError if it does not. */
async function endWithin(
  domain: GuestDomain,
  seconds: number,
  context: CommandContext,
  request: ShutdownRequest,
): Promise<EndReason> {
  const cancels: (() => void)[] = [];
  const outcome = await new Promise<{ reason: EndReason } | "timeout" | "interrupted">((resolve) => {
    domain.onEnd((reason) => resolve({ reason }));
    context.interruption.onRaise(() => resolve("interrupted"));
    cancels.push(after(seconds * 1000, () => resolve("timeout")));
    const half = (seconds * 1000) / 2;
    cancels.push(after(half, () => print(`${progress(domain, request, context)}\n`)));
  });
  for (const cancel of cancels) cancel();
  if (outcome === "interrupted") throw new CommandError(`no longer waiting for ${domain}: the request stands`);
  if (outcome === "timeout") throw new CommandError(`after ${seconds} s: ${progress(domain, request, context)}`);
  return outcome.reason;
}

export const shutdownCommand: Command = {
  name: "shutdown",
  usage: "ID [--timeout SECONDS] [--no-wait]",
  summary: "ask a domain to shut down, and wait until it has",
  details: WAITING_DETAILS,
  run: (words, context) => ask("poweroff", words, context),
};

export const rebootCommand: Command = {
  name: "reboot",
  usage: "[ID [--timeout SECONDS] [--no-wait]]",
  summary: "ask a domain to reboot; without ID: end all domains and restart the machine",
  details: WAITING_DETAILS,
  async run(words, context) {
    if (words.length > 0) await ask("reboot", words, context);
    else context.endMachine(SHUTDOWN_reboot);
  },
};

export const sysrqCommand: Command = {
  name: "sysrq",
  usage: "ID KEY",
  summary: "send a magic system request to a Linux guest",
  details: ["KEY is one letter or digit, such as h (help), s (sync), t (tasks), c (crash)."],
  run(words, { domains }) {
    const [which, key] = parseOptions(words, {}, ["ID", "KEY"]).rest as [string, string];
    const domain = namedDomain(which, domains);
    if (!/^[A-Za-z0-9]$/.test(key)) throw new CommandError(`"${key}" is not one letter or digit`);
    sendSysrq(domains.store.local, domain.id, key);
  },
};

export const vcpuSetCommand: Command = {
  name: "vcpu-set",
  usage: "ID N",
  summary: "ask a guest to use N of its vCPUs",
  run(words, { domains }) {
    const [which, count] = parseOptions(words, {}, ["ID", "N"]).rest as [string, string];
    const domain = namedDomain(which, domains);
    const { local } = domains.store;
    const online = parseCount("N", count, 1, vcpuNodes(local, domain.id));
    setOnlineVcpus(local, domain.id, online);
    domain.sizes.onlineVcpus = online;
    domains.saveNow(domain);
  },
};

export const memSetCommand: Command = {
  name: "mem-set",
  usage: "ID SIZE",
  summary: "ask a guest's balloon driver for another memory size",
  details: [
    "SIZE is in MiB, or with a unit, such as 2G.",
    "At most what the domain was made with. It may not have more from then on, and gives back what it can.",
  ],
  run(words, { domains }) {
    const [which, size] = parseOptions(words, {}, ["ID", "SIZE"]).rest as [string, string];
    const domain = namedDomain(which, domains);
    const { local } = domains.store;
    const { target, most } = memoryTarget(local, domain.id);
    if (!(target >= 0 && most >= 0)) throw new CommandError(`${domainPath(domain.id)}/memory does not say what it has`);
    const kib = parseMib("SIZE", size, 1, Math.floor(most / 1024)) * 1024;
    // The domain's allowance beyond its target (pages of the builder) is kept.
    const beyond = (domainInfo(domain.id).maxPages * PAGE_SIZE) / 1024 - target;
    setMaxMemory(domain.id, kib + Math.max(beyond, 0));
    setMemoryTarget(local, domain.id, domain.uuid, kib);
    domain.sizes.memoryKib = kib;
    domains.saveNow(domain);
  },
};
