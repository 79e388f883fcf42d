/**
 * `npm start`, and `npx typevisor` of the package: boots Typevisor and connects this terminal to its console; or runs commands
 * (`--exec`), or writes an ISO (`--iso`).
 */
import { statSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { orExplain, progress } from "./build/task.ts";
import {
  bestMachine,
  MACHINE_DESCRIPTIONS,
  MACHINE_KINDS,
  type MachineKind,
  type MachineOptions,
  purposesFor,
} from "./emulators.ts";
import { DEFAULT_DISK, takeDefaultDisk } from "./default-disk.ts";
import {
  checkForwards,
  checkNic,
  type Disk,
  freePorts,
  type Forward,
  IOMMU_MODELS,
  type IommuModel,
  NETWORK,
  NIC_MODELS,
  type NicModel,
  openDisk,
  parseDisk,
  parseForward,
} from "./devices.ts";
import { CARRIERS, type Carrier, keyModule, prepareControl, prepareSerialControl, type Reached } from "./control.ts";
import { commandsWord, ExecOutput, type Execution, execution, waitForOutcome } from "./exec.ts";
import { makeIso } from "./iso.ts";
import { type Has, linuxCommands, linuxModules } from "./linux/guest.ts";
import { AwaitError, Machine, PROMPT } from "./machine.ts";
import { type BootModule, parseModule, withOwnGuests } from "./modules.ts";
import { inClone, shownName } from "./paths.ts";
import { installPackages, type Purpose } from "./setup.ts";
import { KEYS_HELP, reportSize, sendInput, showOutput, terminalWord } from "./terminal.ts";

interface RunOptions {
  terminal: "raw" | "safe";
  machine: MachineKind | "auto";
  cpus: number;
  memory?: number;
  guest: string;
  module?: BootModule[];
  exec?: string;
  timeout?: number;
  iso?: string;
  nic?: NicModel | "none";
  iommu?: IommuModel | "none";
  forward?: Forward[];
  disk?: ({ file: string; bytes?: number } | null)[];
  control?: Carrier | "none";
  name?: string;
  key?: string;
}

/** Unikernels with a network, what connects this computer to them, and from which port on one of its own is looked for. */
const SERVERS = [
  {
    name: "web",
    options: "--vbd target=module:site,vdev=xvda --memory 8",
    address: "10.0.2.10",
    port: 80,
    from: 8080,
    how: "curl http://127.0.0.1:PORT/",
  },
  { name: "daytime", options: "--memory 4", address: "10.0.2.11", port: 13, from: 1313, how: "nc 127.0.0.1 PORT" },
] as const;

/** Commands that start those of them that are built, and say how they are reached; and the forwarded ports. */
async function startServers(modules: BootModule[]): Promise<{ commands: string; forwards: Forward[] }> {
  const commands: string[] = [];
  const forwards: Forward[] = [];
  const words: string[] = [];
  for (const { name, options, address, port, from, how } of SERVERS) {
    if (!modules.some((module) => module.name === name)) continue;
    const [hostPort] = (await freePorts(1, from)) as [number];
    forwards.push({ protocol: "tcp", hostPort, address, port });
    commands.push(`create --kernel ${name} ${options} --name ${name} --vif ip=${address}`);
    words.push(`echo 'On this computer: ${how.replace("PORT", String(hostPort))}'`);
  }
  return { commands: [...commands, ...words].join("; "), forwards };
}

/** What can be run first: the commands for it, and boot modules besides our own guests. */
const GUESTS: Record<string, { commands: (has: Has) => string; modules: () => BootModule[] }> = {
  hello: { commands: () => "create --kernel hello --wait", modules: () => [] },
  linux: { commands: linuxCommands, modules: linuxModules },
};

/** Memory of the machine, MiB, and by how much more it has for boot modules that are given to it. */
const DEFAULT_MEMORY = 512;
const MEMORY_STEP = 64;
const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

function memoryFor(modules: BootModule[]): number {
  const bytes = modules.reduce((sum, { file }) => sum + statSync(file).size, 0);
  return DEFAULT_MEMORY + Math.ceil(bytes / MIB / MEMORY_STEP) * MEMORY_STEP;
}

/** Characters of the latest output that are kept, for errors and for what is waited for. */
const KEEP_CHARACTERS = 256 * 1024;

/** The longest time a Node timer takes. */
const FOR_EVER_MS = 2 ** 31 - 1;

function positiveInteger(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError("expected a positive whole number.");
  return Number(text);
}

/** MiB, or with a unit: "512", "512M", "2G". */
function memorySize(text: string): number {
  const [, number, unit] = /^([1-9][0-9]{0,8})([MG]?)$/i.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError("expected a positive whole number, of MiB or with M or G.");
  return Number(number) * (unit!.toUpperCase() === "G" ? 1024 : 1);
}

function positiveSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds < 1e6)) throw new InvalidArgumentError("expected a number of seconds above 0.");
  return seconds;
}

