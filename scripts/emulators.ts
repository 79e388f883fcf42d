/**
 * The machines Typevisor boots in, as command lines. The capabilities of each and the reason for each option were found by
 * experiment, and are in the comments.
 */
import { accessSync, constants, copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  bochsDisks,
  bochsNic,
  type Disk,
  type Forward,
  type IommuModel,
  type NicModel,
  qemuControlPorts,
  qemuDevices,
} from "./devices.ts";
import { makeIso } from "./iso.ts";
import { type BootModule, packModules } from "./modules.ts";
import { imageFile } from "./paths.ts";
import { type Purpose } from "./setup.ts";

export const MACHINE_KINDS = ["qemu-svm", "bochs-vmx", "qemu-kvm"] as const;
export type MachineKind = (typeof MACHINE_KINDS)[number];

/** How Typevisor gets into the machine: `qemu -kernel` (PVH), or GRUB on an ISO under BIOS or UEFI. */
export type BootPath = "kernel" | "iso-bios" | "iso-uefi";

export interface MachineOptions {
  kind: MachineKind;
  cpus: number;
  memoryMib: number;
  /** Words for Typevisor. */
  commandLine: string;
  modules: BootModule[];
  /** Default: "kernel" in QEMU, "iso-bios" in Bochs. */
  boot?: BootPath;
  /** Boot this ISO as it is instead of making one; commandLine and modules are then what it has inside. */
  iso?: string;
  /** Typevisor's image, by default build/typevisor.elf. */
  image?: string;
  /**
   * QEMU without KVM: time is the number of instructions executed, the same in every run. Not for long runs of Linux:
   * minutes of stress-ng ended with an upcall delivered a second time in its own entry code, with IF clear. What points to
   * QEMU (not proven): svm_helper.c leaves exception_index set behind an interrupt that VMRUN injects
   * (SVM_EVTINJ_TYPE_INTR), and where the count runs out before the next exit it could be delivered again.
   */
  icount?: boolean;
  /** Let the machine's reset restart it; otherwise a reset ends the emulator. Bochs always restarts. */
  allowReset?: boolean;
  /** QEMU's IOMMU; none if not given. */
  iommu?: IommuModel | null;
  /** The network card, in Bochs an e1000, on a network of the emulator's own; none if not given. */
  nic?: NicModel | null;
  /** Ports of this computer's that lead to guests' on that network. */
  forwards?: Forward[];
  /** QEMU's UNIX sockets of ports to domain 0's control service. */
  controlSockets?: string[];
  /** QEMU's disks, beside what is booted from. */
  disks?: Disk[];
  /** QEMU's or Bochs' CPU model, where a test wants another one. */
  cpuModel?: string;
  /** More of QEMU's command line: other cards and disks. */
  devices?: string[];
}

/** A program to start, with its console on its standard streams or, for Bochs, on a TCP connection that it opens. */
export interface EmulatorCommand {
  program: string;
  args: string[];
  console: "stdio" | "socket";
}

/** What is said about a machine when it starts. */
export const MACHINE_DESCRIPTIONS: Record<MachineKind, string> = {
  "qemu-svm": "QEMU, emulating AMD-V",
  "bochs-vmx": "Bochs, emulating VT-x",
  "qemu-kvm": "QEMU on KVM, with this computer's own virtualisation nested",
};

/** Debian packages that a machine needs. */
export function purposesFor(kind: MachineKind): Purpose[] {
  return kind === "bochs-vmx" ? ["bochs"] : ["qemu"];
}

/** True where /dev/kvm is usable and offers nested VMX or SVM. */
export function hasNestedKvm(): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  return ["kvm_intel", "kvm_amd"].some((module) => {
    const file = `/sys/module/${module}/parameters/nested`;
    return existsSync(file) && /^[Y1]/.test(readFileSync(file, "utf8"));
  });
}

/** The machine that "auto" stands for. */
export function bestMachine(): MachineKind {
  return hasNestedKvm() ? "qemu-kvm" : "qemu-svm";
}

function qemuAccelerator(options: MachineOptions): string[] {
  if (options.kind === "qemu-kvm") return ["-accel", "kvm", "-cpu", options.cpuModel ?? "host"];
  const thread = options.cpus > 1 && !options.icount ? ",thread=multi" : "";
  const icount = options.icount ? ["-icount", "shift=0,sleep=off"] : [];
  return ["-accel", `tcg${thread}`, "-cpu", options.cpuModel ?? "max", ...icount];
}

