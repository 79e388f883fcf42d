import { bootModules, findModule } from "../boot-info.ts";
import type { WindowImage } from "../builder/image.ts";
import { atLineStart, flushConsole, print, printBytes } from "../console/output.ts";
import type { GuestDomain } from "../domains/domain.ts";
import { NAME_BYTES } from "../domains/name.ts";
import { DEFAULT_POLICY, END_ACTIONS, RESET_ACTIONS, type EndPolicy } from "../domains/policy.ts";
import { isFailure, type EndReason } from "../domains/shutdown.ts";
import { formatVif, parseVif, VIF_USAGE } from "../noxs/vif-config.ts";
import { formatVbd, parseVbd, VBD_USAGE } from "../noxs/vbd-config.ts";
import { CommandError } from "./command-error.ts";
import type { Command, CommandContext } from "./command.ts";
import { waitUntilGone } from "./life.ts";
import { parseCount, parseMib, parseOptions, type OptionSpec } from "./options.ts";

/** libxl's default. */
const DEFAULT_MEMORY_MIB = 32;
const MAX_MEMORY_MIB = 1024 * 1024;
const MIB = 1024 * 1024;
/** VCPUs whose APIC ids fit into xAPIC's eight bits, and what the hypervisor makes. */
const MAX_VCPUS = 64;

function moduleArgument(what: string, name: string): WindowImage {
  const module = findModule(name);
  if (module !== undefined) {
    if (module.size === 0) throw new CommandError(`${what}: the boot module "${name}" is empty`);
    return module;
  }
  const names = bootModules().map((known) => known.name);
  const there = names.length === 0 ? "there are no boot modules" : `boot modules: ${names.join(" ")}`;
  throw new CommandError(`${what}: no boot module "${name}"; ${there}`);
}

function actionArgument<Action extends string>(
  option: string,
  values: Map<string, string>,
  otherwise: Action,
  actions: readonly Action[],
): Action {
  const value = values.get(option) ?? otherwise;
  const action = actions.find((known) => known === value);
  if (action === undefined) throw new CommandError(`--${option}: "${value}" is none of ${actions.join(", ")}`);
  return action;
}

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

function policyArgument(values: Map<string, string>): EndPolicy {
  if (!POLICY_OPTIONS.some((option) => values.has(option))) return DEFAULT_POLICY;
  return {
    poweroff: actionArgument("on-poweroff", values, DEFAULT_POLICY.poweroff, END_ACTIONS),
    reboot: actionArgument("on-reboot", values, DEFAULT_POLICY.reboot, END_ACTIONS),
    crash: actionArgument("on-crash", values, DEFAULT_POLICY.crash, END_ACTIONS),
    softReset: actionArgument("on-soft-reset", values, DEFAULT_POLICY.softReset, RESET_ACTIONS),
  };
}

const OPTIONS: Record<string, OptionSpec> = {
  kernel: { value: "NAME", required: true },
  ramdisk: { value: "NAME" },
  cmdline: { value: "STR" },
  memory: { value: "SIZE" },
  vcpus: { value: "N" },
  name: { value: "STR" },
  paused: {},
  wait: {},
  "on-poweroff": { value: "ACTION" },
  "on-reboot": { value: "ACTION" },
  "on-crash": { value: "ACTION" },
  "on-soft-reset": { value: "ACTION" },
  vif: { value: "SETTINGS", repeatable: true },
  vbd: { value: "SETTINGS", repeatable: true },
  noxs: {},
  xenbus: {},
};
const POLICY_OPTIONS = ["on-poweroff", "on-reboot", "on-crash", "on-soft-reset"];

