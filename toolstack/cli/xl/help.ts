/** `xl help`, and `xl COMMAND -h`, in xl's form. */

export interface Help {
  /** Behind the command's name. */
  usage: string;
  summary: string;
  options?: readonly (readonly [option: string, what: string])[];
  /** It changes something: xl's -f is for it. */
  modifies?: boolean;
  /** It can tell what it would do: -N. */
  dryRun?: boolean;
}

const MEMORY = "<Domain> <MemMB['b'[bytes]|'k'[KB]|'m'[MB]|'g'[GB]|'t'[TB]]>";
const WAITS = (end: string) =>
  [
    ["-a, --all", "all guests"],
    ["-F", "of HVM guests: without effect"],
    ["-w, --wait", `wait until they have ${end}`],
  ] as const;
const DEFCONFIG = ["-f FILE, --defconfig=FILE", "the configuration file"] as const;

export const HELP = {
  create: {
    usage: "<ConfigFile> [options] [vars]",
    summary: "Make a domain of an xl.cfg file and of settings KEY=VALUE",
    options: [
      ["-p", "leave it paused"],
      ["-c", "connect to its console"],
      DEFCONFIG,
      ["-q, --quiet", "do not say which file is read"],
      ["-n, --dryrun", "only show what it would be, as JSON; as xl -N does"],
      ["-d", "show what it is to be, as JSON, on standard error"],
      ["-e, -F", "without effect: no process waits for a domain's end here"],
      ["-i, --ignore-global-affinity-masks", "without effect: there are none"],
    ],
    modifies: true,
    dryRun: true,
  },
  "config-update": {
    usage: "<Domain> <ConfigFile> [options] [vars]",
    summary: "Say how a domain is made when it is restarted; its name and its UUID stay",
    options: [DEFCONFIG, ["-d", "show what it is to be, as JSON"], ["-q", "without effect"]],
    modifies: true,
    dryRun: true,
  },
  list: {
    usage: "[options] [Domain]",
    summary: "List all domains, or one",
    options: [
      ["-l, --long", "how they were made, as JSON"],
      ["-v, --verbose", "UUIDs, why they are shut down, and security labels too"],
      ["-Z, --context", "security labels, which there are none of"],
      ["-c, --cpupool", "pools of CPUs: there is one"],
      ["-n, --numa", "nodes that they may run on: there is one"],
    ],
  },
  destroy: {
    usage: "[options] <Domain>",
    summary: "End a domain at once",
    options: [["-f", "also domain 0, which is refused here"]],
    modifies: true,
  },
  shutdown: {
    usage: "[options] <-a|Domain>",
    summary: "Ask a domain to shut down",
    options: WAITS("ended"),
    modifies: true,
  },
  reboot: {
    usage: "[options] <-a|Domain>",
    summary: "Ask a domain to reboot",
    options: WAITS("rebooted"),
    modifies: true,
  },
  pause: { usage: "<Domain>", summary: "Stop a domain's vCPUs", modifies: true },
  unpause: { usage: "<Domain>", summary: "Let a paused domain run", modifies: true },
  console: {
    usage: "[options] <Domain>",
    summary: "Talk to a domain's console; Ctrl-] leaves",
    options: [["-t <type>, -n <number>", "pv and 0, the only console that there is"]],
  },
  "mem-max": { usage: MEMORY, summary: "Set the most memory that a domain may own", modifies: true },
  "mem-set": { usage: MEMORY, summary: "Ask a domain to have another amount of memory", modifies: true },
  "vcpu-list": { usage: "[Domain, ...]", summary: "List the vCPUs of all domains, or of some" },
  "vcpu-pin": {
    usage: "[option] <Domain> <VCPU|all> <Hard affinity|-|all> <Soft affinity|-|all>",
    summary: "Say on which CPUs a vCPU may run, and would rather",
    options: [["-f, --force", "without effect: no kernel pins a vCPU here"]],
    modifies: true,
    dryRun: true,
  },
  "vcpu-set": {
    usage: "[option] <Domain> <vCPUs>",
    summary: "Ask a domain to use so many of its vCPUs",
    options: [["-i, --ignore-host", "also more than Typevisor uses CPUs"]],
    modifies: true,
  },
  info: {
    usage: "[<Name>]",
    summary: "Show facts of the machine and of Typevisor, or the one with that name",
    options: [["-n, --numa", "the nodes too"]],
  },
  top: {
    usage: "[options]",
    summary: "Show what domains use, again and again",
    options: [
      ["-d, --delay=SECONDS", "between updates (3)"],
      ["-i, --iterations=N", "end after so many"],
      ["-b, --batch", "one table below the other, also on a terminal"],
      ["-f, --full-name", "whole names"],
    ],
  },
  "sched-credit2": {
    usage: "[-d <Domain> [-w[=WEIGHT]]] [-p CPUPOOL]",
    summary: "Show domains' shares of the CPU, or change one's",
    options: [
      ["-d DOMAIN, --domain=DOMAIN", "the domain"],
      ["-w WEIGHT, --weight=WEIGHT", "its weight, 1 to 65535"],
      ["-c CAP, --cap=CAP", "0 only: there are no caps"],
      ["-s, --schedparam", "the scheduler's own parameter"],
      ["-r RLIMIT, --ratelimit_us=RLIMIT", "to set it, which is refused: it is fixed"],
      ["-p CPUPOOL, --cpupool=CPUPOOL", "of this pool: Pool-0 only"],
    ],
    modifies: true,
  },
  domid: { usage: "<DomainName>", summary: "Tell a domain's id" },
  domname: { usage: "<DomainId>", summary: "Tell a domain's name" },
  rename: { usage: "<Domain> <NewDomainName>", summary: "Give a domain another name", modifies: true },
  trigger: {
    usage: "<Domain> <nmi|reset|init|power|sleep|s3resume> [<VCPU>]",
    summary: "Send a domain an NMI, or wake it (s3resume); the others are refused",
    modifies: true,
  },
  sysrq: { usage: "<Domain> <letter>", summary: "Send a magic system request to Linux", modifies: true },
  "debug-keys": { usage: "<Keys>", summary: "Let the hypervisor report on itself, in its log", modifies: true },
  dmesg: {
    usage: "[-c]",
    summary: "Show the hypervisor's log",
    options: [["-c, --clear", "and empty it"]],
  },
  "network-attach": {
    usage: "<Domain> [mac=<mac>] [bridge=<bridge>] [ip=<ip>] [rate=<rate>] [model=<model>]",
    summary: "Give a domain a network interface",
    modifies: true,
    dryRun: true,
  },
  "network-list": { usage: "<Domain(s)>", summary: "List domains' network interfaces" },
  "network-detach": {
    usage: "<Domain> <DevId|mac>",
    summary: "Take a network interface from a domain",
    modifies: true,
  },
  "block-attach": {
    usage: "<Domain> <disk-spec-component(s)>...",
    summary: "Give a domain a disk",
    modifies: true,
    dryRun: true,
  },
  "block-list": { usage: "<Domain(s)>", summary: "List domains' disks" },
  "block-detach": { usage: "<Domain> <DevId>", summary: "Take a disk from a domain", modifies: true },
  uptime: {
    usage: "[-s] [Domain]",
    summary: "Tell for how long all domains, or some, have been there",
    options: [["-s", "in one line each, with the time of day"]],
  },
  help: { usage: "[<Command>]", summary: "List the commands, or explain one" },
} satisfies Record<string, Help>;

