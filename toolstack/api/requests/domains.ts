/** Requests about domains: from create to destroy, and what they are asked in between. */
import * as v from "valibot";
import {
  choiceOption,
  countOption,
  countWord,
  listOption,
  mibOption,
  mibWord,
  naming,
  option,
  requiredOption,
  switchOption,
  optionalWord,
  optionalWords,
  word,
  words,
} from "../argument.ts";
import { VBD_USAGE, VIF_USAGE } from "../devices/usage.ts";
import { DEFAULT_POLICY, END_ACTIONS, RESET_ACTIONS } from "../policy.ts";
import { defineRequest } from "../request.ts";
import { uptimeText } from "../uptime.ts";
import { DEFAULT_WEIGHT, MAX_WEIGHT } from "./scheduling.ts";

/** libxl's default, MiB. */
export const DEFAULT_MEMORY_MIB = 32;
const MAX_MEMORY_MIB = 1024 * 1024;
/** VCPUs whose APIC ids fit into xAPIC's eight bits, and what the hypervisor makes. */
const MAX_VCPUS = 64;
/** The longest name, bytes of UTF-8. */
export const NAME_BYTES = 64;
/** How long the end of a domain is waited for, seconds. */
export const DEFAULT_TIMEOUT_S = 60;
const MAX_TIMEOUT_S = 86_400;

const domainId = () => naming("domain", word("ID", ""));
const domainIds = () => naming("domain", words("ID", ""));

const listRow = v.object({
  name: v.string(),
  id: v.pipe(v.number(), v.integer()),
  memoryMib: v.pipe(v.number(), v.integer()),
  vcpus: v.pipe(v.number(), v.integer()),
  /** Letters as `xl list` has them. */
  state: v.string(),
  cpuSeconds: v.number(),
});

function* listLines(rows: readonly v.InferOutput<typeof listRow>[]): Generator<string> {
  yield "Name                   ID    Mem VCPUs   State    Time(s)";
  for (const { name, id, memoryMib, vcpus, state, cpuSeconds } of rows) {
    yield (
      `${name.padEnd(20)} ${String(id).padStart(4)} ${String(memoryMib).padStart(6)} ` +
      `${String(vcpus).padStart(5)}   ${state} ${cpuSeconds.toFixed(1).padStart(9)}`
    );
  }
}

export const listRequest = defineRequest({
  name: "list",
  summary: "list the domains",
  details: [
    "Mem in MiB; Time(s): CPU time used; State: r running, b blocked, p paused, s shut down, behind it why (- poweroff,",
    "r reboot, s suspend, c crash, w watchdog, S soft reset), d dying.",
  ],
  arguments: {},
  result: v.array(listRow),
  lines: listLines,
});

/** What a domain is made of, but for its name and UUID. */
const making = {
  kernel: naming("kernel", requiredOption("NAME", "")),
  ramdisk: naming("kernel", option("NAME", "")),
  cmdline: option("STR", ""),
  memory: mibOption("SIZE", "", 1, MAX_MEMORY_MIB),
  vcpus: countOption("N", "", 1, MAX_VCPUS),
  maxVcpus: countOption("N", "", 1, MAX_VCPUS),
  weight: countOption("W", "", 1, MAX_WEIGHT),
  cpus: listOption("[VCPU=]CPUS", ""),
  cpusSoft: listOption("[VCPU=]CPUS", ""),
  onPoweroff: choiceOption("ACTION", "", END_ACTIONS),
  onReboot: choiceOption("ACTION", "", END_ACTIONS),
  onCrash: choiceOption("ACTION", "", END_ACTIONS),
  onSoftReset: choiceOption("ACTION", "", RESET_ACTIONS),
  vif: listOption("SETTINGS", ""),
  vbd: listOption("SETTINGS", ""),
  noxs: switchOption(""),
  xenbus: switchOption(""),
};

const created = v.object({ id: v.pipe(v.number(), v.integer()), name: v.string(), uuid: v.string() });

