/** The Linux guest of `npm start -- --guest linux`: its boot modules and how it is started. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { writeIfChanged } from "../build/task.ts";
import type { BootModule } from "../modules.ts";
import { dependencyOf, dependencyTree, preparePackages, unpackedPackage } from "../packages.ts";
import { fromRoot } from "../paths.ts";
import { makeInitramfs } from "./initramfs.ts";
import { packageFiles } from "./package-files.ts";

const FOLDER = fromRoot("build/linux");
/** It depends on the kernel that is current. */
const KERNEL_META = "linux-image-cloud-amd64";
const KERNEL = /^linux-image-\d.*-cloud-amd64$/;
const BUSYBOX = "busybox-static";

/** Names of its boot modules. */
const KERNEL_MODULE = "vmlinuz";
const RAMDISK_MODULE = "initrd";

const GUEST_MIB = 256;
const GUEST_VCPUS = 1;

/** What is typed at Typevisor's prompt for it. */
export const LINUX_COMMANDS =
  `create --kernel ${KERNEL_MODULE} --ramdisk ${RAMDISK_MODULE} --cmdline "console=hvc0" ` +
  `--vcpus ${GUEST_VCPUS} --memory ${GUEST_MIB} --name linux; console linux`;

/** Debian's kernel as it is, a bzImage; fetched first if need be. */
export function debianKernel(): string {
  preparePackages(KERNEL_META);
  const name = dependencyOf(KERNEL_META, KERNEL);
  if (name === undefined) throw new Error(`${KERNEL_META} depends on no kernel that apt knows`);
  const boot = path.join(unpackedPackage(name), "boot");
  const file = existsSync(boot) ? readdirSync(boot).find((entry) => entry.startsWith("vmlinuz-")) : undefined;
  if (file === undefined) throw new Error(`${name} has no boot/vmlinuz-*`);
  return path.join(boot, file);
}

/**
 * The initramfs, made anew when anything in it has changed.
 * @param packages Debian packages whose programs it is to have beside BusyBox
 */
export function debianInitramfs(packages: string[] = []): string {
  const busybox = path.join(unpackedPackage(BUSYBOX), "bin/busybox");
  if (!existsSync(busybox)) throw new Error(`${BUSYBOX} has no bin/busybox`);
  const tree = dependencyTree(packages);
  const more = packageFiles(
    { unpacked: unpackedPackage, dependencies: (name) => tree.get(name)?.filter((other) => tree.has(other)) ?? [] },
    packages,
  );
  const file = path.join(FOLDER, `${["initrd", ...packages].join("+")}.cpio`);
  writeIfChanged(file, makeInitramfs(readFileSync(busybox), more));
  return file;
}

/**
 * Kernel and initramfs as boot modules.
 * @param packages as for `debianInitramfs`
 */
export function linuxModules(packages: string[] = []): BootModule[] {
  return [
    { name: KERNEL_MODULE, file: debianKernel() },
    { name: RAMDISK_MODULE, file: debianInitramfs(packages) },
  ];
}
