/**
 * The initramfs of Xen's Linux domain 0: BusyBox, Debian's Xen tools with the libraries they need, the kernel's Xen drivers,
 * and what a job adds: guests to be made, more drivers, and what runs first.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { writeIfChanged } from "../../build/task.ts";
import type { CpioEntry } from "../../linux/cpio.ts";
import { busybox, debianFiles } from "../../linux/debian-files.ts";
import { makeInitramfs } from "../../linux/initramfs.ts";
import type { PackageChoice } from "../../linux/package-files.ts";
import { fromRoot } from "../../paths.ts";
import { domain0Init } from "./init.ts";

/** Something to be measured in domain 0, in a boot of its own. */
export interface Domain0Job {
  name: string;
  /** What /init does once Xen's daemons run. */
  script: string;
  /** Files beside Xen's. */
  files: CpioEntry[];
  /** Modules of its kernel beside Xen's, in the order they are loaded: `net/bridge/bridge`. */
  drivers?: string[];
  /** QEMU's options for cards and disks. */
  devices?: string[];
}

const PACKAGES: PackageChoice[] = [
  { name: "xen-utils-4.17", files: /\/bin\/(xl|xenstored|xenconsoled?|xen-init-dom0)$/ },
  { name: "xen-utils-common", files: /^etc\/xen\/xl\.conf$/ },
  { name: "xenstore-utils", files: /\/bin\/xenstore(-read|-write)?$/ },
  // glibc loads it by name when a thread is cancelled.
  { name: "libgcc-s1", files: /\.so/ },
];

/** Drivers that are modules, in the order they are loaded. */
const DRIVERS = ["xen-privcmd", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xenfs/xenfs"].map(
  (name) => `drivers/xen/${name}`,
);

/** Drivers of virtio devices need these first. */
export const VIRTIO_DRIVERS = [
  "virtio_ring",
  "virtio",
  "virtio_pci_legacy_dev",
  "virtio_pci_modern_dev",
  "virtio_pci",
].map((name) => `drivers/virtio/${name}`);

/** A file of the archive. */
export function file(where: string, data: Uint8Array | string, mode = 0o644): CpioEntry {
  return { kind: "file", path: where, mode, data: typeof data === "string" ? Buffer.from(data, "utf8") : data };
}

type XlValue = string | number | string[];

function xlValue(value: XlValue): string {
  if (Array.isArray(value)) return `[${value.map(xlValue).join(", ")}]`;
  return typeof value === "number" ? String(value) : `"${value}"`;
}

/** A domain's configuration as xl.cfg(5) has it: strings in quotes, numbers without. */
export function xlConfig(values: Record<string, XlValue>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} = ${xlValue(value)}\n`)
    .join("");
}

/**
 * The archive, rebuilt when anything in it has changed.
 * @param modules folder of the modules of the kernel that it is for
 */
export function domain0Archive(modules: string, job: Domain0Job): string {
  const drivers = [...DRIVERS, ...(job.drivers ?? [])].map((name, index) =>
    file(
      `drivers/${String(index).padStart(2, "0")}-${path.basename(name)}.ko`,
      readFileSync(path.join(modules, `${name}.ko`)),
    ),
  );
  const entries = [...debianFiles(PACKAGES), ...drivers, ...job.files, file("init", domain0Init(job.script), 0o755)];
  const archive = fromRoot(`build/xen/dom0-${job.name}.cpio`);
  writeIfChanged(archive, makeInitramfs(busybox(), entries));
  return archive;
}