export const createRequest = defineRequest({
  name: "create",
  summary: "create a domain and print its id",
  details: [
    "--kernel, --ramdisk  boot modules or images; the kernel is a PVH or a PVHv1 image (ELF), or a Linux bzImage with a PVH one",
    "                     inside",
    `--memory             MiB, or with a unit, such as 2G; ${DEFAULT_MEMORY_MIB} if not given`,
    "--vcpus              those that the guest is asked to use; all that it has, or 1, if not given",
    "--max-vcpus          those that it has, --vcpus if not given; `vcpu-set` asks it to use more or less of them",
    `--weight             its share of the CPU, ${DEFAULT_WEIGHT} if not given: see \`help sched\``,
    "--cpus, --cpus-soft  CPUs that its vCPUs, or the vCPU with that number, may run on, and would rather: see `help vcpu-pin`",
    `--name               at most ${NAME_BYTES} bytes; the kernel's name if not given`,
    "--uuid               no other domain's; a new one if not given",
    "--paused             do not start it",
    `--on-poweroff, --on-reboot, --on-crash  what happens then: ${END_ACTIONS.join(", ")};`,
    `                     if not given: ${DEFAULT_POLICY.poweroff}, ${DEFAULT_POLICY.reboot}, ${DEFAULT_POLICY.crash}`,
    `--on-soft-reset      when it starts another kernel by itself (kexec): ${RESET_ACTIONS[0]} lets it go on in its memory`,
    `--vif                a network interface (repeatable): ${VIF_USAGE}`,
    `--vbd                a disk (repeatable): ${VBD_USAGE}; \`help vbd\` has the kinds`,
    "--noxs, --xenbus     how it is told of its devices; if not given: Linux by the store, PVHv1 guests and",
    "                     others with devices by their device page",
    "A restarted domain is made again as it was made, with its name, weight, CPUs and UUID of then, and a new id;",
    "`config-update` says how it is to be made.",
    "The new id is printed on a line of its own, behind one a second on its progress if it takes longer.",
  ],
  arguments: { ...making, name: option("STR", ""), uuid: option("UUID", ""), paused: switchOption("") },
  result: created,
  lines: ({ id }) => [String(id)],
  waits: { for: "the domain to be built", cancelled: "no domain is made" },
});

export const configUpdateRequest = defineRequest({
  name: "config-update",
  summary: "say how a domain is made when it is restarted",
  details: [
    "The options are those of `create`, and what is not given is as there: nothing of how it was made stays. The domain itself",
    "goes on as it is, what happens at its next end included. Its name (`rename`) and its UUID stay.",
  ],
  arguments: { id: domainId(), ...making },
});

export const renameRequest = defineRequest({
  name: "rename",
  summary: "give a domain another name",
  details: [`At most ${NAME_BYTES} bytes without blanks, no number, no other domain's.`],
  arguments: { id: domainId(), name: word("NEW-NAME", "") },
});

const uptimeRow = v.object({
  name: v.string(),
  id: v.pipe(v.number(), v.integer()),
  /** Whole seconds since it was made; null where that is not known. */
  seconds: v.nullable(v.pipe(v.number(), v.integer())),
});

function* uptimeLines(rows: readonly v.InferOutput<typeof uptimeRow>[]): Generator<string> {
  yield `${"Name".padEnd(33)} ${"ID".padStart(4)} Uptime`;
  for (const { name, id, seconds } of rows) {
    yield `${name.padEnd(33)} ${String(id).padStart(4)} ${seconds === null ? "-" : uptimeText(seconds)}`;
  }
}

export const uptimeRequest = defineRequest({
  name: "uptime",
  summary: "tell for how long domains have been there",
  details: ["A domain that was restarted is a new one. Domain 0's is the machine's."],
  arguments: { ids: naming("domain", optionalWords("ID", "")) },
  result: v.array(uptimeRow),
  lines: uptimeLines,
});

export const destroyRequest = defineRequest({
  name: "destroy",
  summary: "end domains at once and return their memory",
  waits: { for: "the memory of each, a second at most", cancelled: "those that were not begun with are still there" },
  arguments: { ids: domainIds() },
});

export const pauseRequest = defineRequest({
  name: "pause",
  summary: "stop domains' vCPUs",
  details: ["Pauses count: a domain paused twice is to be unpaused twice."],
  arguments: { ids: domainIds() },
});

export const unpauseRequest = defineRequest({
  name: "unpause",
  summary: "let paused domains run",
  arguments: { ids: domainIds() },
});

const WAITING_DETAILS = [
  `--timeout  how long to wait for it, ${DEFAULT_TIMEOUT_S} seconds if not given; Ctrl-C stops waiting`,
  "--no-wait  only ask",
  "What happens when the domain has ended is its --on-poweroff or --on-reboot to say: see `help create`.",
];

const END_WAITS = { for: "the domain's end, until --timeout", cancelled: "the domain was asked all the same" };

const waiting = { timeout: countOption("SECONDS", "", 1, MAX_TIMEOUT_S), noWait: switchOption("") };

export const shutdownRequest = defineRequest({
  name: "shutdown",
  summary: "ask a domain to shut down, and wait until it has",
  details: WAITING_DETAILS,
  waits: END_WAITS,
  arguments: { id: domainId(), ...waiting },
});

