/**
 * The initramfs of Xen's Linux domain 0: BusyBox, Debian's Xen tools with the libraries they need, the kernel's Xen drivers,
 * the guests to be made, and what runs first.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { writeIfChanged } from "../../build/task.ts";
import type { CpioEntry } from "../../linux/cpio.ts";
import { busybox, debianFiles } from "../../linux/debian-files.ts";
import { LINUX_GUEST, linuxModules } from "../../linux/guest.ts";
import { makeInitramfs } from "../../linux/initramfs.ts";
import type { PackageChoice } from "../../linux/package-files.ts";
import { fromRoot, guestsFolder } from "../../paths.ts";
import { DOMAIN_0_INIT, SMALL_GUEST } from "./init.ts";

const FILE = fromRoot("build/xen/dom0.cpio");

const PACKAGES: PackageChoice[] = [
  { name: "xen-utils-4.17", files: /\/bin\/(xl|xenstored|xenconsoled?|xen-init-dom0)$/ },
  { name: "xen-utils-common", files: /^etc\/xen\/xl\.conf$/ },
  // glibc loads it by name when a thread is cancelled.
  { name: "libgcc-s1", files: /\.so/ },
];

/** Drivers that are modules, in the order they are loaded. */
const DRIVERS = ["xen-privcmd", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xenfs/xenfs"];

function file(where: string, data: Uint8Array | string, mode = 0o644): CpioEntry {
  return { kind: "file", path: where, mode, data: typeof data === "string" ? Buffer.from(data, "utf8") : data };
}

/** A domain's configuration as xl.cfg(5) has it: strings in quotes, numbers without. */
export function xlConfig(values: Record<string, string | number>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} = ${typeof value === "number" ? value : `"${value}"`}\n`)
    .join("");
}

/**
 * The archive, rebuilt when anything in it has changed.
 * @param modules folder of the modules of the kernel that it is for
 */
export function domain0Archive(modules: string): string {
  const drivers = DRIVERS.map((name, index) =>
    file(`drivers/${index}-${path.basename(name)}.ko`, readFileSync(path.join(modules, "drivers/xen", `${name}.ko`))),
  );
  const linux = linuxModules();
  const guestFiles = linux.map((module) => file(`guests/${module.name}`, readFileSync(module.file)));
  const [kernel, ramdisk] = linux.map(({ name }) => `/guests/${name}`) as [string, string];
  const { commandLine, memoryMib, vcpus } = LINUX_GUEST;
  const linuxConfig = { kernel, ramdisk, cmdline: commandLine, memory: memoryMib, vcpus };
  const smallConfig = { kernel: "/guests/small", memory: SMALL_GUEST.memoryMib, vcpus: 1 };
  const entries = [
    ...debianFiles(PACKAGES),
    ...drivers,
    ...guestFiles,
    file("guests/small", readFileSync(path.join(guestsFolder, `${SMALL_GUEST.name}.elf`))),
    file("guests/linux.cfg", xlConfig({ name: "linux", type: "pvh", ...linuxConfig })),
    file("guests/small.cfg", xlConfig({ name: "small", type: "pvh", ...smallConfig })),
    file("init", DOMAIN_0_INIT, 0o755),
  ];
  writeIfChanged(FILE, makeInitramfs(busybox(), entries));
  return FILE;
}
