/**
 * Builds the guests: every `guests/NAME.c` and every folder `guests/NAME/` beside the library becomes one PVH image,
 * `NAME.elf`; a folder with a `start.S` and a `link.ld` of its own becomes what those say. They need gcc and Xen's public headers
 * (Debian: gcc, libxen-dev); those with TCP/IP need lwIP, and are left out where that cannot be fetched.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fromRoot, generatedFolder, guestsFolder, inClone } from "../paths.ts";
import { buildLibrary } from "./archive.ts";
import { buildLwip, findLwip, lwipIncludes } from "./lwip.ts";
import { collectFiles, packArchive } from "../volume/archive.ts";
import { engineObject } from "./native.ts";
import { BuildError, filesBeneath, runStep, runTool, writeIfChanged } from "./task.ts";

const sourceFolder = fromRoot("guests");
const libraryFolder = path.join(sourceFolder, "lib");
const networkFolder = path.join(libraryFolder, "net");
const engineFolder = path.join(libraryFolder, "engine");
const headers = "/usr/include/xen";

/** Made with the engine's C. */
const ENGINE_HEADERS = ["engine.h", "engine-exports.h"].map((name) => path.join(generatedFolder, name));

/** Folders of guests/ that are no guests. */
const NO_GUESTS = new Set(["lib", "host", "sandboxes"]);

/** Flags for everything that is compiled for a guest. */
export const GUEST_FLAGS = [
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
];

const LINK = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,--gc-sections,-z,max-page-size=4096"];

function sourcesIn(entry: string): string[] {
  return filesBeneath(entry).filter((file) => /\.[cS]$/.test(file));
}

function ownSource(name: string): string {
  const folder = path.join(sourceFolder, name);
  return existsSync(folder) ? folder : `${folder}.c`;
}

/** Names of all guests, in alphabetical order. */
export function guestNames(): string[] {
  return readdirSync(sourceFolder, { withFileTypes: true })
    .filter((entry) => (entry.isDirectory() ? !NO_GUESTS.has(entry.name) : entry.name.endsWith(".c")))
    .map((entry) => path.parse(entry.name).name)
    .sort();
}

/** Whether a guest uses TCP/IP: it then includes the library's net/net.h. */
export function usesNetwork(name: string): boolean {
  return filesBeneath(ownSource(name)).some((file) =>
    /^#include ".*lib\/net\/net\.h"$/m.test(readFileSync(file, "utf8")),
  );
}

/** Whether a guest runs a JavaScript program: it then includes the library's engine/engine.h. */
export function usesEngine(name: string): boolean {
  return filesBeneath(ownSource(name)).some((file) =>
    /^#include ".*lib\/engine\/engine\.h"$/m.test(readFileSync(file, "utf8")),
  );
}

/** Names of the guests that are built: those with TCP/IP are missing where lwIP was. The package has no sources to tell them by. */
export function builtGuests(): string[] {
  if (!inClone) {
    const images = readdirSync(guestsFolder).filter((name) => name.endsWith(".elf"));
    return images.map((name) => path.parse(name).name).sort();
  }
  return guestNames().filter((name) => !usesNetwork(name) || existsSync(path.join(guestsFolder, `${name}.elf`)));
}

/** A library's objects but for the start of a PVH guest: for a guest that has a start of its own. */
function withoutStart(library: string): string[] {
  const folder = path.dirname(library);
  return readdirSync(folder)
    .filter((name) => name.endsWith(".o") && !name.endsWith("_start.S.o"))
    .map((name) => path.join(folder, name));
}

async function buildGuest(name: string, outDir: string, flags: string[], libraries: string[]): Promise<boolean> {
  const own = ownSource(name);
  const output = path.join(outDir, `${name}.elf`);
  return runStep({
    name: `guest-${name}`,
    title: `build guest ${name}`,
    inputs: () => [libraryFolder, own, headers, ...libraries],
    key: [...flags, ...LINK].join(" "),
    outputs: [output],
    run: async () => {
      const starts = existsSync(path.join(own, "start.S"));
      const files = [...sourcesIn(own), ...(starts ? libraries.flatMap(withoutStart) : libraries)];
      const script = usesEngine(name)
        ? path.join(engineFolder, "program.lds")
        : path.join(starts ? own : libraryFolder, "link.ld");
      await runTool("gcc", [...flags, ...LINK, `-Wl,-T,${script}`, "-o", output, ...files]);
    },
    heavy: true,
  });
}

