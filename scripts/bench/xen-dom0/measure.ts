/** Figures of Debian's Xen 4.17 with its own toolstack in a Linux domain 0, all in one boot, measured once a run. */
import { buildGuests } from "../../build/guests.ts";
import { progress } from "../../build/task.ts";
import { debianKernel } from "../../linux/kernel.ts";
import { findXen, runXenMachine } from "../../oracle/xen.ts";
import { guestsFolder } from "../../paths.ts";
import { domain0Archive } from "./archive.ts";
import { FIGURE, ROUNDS } from "./init.ts";

/**
 * The machine for comparisons with it: what Xen and a Linux domain 0 run on in QEMU without KVM. SMAP, RDTSCP and MONITOR
 * are what QEMU does not emulate well enough for them.
 */
export const COMPARED_MACHINE = { cpuModel: "EPYC,-smap,-rdtscp,-monitor", memoryMib: 2048 };

const DOMAIN_0_MIB = 768;
/** Host time: a minute and a half when nothing else runs. */
const TIMEOUT_MS = 600_000;

/** What was measured, in instructions (ns of virtual time). */
export interface XenFigures {
  /** `xl create -p` of our guest `hello` with 16 MiB, and `xl destroy`. */
  createSmall: number;
  destroySmall: number;
  /** `xl create -p` of Debian's Linux. */
  createLinux: number;
  /** `xl create` and `xl console` of it until its shell's prompt has been read. */
  linuxShell: number;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/**
 * Reads what domain 0 printed.
 * @throws Error with its last lines when a figure is not there
 */
export function parseFigures(lines: string[]): XenFigures {
  const values = (name: string, count: number): number[] => {
    const pattern = new RegExp(`^${FIGURE} ${name} (\\d+)$`);
    const found = lines.map((line) => pattern.exec(line)?.[1]).filter((value) => value !== undefined);
    if (found.length === count) return found.map(Number);
    throw new Error(`Xen's domain 0 gave no figure ${name}; its last lines:\n${lines.slice(-20).join("\n")}`);
  };
  // What reading the clock costs is in each of them.
  const clock = median(values("empty", ROUNDS));
  const ofRounds = (name: string) => median(values(name, ROUNDS).slice(1)) - clock;
  const once = (name: string) => values(name, 1)[0]! - clock;
  return {
    createSmall: ofRounds("create-small"),
    destroySmall: ofRounds("destroy-small"),
    createLinux: once("create-linux"),
    linuxShell: once("linux-shell"),
  };
}

async function measure(): Promise<XenFigures | undefined> {
  const xen = findXen();
  if ("missing" in xen) {
    progress(`no figures of Xen's toolstack: ${xen.missing}`);
    return undefined;
  }
  try {
    await buildGuests(guestsFolder, progress);
    const kernel = debianKernel("amd64");
    const words = [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
      ...["-M", "q35", "-m", String(COMPARED_MACHINE.memoryMib), "-smp", "1"],
      ...["-accel", "tcg", "-cpu", COMPARED_MACHINE.cpuModel, "-icount", "shift=0,sleep=off"],
      ...["-kernel", xen.image, "-append"],
      `console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=none dom0_mem=${DOMAIN_0_MIB}M,max:${DOMAIN_0_MIB}M`,
      ...["-initrd", `${kernel.image} console=hvc0 quiet,${domain0Archive(kernel.modules)}`],
    ];
    return parseFigures(await runXenMachine(words, "Linux", TIMEOUT_MS));
  } catch (error) {
    progress(`no figures of Xen's toolstack: ${(error as Error).message}`);
    return undefined;
  }
}

let figures: Promise<XenFigures | undefined> | undefined;

/** The figures; undefined where Xen, its tools or a kernel for its domain 0 cannot be had (the reason is printed). */
export function xenToolstackFigures(): Promise<XenFigures | undefined> {
  return (figures ??= measure());
}