/** Collects the values of a repeatable option that `parse` reads; what it throws is shown. */
function collecting<T>(parse: (text: string) => T): (text: string, before?: T[]) => T[] {
  return (text, before = []) => {
    try {
      return [...before, parse(text)];
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function parseOptions(): RunOptions {
  const program = new Command(inClone ? "npm start --" : "typevisor")
    .description("Boots Typevisor, a Xen-compatible hypervisor, and connects this terminal to its console.")
    .addOption(
      new Option(
        "--machine <kind>",
        "where to boot; auto: qemu-kvm where /dev/kvm offers nested VMX or SVM, else qemu-svm",
      )
        .choices(["auto", ...MACHINE_KINDS])
        .default("auto"),
    )
    .option("--cpus <n>", "processors of the machine", positiveInteger, 1)
    .option(
      "--memory <size>",
      "memory of the machine, in MiB or such as 2G (default: 512M and boot modules)",
      memorySize,
    )
    .addOption(
      new Option("--guest <name>", "what runs first; linux: Debian's kernel with BusyBox, fetched from its packages")
        .choices(Object.keys(GUESTS))
        .default("hello"),
    )
    .option("--module <name=file>", "hand a file to Typevisor as a boot module (repeatable)", collecting(parseModule))
    .option("--exec <commands>", "run console commands, separated by ';', print what they print, power off")
    .option("--timeout <seconds>", "give up after this time, say what was awaited, exit with status 1", positiveSeconds)
    .addOption(
      new Option(
        "--nic <model>",
        "network card; default in QEMU: virtio-net, in Bochs, which has e1000 only: none",
      ).choices([...NIC_MODELS, "none"]),
    )
    .addOption(
      new Option("--iommu <model>", "IOMMU of the machine, in QEMU, which confines its devices; default: none").choices(
        [...IOMMU_MODELS, "none"],
      ),
    )
    .option(
      "--forward <rule>",
      `tcp|udp:HOSTPORT:ADDRESS:PORT: connect a port of this computer's (127.0.0.1) to a guest's on ${NETWORK.net} (repeatable)`,
      collecting(parseForward),
    )
    .option(
      "--disk <file[:size]>",
      "a disk; with a size, such as 4G, it is made when it is absent (repeatable); none: no disk. Without it the machine has " +
        `a disk of ${DEFAULT_DISK.bytes / GIB} GiB, ${shownName(DEFAULT_DISK.file)}, made and formatted when it is ` +
        "new; --exec and --iso use disks given only",
      collecting((text) => (text === "none" ? null : parseDisk(text))),
    )
    .addOption(
      new Option(
        "--control <way>",
        "how `chaos` and `xl` reach the machine; default: network, where it has a card, virtio-console in QEMU without one",
      ).choices([...CARRIERS, "none"]),
    )
    .addOption(
      new Option(
        "--terminal <how>",
        "guests' output on this console: as it is, or without what would reprogram the terminal",
      )
        .choices(["raw", "safe"])
        .default("raw"),
    )
    .option("--name <name>", "what `chaos` and `xl` call this machine (default: typevisor, or with a number behind it)")
    .option("--key <file>", "with --iso: the key that `chaos` and `xl` will have (`chaos key FILE` makes one)")
    .option("--iso <file>", "write a bootable GRUB ISO (BIOS and UEFI) instead of booting")
    .allowExcessArguments(false)
    .addHelpText("after", `\n${KEYS_HELP}; the command \`poweroff\` switches it off.`)
    .parse();
  return program.opts<RunOptions>();
}

/** Starts the machine, and makes sure that it ends when this process is terminated. */
async function startMachine(options: MachineOptions): Promise<Machine> {
  const machine = await Machine.start(options, KEEP_CHARACTERS);
  for (const [signal, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
    ["SIGHUP", 1],
  ] as const) {
    process.once(signal, () => void machine.stop().then(() => process.exit(128 + number)));
  }
  // The machine's output is no longer read (`npm start | head`).
  process.stdout.once("error", () => void machine.stop().then(() => process.exit(1)));
  return machine;
}

/** Runs the commands of --exec. Returns this process's exit status. */
async function runCommands(options: MachineOptions, { id }: Execution, timeoutMs: number): Promise<number> {
  const machine = await startMachine(options);
  let taken = true;
  const output = new ExecOutput((text) => {
    taken = process.stdout.write(text);
  }, id);
  showOutput(machine, process.stdout, (text) => {
    taken = true;
    output.push(text);
    return taken;
  });
  try {
    const outcome = await waitForOutcome(machine, id, timeoutMs);
    output.finish();
    if (outcome.panicked) progress("Typevisor panicked: see its output above");
    if (outcome.failed > 0) progress(`${outcome.failed} of ${outcome.ok + outcome.failed} commands failed`);
    if (!outcome.poweredOff && !outcome.panicked) progress("the machine did not power off and was stopped");
    return outcome.failed === 0 && !outcome.panicked && outcome.poweredOff ? 0 : 1;
  } catch (error) {
    if (!(error instanceof AwaitError)) throw error;
    output.finish();
    await machine.stop();
    progress(`--exec: ${error.message}`);
    return 1;
  }
}

/** Connects this terminal to the machine's console until one of them ends. Returns this process's exit status. */
async function runInteractively(
  options: MachineOptions,
  timeoutMs: number | undefined,
  control: Reached | null,
): Promise<number> {
  const machine = await startMachine(options);
  control?.record();
  showOutput(machine, process.stdout);

  const terminal = process.stdin;
  if (terminal.isTTY) terminal.setRawMode(true);
  const restore = () => {
    if (terminal.isTTY) terminal.setRawMode(false);
  };
  process.once("exit", restore);
  const disconnect = sendInput(machine, terminal, () => void machine.stop());
  const resized = () => reportSize(machine, process.stdout);
  process.stdout.on("resize", resized);

  try {
    // The demo guest's command is shown behind a prompt of its own: ours is the one where nothing follows.
    if (timeoutMs !== undefined) await machine.waitFor(new RegExp(`${PROMPT}$`), timeoutMs, "Typevisor's prompt");
    await machine.waitForEnd(FOR_EVER_MS);
    if (machine.stopped) return 130;
    if (machine.endedWell()) return 0;
    progress(`${machine.describeEnd()}${machine.output === "" ? machine.tail() : ""}`);
    return 1;
  } catch (error) {
    if (!(error instanceof AwaitError)) throw error;
    await machine.stop();
    progress(error.message);
    return 1;
  } finally {
    restore();
    disconnect();
    process.stdout.off("resize", resized);
    process.stdout.write("\n");
  }
}

/** The disks, and whether the first is `npm start`'s own, and blank. */
function disksOf({ disk, exec, iso }: RunOptions): { disks: Disk[]; own: boolean; blank: boolean } {
  if (disk !== undefined) {
    const given = disk.filter((one) => one !== null);
    if (given.length > 0 && given.length < disk.length) throw new Error("--disk none: there are other disks");
    return { disks: given.map(openDisk), own: false, blank: false };
  }
  if (exec !== undefined || iso !== undefined) return { disks: [], own: false, blank: false };
  const taken = takeDefaultDisk();
  if (typeof taken === "number") {
    progress(`${shownName(DEFAULT_DISK.file)} is in use by process ${taken}: this machine has no disk`);
    return { disks: [], own: false, blank: false };
  }
  return { disks: [taken.disk], own: true, blank: taken.blank };
}

/** The IOMMU, the card and forwarded ports, checked. */
async function devicesOf(
  { nic, iommu = "none", forward = [] }: RunOptions,
  kind: MachineKind,
): Promise<Pick<MachineOptions, "nic" | "iommu" | "forwards">> {
  const bochs = kind === "bochs-vmx";
  if (bochs && iommu !== "none") throw new Error("--iommu is for QEMU: Bochs emulates none");
  const model = nic ?? (bochs ? "none" : "virtio-net");
  const card = model === "none" ? null : model;
  checkNic(bochs, card, forward);
  await checkForwards(forward);
  return { nic: card, iommu: iommu === "none" ? null : iommu, forwards: forward };
}

/** What carries the control connection; null: nothing. What is started here for people can be reached from other terminals. */
function carrierOf({ control, exec, iso }: RunOptions, kind: MachineKind, hasCard: boolean): Carrier | null {
  const forPeople = exec === undefined && iso === undefined;
  if (control === undefined) {
    if (!forPeople) return null;
    return hasCard ? "network" : kind === "bochs-vmx" ? null : "virtio-console";
  }
  if (control === "none") return null;
  if (!forPeople) throw new Error("--control is for a machine with a prompt: not with --exec or --iso");
  if (control === "network" && !hasCard) throw new Error("--control network: the machine has no network card");
  if (control === "virtio-console" && kind === "bochs-vmx") {
    throw new Error("--control virtio-console: Bochs has no virtio devices");
  }
  return control;
}

async function main(build?: () => Promise<void>): Promise<number> {
  const options = parseOptions();
  const kind = options.machine === "auto" ? bestMachine() : options.machine;
  const needed: Purpose[] = options.iso === undefined ? purposesFor(kind) : ["iso"];
  installPackages(build === undefined ? needed : ["build", ...needed]);
  if (build !== undefined) await orExplain(build);

  const devices = await devicesOf(options, kind);
  const guest = GUESTS[options.guest]!;
  // Interactively, the guest's commands are run before the prompt appears.
  const given = [...guest.modules(), ...(options.module ?? [])];
  if (options.key !== undefined && options.iso === undefined)
    throw new Error("--key is for --iso: a machine that is started here has a key of its own");
  const carrier = carrierOf(options, kind, devices.nic !== null);
  const network = carrier === "network" ? await prepareControl(options.name) : null;
  const serial = carrier === "virtio-console" ? prepareSerialControl(options.name) : null;
  const control: Reached | null = network ?? serial;
  if (network !== null) devices.forwards = [...(devices.forwards ?? []), network.forward];
  const modules = withOwnGuests([
    ...given,
    ...(control?.modules ?? []),
    ...(options.key === undefined ? [] : [keyModule(options.key)]),
  ]);
  const { disks, own, blank } = disksOf(options);
  const first = [blank ? "volume format 0" : "", guest.commands({ network: devices.nic !== null, disk: own })];
  const forPeople = options.guest === "hello" && options.exec === undefined && options.iso === undefined;
  if (forPeople && devices.nic !== null) {
    const servers = await startServers(modules);
    first.push(servers.commands);
    devices.forwards = [...(devices.forwards ?? []), ...servers.forwards];
  }
  if (control !== null && forPeople) first.push(`echo 'In another terminal: ${control.how}'`);
  const exec = options.exec === undefined ? null : execution(options.exec);
  const commandLine =
    exec !== null ? exec.words : commandsWord("start", first.filter((command) => command !== "").join("; "), "--guest");
  if (options.iso !== undefined) {
    const out = options.iso;
    // A machine with a key is to be reached.
    const words = options.key === undefined ? commandLine : `${commandLine} control=dhcp`;
    await orExplain(() => makeIso({ out, commandLine: words, modules, firmware: "bios and uefi", menu: true }));
    progress(`wrote ${out}`);
    return 0;
  }

  const machineOptions: MachineOptions = {
    kind,
    cpus: options.cpus,
    memoryMib: options.memory ?? memoryFor(given),
    commandLine: [
      commandLine,
      ...(network === null ? [] : [network.word]),
      ...terminalWord(options.exec === undefined ? process.stdout : {}, options.terminal === "safe"),
    ].join(" "),
    modules,
    ...devices,
    controlSockets: serial?.sockets,
    disks,
    allowReset: options.exec === undefined,
  };
  const timeoutMs = options.timeout === undefined ? undefined : options.timeout * 1000;
  progress(`booting in ${MACHINE_DESCRIPTIONS[kind]}${options.exec === undefined ? `; ${KEYS_HELP}` : ""}`);
  return exec !== null
    ? await runCommands(machineOptions, exec, timeoutMs ?? FOR_EVER_MS)
    : await runInteractively(machineOptions, timeoutMs, control);
}

/**
 * The whole command, to its exit status.
 * @param build brings the images up to date; without it they are as they are
 */
export async function startTypevisor(build?: () => Promise<void>): Promise<void> {
  try {
    process.exitCode = await main(build);
  } catch (error) {
    progress((error as Error).message);
    process.exitCode = 1;
  }
}
