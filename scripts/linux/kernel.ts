/** Debian's kernels, from their packages. */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { dependencyOf, preparePackages, unpackedPackage } from "../packages.ts";

/** Debian's names for a kernel built for virtual machines, and for the one that knows every machine (and is a Xen domain 0). */
export type KernelFlavour = "cloud-amd64" | "amd64";

export interface DebianKernel {
  /** The kernel as it is, a bzImage. */
  image: string;
  /** The folder with its modules, as the kernel source has them: `drivers/...`. */
  modules: string;
}

function onlyEntry(folder: string, wanted: RegExp): string | undefined {
  return existsSync(folder) ? readdirSync(folder).find((entry) => wanted.test(entry)) : undefined;
}

/**
 * Debian's current kernel; fetched first if need be.
 * @throws Error when it cannot be had, or is not what a kernel package is
 */
export function debianKernel(flavour: KernelFlavour): DebianKernel {
  // A package that depends on the kernel that is current.
  const meta = `linux-image-${flavour}`;
  preparePackages(meta);
  const name = dependencyOf(meta, /^linux-image-\d/);
  if (name === undefined) throw new Error(`${meta} depends on no kernel that apt knows`);
  const folder = unpackedPackage(name);
  const image = onlyEntry(path.join(folder, "boot"), /^vmlinuz-/);
  if (image === undefined) throw new Error(`${name} has no boot/vmlinuz-*`);
  const release = image.replace("vmlinuz-", "");
  return {
    image: path.join(folder, "boot", image),
    modules: path.join(folder, "lib/modules", release, "kernel"),
  };
}
