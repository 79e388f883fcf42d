/** The Linux guest of `npm start -- --guest linux`: its boot modules and how it is started. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { writeIfChanged } from "../build/task.ts";
import type { BootModule } from "../modules.ts";
import { keptFolder } from "../paths.ts";
import type { CpioEntry } from "./cpio.ts";
import { makeInitramfs } from "./initramfs.ts";
import { busybox, debianFiles } from "./debian-files.ts";
import { debianKernel } from "./kernel.ts";
import type { PackageChoice } from "./package-files.ts";

const FOLDER = path.join(keptFolder, "linux");

/** Names of its boot modules. */
export const KERNEL_MODULE = "vmlinuz";
export const RAMDISK_MODULE = "initrd";

/** How it is made; the benchmark makes the same on Xen. */
export const LINUX_GUEST = { commandLine: "console=hvc0", memoryMib: 256, vcpus: 1 };
/** What its shell says when it can be typed at. */
export const LINUX_PROMPT = "linux:/root# ";

/** What the machine has for the first guest: a card, and a disk with a store for volumes. */
export interface Has {
  network: boolean;
  disk: boolean;
}

/** Its disk: a volume that it keeps from session to session. */
const VOLUME = "linux";
const VOLUME_SIZE = "1G";

/** What is typed at Typevisor's prompt for it. */
export function linuxCommands({ network, disk }: Has): string {
  const create = [
    `create --kernel ${KERNEL_MODULE} --ramdisk ${RAMDISK_MODULE} --cmdline "${LINUX_GUEST.commandLine}"`,
    `--vcpus ${LINUX_GUEST.vcpus} --memory ${LINUX_GUEST.memoryMib} --name linux`,
    ...(network ? ["--vif bridge=xenbr0"] : []),
    ...(disk ? [`--vbd target=${VOLUME},vdev=xvda`] : []),
  ];
  const volume = disk ? [`volume create ${VOLUME} ${VOLUME_SIZE} --if-absent`] : [];
  return [...volume, create.join(" "), "console linux"].join("; ");
}

/** Xen's frontends, which are modules of Debian's kernel: /init loads what is in this folder. */
function frontends(): CpioEntry[] {
  const { modules } = debianKernel("cloud-amd64");
  return ["drivers/net/xen-netfront.ko", "drivers/block/xen-blkfront.ko"].map((name) => ({
    kind: "file",
    path: `usr/lib/modules/${path.basename(name)}`,
    mode: 0o644,
    data: readFileSync(path.join(modules, name)),
  }));
}

/** What tells a choice from others in the name of an archive. */
function label(choice: PackageChoice): string {
  if (typeof choice === "string") return choice;
  return `${choice.name}-${createHash("sha256").update(choice.files.source).digest("hex").slice(0, 8)}`;
}

/** Files of an initramfs that are of no package; a name for them, which becomes a part of the archive's. */
export interface OwnFiles {
  name: string;
  files: CpioEntry[];
}

/**
 * The initramfs, rebuilt when anything in it has changed.
 * @param packages Debian packages whose programs it is to have beside BusyBox
 * @param own files beside them, which go before files of ours of the same path
 */
export function debianInitramfs(packages: PackageChoice[] = [], own?: OwnFiles): string {
  const names = ["initrd", ...packages.map(label), ...(own === undefined ? [] : [own.name])];
  const file = path.join(FOLDER, `${names.join("+")}.cpio`);
  writeIfChanged(file, makeInitramfs(busybox(), [...debianFiles(packages), ...frontends(), ...(own?.files ?? [])]));
  return file;
}

/**
 * Kernel and initramfs as boot modules.
 * @param packages as for `debianInitramfs`
 */
export function linuxModules(packages: PackageChoice[] = []): BootModule[] {
  return [
    { name: KERNEL_MODULE, file: debianKernel("cloud-amd64").image },
    { name: RAMDISK_MODULE, file: debianInitramfs(packages) },
  ];
}
