/**
 * Debian packages: their purposes, detected by one file of each, installed with apt-get when missing. If
 * everything is installed, apt-get is not run. The package that `npm pack` makes installs nothing: it says what is missing.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { progress } from "./build/task.ts";
import { inClone } from "./paths.ts";

/** Purposes for which packages are needed. */
export type Purpose = "build" | "qemu" | "bochs" | "iso" | "uefi" | "codecs" | "peers" | "clusters" | "shells";

interface Package {
  name: string;
  /** A file that is there exactly if the package is installed. */
  file: string;
  why: string;
  for: Purpose[];
}

const GRUB = "makes the bootable ISO";

const COMPRESSOR = "compresses what the tests decompress";

const COMPLETES = "completes commands of chaos and xl, which the tests try";

const PACKAGES: Package[] = [
  { name: "wabt", file: "/usr/bin/wasm2c", why: "wasm2c turns WebAssembly into C", for: ["build"] },
  { name: "gcc", file: "/usr/bin/gcc", why: "compiles that C and the shim", for: ["build"] },
  { name: "clang", file: "/usr/bin/clang", why: "compiles domain 0's libraries to WebAssembly", for: ["build"] },
  { name: "lld", file: "/usr/bin/wasm-ld", why: "links them", for: ["build"] },
  { name: "binutils", file: "/usr/bin/ld", why: "links the image", for: ["build"] },
  { name: "libc6-dev", file: "/usr/include/math.h", why: "headers that wasm2c's C includes", for: ["build"] },
  {
    name: "qemu-system-x86",
    file: "/usr/bin/qemu-system-x86_64",
    why: "the machine to boot in, with AMD-V emulated or KVM",
    for: ["qemu"],
  },
  { name: "seabios", file: "/usr/share/seabios/bios-256k.bin", why: "QEMU's firmware", for: ["qemu"] },
  { name: "ovmf", file: "/usr/share/OVMF/OVMF_CODE.fd", why: "UEFI firmware for QEMU", for: ["uefi"] },
  { name: "bochs", file: "/usr/bin/bochs-bin", why: "the machine with VT-x emulated", for: ["bochs"] },
  { name: "bochsbios", file: "/usr/share/bochs/BIOS-bochs-latest", why: "Bochs' firmware", for: ["bochs"] },
  { name: "vgabios", file: "/usr/share/vgabios/vgabios.bin", why: "Bochs' VGA firmware", for: ["bochs"] },
  { name: "grub-common", file: "/usr/bin/grub-mkrescue", why: GRUB, for: ["iso", "bochs"] },
  { name: "grub-pc-bin", file: "/usr/lib/grub/i386-pc/multiboot2.mod", why: `${GRUB} for BIOS`, for: ["iso", "bochs"] },
  {
    name: "grub-efi-amd64-bin",
    file: "/usr/lib/grub/x86_64-efi/multiboot2.mod",
    why: `${GRUB} for UEFI`,
    for: ["iso"],
  },
  { name: "xorriso", file: "/usr/bin/xorriso", why: "writes the ISO's file system", for: ["iso", "bochs"] },
  {
    name: "mtools",
    file: "/usr/bin/mformat",
    why: "writes the ISO's UEFI partition, and the tests' FAT volumes",
    for: ["iso", "bochs"],
  },
  {
    name: "libxen-dev",
    file: "/usr/include/xen/xen.h",
    why: "Xen's headers: the guests are built with them",
    for: ["build"],
  },
  { name: "bzip2", file: "/bin/bzip2", why: COMPRESSOR, for: ["codecs"] },
  { name: "lz4", file: "/usr/bin/lz4", why: COMPRESSOR, for: ["codecs"] },
  { name: "xz-utils", file: "/usr/bin/xz", why: "unpacks the sources of lwIP and mbedTLS", for: ["build", "codecs"] },
  { name: "zstd", file: "/usr/bin/zstd", why: COMPRESSOR, for: ["codecs"] },
  {
    name: "iperf3",
    file: "/usr/bin/iperf3",
    why: "measures the network between guests and this computer",
    for: ["peers"],
  },
  {
    name: "resource-agents",
    file: "/usr/sbin/ocf-tester",
    why: "Pacemaker's agent for Xen and its tester: the tests let them drive xl",
    for: ["clusters"],
  },
  {
    name: "libxml2-utils",
    file: "/usr/bin/xmllint",
    why: "with it ocf-tester checks what the agent says of itself",
    for: ["clusters"],
  },
  { name: "zsh", file: "/usr/bin/zsh", why: COMPLETES, for: ["shells"] },
  { name: "fish", file: "/usr/bin/fish", why: COMPLETES, for: ["shells"] },
];