export const rebootRequest = defineRequest({
  name: "reboot",
  summary: "ask a domain to reboot; without ID: end all domains and restart the machine",
  details: WAITING_DETAILS,
  waits: END_WAITS,
  arguments: { id: naming("domain", optionalWord("ID", "")), ...waiting },
});

export const sysrqRequest = defineRequest({
  name: "sysrq",
  summary: "send a magic system request to a Linux guest",
  details: ["KEY is one letter or digit, such as h (help), s (sync), t (tasks), c (crash)."],
  arguments: { id: domainId(), key: word("KEY", "") },
});

export const triggerRequest = defineRequest({
  name: "trigger",
  summary: "wake a sleeping domain, or send it an NMI",
  details: [
    "s3resume  wakes a domain that sleeps (ACPI S3, Linux's `echo mem > /sys/power/state`)",
    "nmi       a non-maskable interrupt for vCPU VCPU, 0 if not given",
  ],
  arguments: { id: domainId(), trigger: word("TRIGGER", ""), vcpu: optionalWord("VCPU", "") },
});

export const vcpuSetRequest = defineRequest({
  name: "vcpu-set",
  summary: "ask a guest to use N of its vCPUs",
  arguments: { id: domainId(), vcpus: countWord("N", "", 1, MAX_VCPUS) },
});

export const memSetRequest = defineRequest({
  name: "mem-set",
  summary: "ask a guest's balloon driver for another memory size",
  details: [
    "SIZE is in MiB, or with a unit, such as 2G.",
    "At most what the domain was made with. It may not have more from then on, and gives back what it can.",
  ],
  arguments: { id: domainId(), memory: mibWord("SIZE", "", 1, MAX_MEMORY_MIB) },
});

export const memMaxRequest = defineRequest({
  name: "mem-max",
  summary: "set the most memory that a domain may own",
  details: [
    "SIZE is in MiB, or with a unit, such as 2G; no less than what it was asked to have (`mem-set`).",
    "The guest is not told. It may be more than the domain was made with, which `mem-set` still goes by. `mem-set` sets it anew.",
  ],
  arguments: { id: domainId(), memory: mibWord("SIZE", "", 1, MAX_MEMORY_MIB) },
});

/** Why a domain has ended; null: it goes on. */
const ended = v.object({ ended: v.nullable(v.string()) });

export const consoleRequest = defineRequest({
  name: "console",
  summary: "talk to a domain's console; Ctrl-] leaves",
  details: [
    "Output kept while nobody looked is shown first. Of the latest ended domains the last output can still be shown.",
    "--safe  without sequences that would reprogram the terminal: its title, the clipboard, reports, modes that stay;",
    "        colours and what draws on the screen are let through",
  ],
  arguments: { id: domainId(), safe: switchOption("") },
  stream: "console",
  result: ended,
  waits: { for: "the domain's end, or the client's", cancelled: "the console is free again" },
});

export const waitRequest = defineRequest({
  name: "wait",
  summary: "wait until a domain has ended, and say how",
  waits: { for: "the domain's end", cancelled: "it runs on" },
  arguments: { id: domainId() },
  result: v.object({ ended: v.string() }),
  lines: ({ ended: how }) => [how],
});

/** Tunnels of all clients at a time: each has one of the streams of domain 0's TCP, of which its clients need some themselves. */
export const TUNNELS_MOST = 32;

/** A tunnel to one TCP port of a guest; refused when nobody listens there. */
export const forwardRequest = defineRequest({
  name: "forward",
  summary: "connect to a TCP port of a domain, and pass bytes both ways",
  details: [
    "The address is one of the domain's vifs, as their settings say (ip=), on the default bridge and in domain 0's own network:",
    "domain 0 connects to nothing else.",
    `At most ${TUNNELS_MOST} connections at a time, of all clients.`,
  ],
  arguments: {
    id: domainId(),
    port: countWord("PORT", "0: only say whether there is such an address", 0, 65_535),
    address: option("IP", "which of the domain's addresses; the first one that domain 0 reaches if not given"),
  },
  stream: "tunnel",
  result: v.object({ address: v.string(), toGuest: v.number(), fromGuest: v.number() }),
});

export const logsRequest = defineRequest({
  name: "logs",
  summary: "show the latest output of a domain, or of one that has ended, that nobody has seen yet; it stays",
  details: [
    "--raw  as the guest has written it: otherwise text and colours, without what moves the cursor or sets the terminal",
  ],
  arguments: { id: domainId(), raw: switchOption("") },
  stream: "output",
  result: ended,
});
