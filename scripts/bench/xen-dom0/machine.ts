/** The machine that Debian's Xen with a Linux domain 0 is booted in. */
import { progress } from "../../build/task.ts";
import { debianKernel } from "../../linux/kernel.ts";
import { comparison } from "../comparison.ts";
import { findXen, runXenMachine } from "../../oracle/xen.ts";
import { domain0Archive, type Domain0Job } from "./archive.ts";
import { FIGURE } from "./init.ts";

/**
 * The machine for comparisons with it: what Xen and a Linux domain 0 run on in QEMU without KVM. SMAP, RDTSCP and MONITOR
 * are what QEMU does not emulate well enough for them.
 */
export const COMPARED_MACHINE = { cpuModel: "EPYC,-smap,-rdtscp,-monitor", memoryMib: 2048 };

const DOMAIN_0_MIB = 768;
/** Host time: a minute and a half when nothing else runs, half an hour on a computer that is busy otherwise. */
const TIMEOUT_MS = 2_400_000;

/**
 * Boots it for a job and returns the lines that it printed; undefined where Xen, its tools or a kernel for its domain 0 cannot
 * be had, or the job failed (the reason is printed), or only Typevisor is measured.
 */
export async function runDomain0(job: Domain0Job): Promise<string[] | undefined> {
  if (!comparison.xen) return undefined;
  const xen = findXen();
  if ("missing" in xen) {
    progress(`no figures of Xen with a Linux domain 0: ${xen.missing}`);
    return undefined;
  }
  try {
    const kernel = debianKernel("amd64");
    const words = [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
      ...["-M", "q35", "-m", String(COMPARED_MACHINE.memoryMib), "-smp", "1"],
      ...["-accel", "tcg", "-cpu", COMPARED_MACHINE.cpuModel, "-icount", "shift=0,sleep=off"],
      ...(job.devices ?? []),
      ...["-kernel", xen.image, "-append"],
      `console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=none dom0_mem=${DOMAIN_0_MIB}M,max:${DOMAIN_0_MIB}M`,
      ...["-initrd", `${kernel.image} console=hvc0 quiet,${domain0Archive(kernel.modules, job)}`],
    ];
    return await runXenMachine(words, "Linux", TIMEOUT_MS);
  } catch (error) {
    progress(`no figures of Xen with a Linux domain 0: ${(error as Error).message}`);
    return undefined;
  }
}

/**
 * The figures of one name, in the order they were printed.
 * @throws Error with domain 0's last lines when there are not `count` of them
 */
export function figuresNamed(lines: string[], name: string, count: number): number[] {
  const pattern = new RegExp(`^${FIGURE} ${name} (\\d+)$`);
  const found = lines.map((line) => pattern.exec(line)?.[1]).filter((value) => value !== undefined);
  if (found.length === count) return found.map(Number);
  throw new Error(`Xen's domain 0 gave no figure ${name}; its last lines:\n${lines.slice(-20).join("\n")}`);
}
