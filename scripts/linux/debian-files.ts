/** What initramfs archives are made of: BusyBox and the files of Debian's packages. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { dependencyTree, unpackedPackage } from "../packages.ts";
import type { CpioEntry } from "./cpio.ts";
import { chosenName, type PackageChoice, packageFiles } from "./package-files.ts";

const BUSYBOX = "busybox-static";

/** BusyBox, a static program. */
export function busybox(): Buffer {
  const file = path.join(unpackedPackage(BUSYBOX), "bin/busybox");
  if (!existsSync(file)) throw new Error(`${BUSYBOX} has no bin/busybox`);
  return readFileSync(file);
}

/** `packageFiles` of Debian's archive: packages are fetched as they are needed. */
export function debianFiles(packages: PackageChoice[]): CpioEntry[] {
  const tree = dependencyTree(packages.map(chosenName));
  const dependencies = (name: string) => tree.get(name)?.filter((other) => tree.has(other)) ?? [];
  return packageFiles({ unpacked: unpackedPackage, dependencies }, packages);
}