async function qemuBoot(options: MachineOptions, folder: string): Promise<string[]> {
  const boot = options.boot ?? "kernel";
  const image = options.image ?? imageFile;
  if (boot === "kernel" && options.iso === undefined) {
    const args = ["-kernel", image, "-append", options.commandLine];
    if (options.modules.length === 0) return args;
    const container = path.join(folder, "modules");
    writeFileSync(container, packModules(options.modules));
    return [...args, "-initrd", container];
  }
  const args = ["-cdrom", await isoFor(options, folder), "-boot", "d"];
  if (boot !== "iso-uefi") return args;
  const variables = path.join(folder, "uefi-variables.fd");
  copyFileSync("/usr/share/OVMF/OVMF_VARS.fd", variables);
  return [
    ...args,
    "-drive",
    "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd",
    "-drive",
    `if=pflash,format=raw,file=${variables}`,
  ];
}

async function isoFor(options: MachineOptions, folder: string): Promise<string> {
  if (options.iso !== undefined) return options.iso;
  const out = path.join(folder, "typevisor.iso");
  const { commandLine, modules, image } = options;
  const firmware = options.boot === "iso-uefi" ? "bios and uefi" : "bios";
  await makeIso({ out, commandLine, modules, image, firmware, menu: false });
  return out;
}

async function qemuCommand(options: MachineOptions, folder: string): Promise<EmulatorCommand> {
  const args = [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio"],
    ...["-M", "q35", "-m", String(options.memoryMib), "-smp", String(options.cpus)],
    ...(options.allowReset ? [] : ["-no-reboot"]),
    // The shim's last resort for leaving the emulator; distinguishes a panic from a power-off.
    ...["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    ...qemuAccelerator(options),
    ...qemuDevices(options.nic ?? null, options.forwards ?? [], options.disks ?? [], options.iommu),
    ...qemuControlPorts(options.controlSockets ?? [], options.iommu),
    ...(options.devices ?? []),
    ...(await qemuBoot(options, folder)),
  ];
  return { program: "qemu-system-x86_64", args, console: "stdio" };
}

/** @param port where Bochs finds the console's other end */
async function bochsCommand(options: MachineOptions, folder: string, port: number): Promise<EmulatorCommand> {
  const network = bochsNic(options.forwards ?? [], path.join(folder, "slirp"));
  writeFileSync(path.join(folder, "slirp"), network.text);
  const configuration = [
    "config_interface: textconfig",
    'display_library: rfb, options="timeout=0"',
    `cpu: model=${options.cpuModel ?? "tigerlake"}, count=${options.cpus}, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=0`,
    `memory: guest=${options.memoryMib}, host=${options.memoryMib}`,
    "romimage: file=/usr/share/bochs/BIOS-bochs-latest",
    "vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest",
    `ata0-master: type=cdrom, path=${await isoFor(options, folder)}, status=inserted`,
    ...bochsDisks(options.disks ?? []),
    "boot: cdrom",
    ...(options.nic ? network.lines : []),
    "clock: sync=none, time0=utc",
    `com1: enabled=1, mode=socket-client, dev=127.0.0.1:${port}`,
    // Its mixer thread overruns a buffer of its own on computers without a sound card.
    "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
    "log: /dev/null",
    "panic: action=fatal",
    "error: action=ignore",
    "info: action=ignore",
    "debug: action=ignore",
  ];
  const file = path.join(folder, "bochsrc");
  writeFileSync(file, `${configuration.join("\n")}\n`);
  // Debian's Bochs has its debugger built in, which waits for a command before the machine starts.
  const debuggerCommands = path.join(folder, "debugger");
  writeFileSync(debuggerCommands, "c\n");
  // An earlier run that was killed has left its disks locked.
  return { program: "bochs-bin", args: ["-q", "-unlock", "-f", file, "-rc", debuggerCommands], console: "socket" };
}

/**
 * The command that starts a machine.
 * @param folder for files of this run only
 * @param consolePort TCP port on the local host where a machine with `console: "socket"` connects to
 */
export async function emulatorCommand(
  options: MachineOptions,
  folder: string,
  consolePort: number,
): Promise<EmulatorCommand> {
  return options.kind === "bochs-vmx"
    ? await bochsCommand(options, folder, consolePort)
    : await qemuCommand(options, folder);
}
