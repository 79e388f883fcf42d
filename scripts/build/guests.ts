/**
 * Builds the guests: every `guests/NAME.c` and every folder `guests/NAME/` beside the library becomes one PVH image,
 * `NAME.elf`. They need gcc and Xen's public headers (Debian: gcc, libxen-dev).
 */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { BuildError, compilers, filesBeneath, runStep, runTool } from "./task.ts";
import { fromRoot } from "../paths.ts";

const sourceFolder = fromRoot("guests");
const libraryFolder = path.join(sourceFolder, "lib");
const headers = "/usr/include/xen";

const FLAGS = [
  "-O2",
  "-std=gnu11",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-ffreestanding",
  "-fno-pic",
  "-fno-stack-protector",
  "-fcf-protection=none",
  "-fno-asynchronous-unwind-tables",
  "-fno-strict-aliasing",
  // memcpy and memset are the library's own loops: they must not be compiled into calls of themselves.
  "-fno-tree-loop-distribute-patterns",
  // Interrupts use the interrupted stack and save no vector registers.
  "-mno-red-zone",
  "-mgeneral-regs-only",
  "-ffunction-sections",
  "-fdata-sections",
  // Xen's oldest interface is the default of its headers; ask for 4.17's.
  "-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__",
  "-nostdlib",
  "-static",
  "-no-pie",
  "-Wl,--build-id=none,--gc-sections,-z,max-page-size=4096",
  `-Wl,-T,${path.join(libraryFolder, "link.ld")}`,
];

function sourcesIn(entry: string): string[] {
  return filesBeneath(entry).filter((file) => /\.[cS]$/.test(file));
}

/** Names of all guests, in alphabetical order. */
export function guestNames(): string[] {
  return readdirSync(sourceFolder, { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() ? entry.name !== "lib" : entry.name.endsWith(".c")))
    .map((entry) => path.parse(entry.name).name)
    .sort();
}

async function buildGuest(name: string, outDir: string): Promise<boolean> {
  const folder = path.join(sourceFolder, name);
  const own = existsSync(folder) ? folder : `${folder}.c`;
  const output = path.join(outDir, `${name}.elf`);
  return runStep({
    name: `guest-${name}`,
    title: `build guest ${name}`,
    inputs: () => [libraryFolder, own, headers],
    key: FLAGS.join(" "),
    outputs: [output],
    run: async () => {
      const sources = [...sourcesIn(libraryFolder), ...sourcesIn(own)];
      await compilers.run(() => runTool("gcc", [...FLAGS, "-o", output, ...sources]));
    },
  });
}

/**
 * Builds what changed into `outDir`. Failures are BuildErrors with the compiler's own words; `log` hears how many
 * guests there are when any was built.
 */
export async function buildGuests(outDir: string, log: (text: string) => void): Promise<void> {
  if (!existsSync(path.join(headers, "xen.h"))) {
    throw new BuildError(`${headers}/xen.h is missing: install the Debian package libxen-dev`);
  }
  const names = guestNames();
  const built = await Promise.all(names.map((name) => buildGuest(name, outDir)));
  if (built.includes(true)) log(`guests: ${names.join(", ")}`);
}
