/**
 * Debian's real Xen 4.17 in QEMU, with one of our guests in the place of its domain 0: Xen starts a PVH image directly,
 * without Linux. Hypercalls, events, console and CPUID are Xen's own; only the privileges are a control domain's.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { unpackedPackage } from "../packages.ts";
import { buildFolder } from "../paths.ts";

const PACKAGE = "xen-hypervisor-4.17-amd64";
const INSTALLED = "/boot/xen-4.17-amd64.gz";
const image = path.join(buildFolder, "xen", "xen");

/** The location of Xen, or why it is unavailable. */
export type XenImage = { image: string } | { missing: string };

/** Finds Xen: the one already unpacked, the installed one, else Debian's package, fetched but not installed. */
export function findXen(): XenImage {
  if (existsSync(image)) return { image };
  if (!existsSync("/usr/bin/qemu-system-x86_64")) return { missing: "qemu-system-x86_64 is not installed" };
  try {
    const compressed = existsSync(INSTALLED) ? INSTALLED : path.join(unpackedPackage(PACKAGE), INSTALLED);
    mkdirSync(path.dirname(image), { recursive: true });
    writeFileSync(image, gunzipSync(readFileSync(compressed)));
    return { image };
  } catch (error) {
    return { missing: (error as Error).message.split("\n").at(-1)! };
  }
}

export interface XenRun {
  /** The guest, a PVH image. */
  guest: string;
  /** Its command line. */
  commandLine?: string;
  /** A second module, which the guest finds in its hvm_start_info. */
  module?: string;
  vcpus?: number;
  /** The TSC counts instructions, the same in every run. */
  icount?: boolean;
  timeoutMs?: number;
}

/** Xen's last words when its domain 0 has ended, in whatever way. */
const DOMAIN_0_ENDED = /\(XEN\) (Hardware Dom0 \w+|Reboot|Manual reset|Resetting)/;
/** Behind this line everything is the guest's, but for Xen's own lines, which begin with (XEN). */
const XEN_IS_UP = /\(XEN\) Freed \d+kB init memory/;

function qemuArguments(xen: string, options: XenRun): string[] {
  const modules = [`${options.guest} ${options.commandLine ?? ""}`, ...(options.module ? [options.module] : [])];
  const xenOptions = [
    "console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=warning",
    `dom0=pvh dom0-iommu=none dom0_mem=256M,max:512M dom0_max_vcpus=${options.vcpus ?? 1}`,
  ];
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
    ...["-accel", "tcg", "-M", "q35", "-cpu", "EPYC,-monitor", "-m", "1024", "-smp", "1"],
    ...(options.icount ? ["-icount", "shift=0,sleep=off"] : []),
    ...["-kernel", xen, "-append", xenOptions.join(" "), "-initrd", modules.join(",")],
  ];
}

/**
 * Runs QEMU with Xen in it until Xen says that its domain 0 has ended.
 * @param words QEMU's options
 * @param domain0 what runs as domain 0, for the error
 * @returns what Xen and domain 0 printed once Xen had booted, in lines
 * @throws Error with the last lines when domain 0 does not end within the time, or QEMU does before it
 */
export async function runXenMachine(words: string[], domain0: string, timeoutMs: number): Promise<string[]> {
  // The kernel ends the emulator even if this process is killed and can do nothing about it.
  const leash = existsSync("/usr/bin/setpriv") ? ["/usr/bin/setpriv", "--pdeathsig", "SIGKILL"] : [];
  const command = [...leash, "qemu-system-x86_64", ...words];
  const child = spawn(command[0], command.slice(1), { stdio: ["ignore", "pipe", "ignore"] });
  let output = "";
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    for await (const data of child.stdout) {
      output += (data as Buffer).toString("latin1");
      if (DOMAIN_0_ENDED.test(output.slice(-4096))) break;
    }
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
  }
  const lines = output.split(/\r?\n/);
  if (!DOMAIN_0_ENDED.test(output)) {
    const why = late ? `did not end within ${timeoutMs / 1000} s` : "had not ended when QEMU did";
    throw new Error(`Xen's domain 0 (${domain0}) ${why}:\n${lines.slice(-15).join("\n")}`);
  }
  const start = lines.findIndex((line) => XEN_IS_UP.test(line));
  return lines.slice(start + 1).map((line) => line.trimEnd());
}

/**
 * Boots Xen with the guest as its domain 0 and returns the lines that the guest printed, Xen's own among them.
 * @throws Error with the last lines when domain 0 does not end within the time, or QEMU does before it
 */
export function runOnXen(xen: string, options: XenRun): Promise<string[]> {
  const { guest, timeoutMs = 120_000 } = options;
  return runXenMachine(qemuArguments(xen, options), path.basename(guest), timeoutMs);
}