export const createCommand: Command = {
  name: "create",
  usage:
    "--kernel NAME [--ramdisk NAME] [--cmdline STR] [--memory SIZE] [--vcpus N] [--name STR] [--paused] [--wait] " +
    "[--on-poweroff ACTION] [--on-reboot ACTION] [--on-crash ACTION] [--on-soft-reset ACTION] [--vif SETTINGS]... " +
    "[--vbd SETTINGS]... [--noxs|--xenbus]",
  summary: "create a domain and print its id",
  details: [
    "--kernel, --ramdisk  boot modules; the kernel is a PVH or a PVHv1 image (ELF), or a Linux bzImage with a PVH one inside",
    `--memory             MiB, or with a unit, such as 2G; ${DEFAULT_MEMORY_MIB} if not given`,
    `--name               at most ${NAME_BYTES} bytes; the kernel's name if not given`,
    "--paused             do not start it",
    "--wait               show its console and return when it ends, failing if it crashed; Ctrl-C stops waiting",
    `--on-poweroff, --on-reboot, --on-crash  what happens then: ${END_ACTIONS.join(", ")};`,
    `                     if not given: ${DEFAULT_POLICY.poweroff}, ${DEFAULT_POLICY.reboot}, ${DEFAULT_POLICY.crash}`,
    `--on-soft-reset      when it starts another kernel by itself (kexec): ${RESET_ACTIONS[0]} lets it go on in its memory`,
    `--vif                a network interface (repeatable): ${VIF_USAGE}`,
    `--vbd                a disk (repeatable): ${VBD_USAGE}; \`help vbd\` has the kinds`,
    "--noxs, --xenbus     how it is told of its devices; if not given: Linux by the store, PVHv1 guests and",
    "                     others with devices by their device page",
    "A restarted domain is made again as it was made, with its UUID and a new id.",
    "The new id is printed on a line of its own, behind one a second on its progress if it takes longer.",
  ],
  async run(words, context) {
    const { values, switches, lists } = parseOptions(words, OPTIONS);
    if (switches.has("paused") && switches.has("wait")) {
      throw new CommandError("--wait would wait for ever: with --paused the domain does not run");
    }
    if (switches.has("noxs") && switches.has("xenbus"))
      throw new CommandError("--noxs and --xenbus exclude each other");
    const ramdisk = values.get("ramdisk");
    const progress = (done: number, total: number): void => {
      print(`creating: ${Math.floor(done / MIB)} of ${Math.ceil(total / MIB)} MiB\n`);
      flushConsole();
    };
    const domain = await context.domains.create(
      {
        kernel: moduleArgument("--kernel", values.get("kernel")!),
        ramdisk: ramdisk === undefined ? undefined : moduleArgument("--ramdisk", ramdisk),
        commandLine: values.get("cmdline") ?? "",
        memoryMib: parseMib("--memory", values.get("memory") ?? String(DEFAULT_MEMORY_MIB), 1, MAX_MEMORY_MIB),
        vcpus: parseCount("--vcpus", values.get("vcpus") ?? "1", 1, MAX_VCPUS),
        name: values.get("name"),
        policy: policyArgument(values),
        vifs: lists.get("vif")?.map((settings) => formatVif(parseVif("--vif", settings))),
        vbds: vbdArguments(lists.get("vbd")),
        model: switches.has("noxs") ? "noxs" : switches.has("xenbus") ? "xenbus" : undefined,
      },
      progress,
    );
    print(`${domain.id}\n`);
    // What the guest prints through the hypervisor comes behind its id.
    flushConsole();
    if (switches.has("wait")) await waitForEnd(domain, context);
    else if (!switches.has("paused")) context.domains.unpause(domain);
  },
};

/** Runs the domain with its console shown until it ends or the user has seen enough. */
async function waitForEnd(domain: GuestDomain, context: CommandContext): Promise<void> {
  domain.waiters++;
  domain.console?.attach({ show: printBytes });
  const ending = new Promise<EndReason | null>((resolve) => {
    domain.onEnd(resolve);
    context.interruption.onRaise(() => resolve(null));
  });
  context.domains.unpause(domain);
  const reason = await ending;
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
  else await waitUntilGone(domain, context.domains);
  const line = `${domain} has ended: ${reason}${kept ? `; it is kept until \`destroy ${domain.id}\`` : ""}`;
  if (isFailure(reason)) throw new CommandError(line);
  print(`${line}\n`);
}