/** Everything that the tests use. */
const TEST_PURPOSES: Purpose[] = ["build", "qemu", "bochs", "iso", "uefi", "codecs", "peers", "clusters", "shells"];

export function testPurposes(): Purpose[] {
  return TEST_PURPOSES;
}

/** Whether a program is where programs are looked for. */
function isOnPath(program: string): boolean {
  return (process.env.PATH ?? "").split(path.delimiter).some((folder) => existsSync(path.join(folder, program)));
}

/** The package runs on other systems, too: their programs are where they are, and bring what they need. */
function isThere({ file }: Package): boolean {
  if (existsSync(file)) return true;
  return !inClone && !isDebian() && (!file.includes("/bin/") || isOnPath(path.basename(file)));
}

function missingFor(purposes: Purpose[]): Package[] {
  return PACKAGES.filter((item) => item.for.some((purpose) => purposes.includes(purpose)) && !isThere(item));
}

function isDebian(): boolean {
  return existsSync("/etc/debian_version") && existsSync("/usr/bin/apt-get");
}

/** apt-get as root, through sudo where needed; returns whether it succeeded. Its output goes to standard error. */
function aptGet(args: string[]): boolean {
  const words = ["apt-get", "-q", ...args];
  if (process.getuid?.() !== 0) words.unshift("sudo");
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return spawnSync(words[0], words.slice(1), { stdio: ["inherit", 2, 2], env: environment }).status === 0;
}

/** Fetches apt's package lists; returns whether that succeeded. Only in a clone. */
export function updatePackageLists(): boolean {
  return inClone && isDebian() && aptGet(["update"]);
}

/**
 * Installs what is missing for `purposes`, saying what and why. Ends the process with status 1 and the command to run by
 * hand where that is impossible, and outside of a clone, where nobody asked for it.
 */
export function installPackages(purposes: Purpose[]): void {
  const missing = missingFor(purposes);
  if (missing.length === 0) return;
  const names = missing.map((item) => item.name);
  progress("Debian packages are missing:");
  for (const item of missing) progress(`  ${item.name.padEnd(20)} ${item.why}`);

  const command = `apt-get install --no-install-recommends ${names.join(" ")}`;
  const isRoot = process.getuid?.() === 0;
  if (isDebian() && !inClone) {
    progress(`install them: ${isRoot ? "" : "sudo "}${command}`);
    process.exit(1);
  }
  if (!isDebian() || (!isRoot && !existsSync("/usr/bin/sudo"))) {
    const system = existsSync("/etc/os-release")
      ? /PRETTY_NAME="(.*)"/.exec(readFileSync("/etc/os-release", "utf8"))
      : null;
    progress(
      isDebian()
        ? `they can only be installed by root. Run: ${command}`
        : `${system?.[1] ?? "this system"} is not Debian: install what contains these files: ${missing.map((item) => item.file).join(" ")}`,
    );
    process.exit(1);
  }
  progress(`installing them: ${isRoot ? "" : "sudo "}${command}`);
  const install = ["install", "-y", "--no-install-recommends", ...names];
  // Package lists may be absent or too old on a fresh machine.
  if (!(aptGet(["update"]) && aptGet(install))) {
    progress(`apt-get failed: see its messages above. Run by hand: ${command}`);
    process.exit(1);
  }
  const still = missingFor(purposes);
  if (still.length > 0) {
    progress(
      `these packages did not bring the files expected: ${still.map((item) => `${item.name} (${item.file})`).join(", ")}`,
    );
    process.exit(1);
  }
}