export type XlCommandName = keyof typeof HELP;

const OPTION_COLUMN = 24;

/** What `xl help COMMAND` shows. */
export function commandHelp(name: XlCommandName): string {
  const { usage, summary, options = [], modifies, dryRun }: Help = HELP[name];
  const lines = options.map(([option, what]) =>
    option.length < OPTION_COLUMN
      ? `${option.padEnd(OPTION_COLUMN)}${what}`
      : `${option}\n${" ".repeat(OPTION_COLUMN)}${what}`,
  );
  const flags = `v${modifies ? "f" : ""}${dryRun ? "N" : ""}`;
  const more = lines.length === 0 ? "" : `Options:\n\n${lines.join("\n")}\n`;
  return `Usage: xl [-${flags}] ${name} ${usage}\n\n${summary}.\n\n${more}`;
}

/** A command's name and usage in a line, then one for each option: what completion goes by. Nothing of another word. */
export function usageOf(name: string): string {
  if (!Object.hasOwn(HELP, name)) return "";
  const { usage, options = [] }: Help = HELP[name as XlCommandName];
  return [`${name} ${usage}`, ...options.map(([option, what]) => `${option}  ${what}`)].join("\n");
}

/** What `xl help` shows. */
export function commandList(): string {
  const rows = Object.entries<Help>(HELP).map(([name, { summary }]) => ` ${name.padEnd(19)} ${summary}\n`);
  return (
    `Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n${rows.join("")}` +
    "\ndocs/xl.md says of each of xl 4.17's commands whether it is there, and why not.\n" +
    "For completion: source <(xl completion bash), or zsh, or fish.\n"
  );
}