/** The files that the guest `web` serves when nothing else is given to it, as a boot module. */
export const siteFile = path.join(guestsFolder, "site.img");

function packSite(): void {
  writeIfChanged(siteFile, packArchive(collectFiles([path.join(sourceFolder, "web/site")])));
}

/** The library without TCP/IP. */
function buildBase(): Promise<string> {
  return buildLibrary({
    name: "guest",
    title: "compiled the guests' library",
    inputs: () => [libraryFolder, headers],
    sources: sourcesIn(libraryFolder).filter(
      (file) => ![networkFolder, engineFolder].some((folder) => file.startsWith(`${folder}${path.sep}`)),
    ),
    flags: GUEST_FLAGS,
  });
}

/** The library's TCP/IP: its own part, and lwIP. */
async function buildNetwork(lwip: string): Promise<string[]> {
  const own = buildLibrary({
    name: "guestnet",
    title: "compiled the guests' network library",
    inputs: () => [libraryFolder, headers, path.join(lwip, "src/include")],
    sources: sourcesIn(networkFolder),
    flags: [...GUEST_FLAGS, ...lwipIncludes(lwip)],
  });
  return Promise.all([own, buildLwip(lwip, "lwip", GUEST_FLAGS)]);
}

/** The library's engine: its own part with what it shares with the shim, and the object that domain 0 runs, too. */
async function buildEngine(): Promise<string[]> {
  const module = await engineObject();
  const own = await buildLibrary({
    name: "guestengine",
    title: "compiled the guests' engine library",
    inputs: () => [libraryFolder, headers, fromRoot("boot"), ...ENGINE_HEADERS],
    sources: [...sourcesIn(engineFolder), fromRoot("boot/runtime-shared.c")],
    flags: [...GUEST_FLAGS, "-I", "boot", "-I", "build"],
  });
  return [module, own];
}

/**
 * Builds what changed into `outDir`. Failures are BuildErrors with the compiler's own words; `log` hears how many
 * guests there are when any was built, and which were left out, and why.
 */
export async function buildGuests(outDir: string, log: (text: string) => void): Promise<void> {
  if (!existsSync(path.join(headers, "xen.h"))) {
    throw new BuildError(`${headers}/xen.h is missing: install the Debian package libxen-dev`);
  }
  packSite();
  const base = buildBase();
  const lwip = findLwip();
  const plain = guestNames().filter((name) => !usesNetwork(name));
  const networked = guestNames().filter(usesNetwork);
  const builtPlain = base.then((library) =>
    Promise.all(plain.map((name) => buildGuest(name, outDir, GUEST_FLAGS, [library]))),
  );
  const engine = networked.some(usesEngine) ? buildEngine() : Promise.resolve([]);
  const builtNetworked = lwip.then(async (found) => {
    if ("missing" in found) {
      log(`guests with TCP/IP are left out (${networked.join(", ")}): ${found.missing}`);
      return [];
    }
    const [library, network] = await Promise.all([base, buildNetwork(found.folder)]);
    const flags = [...GUEST_FLAGS, ...lwipIncludes(found.folder)];
    return Promise.all(
      networked.map(async (name) =>
        buildGuest(name, outDir, flags, [...(usesEngine(name) ? await engine : []), ...network, library]),
      ),
    );
  });
  // Wait for all even if one fails: nothing may write into build/ once the lock is given back.
  const results = await Promise.allSettled([builtPlain, builtNetworked, engine]);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const built = [...(await builtPlain), ...(await builtNetworked)];
  if (built.includes(true)) log(`guests: ${builtGuests().join(", ")}`);
}
