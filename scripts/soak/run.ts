/**
 * A soak: Debian's stress-ng, which checks its own results, in a Linux guest with two vCPUs; beside it another Linux guest
 * that checks sums, and three unikernels that watch their timers.
 */
import type { MachineKind } from "../emulators.ts";
import { debianInitramfs, linuxModules } from "../linux/guest.ts";
import { LinuxShell } from "../linux/shell.ts";
import { Machine, plainText, PROMPT } from "../machine.ts";
import { type BootModule, withOwnGuests } from "../modules.ts";
import { complaints, type Stressor, stressFigures, stressTrouble, timerFigures, type Timers } from "./verdict.ts";

export interface SoakOptions {
  kind: MachineKind;
  /** How long stress-ng runs, in guest time. */
  seconds: number;
  /** Receives all output of the machine's console. */
  output?: (text: string) => void;
  /** From `soakModules`. */
  modules: BootModule[];
  /** Receives progress messages. */
  progress: (text: string) => void;
}

export interface SoakResult {
  stressors: Stressor[];
  /** Sums that the other Linux guest found right. */
  sums: number;
  /** By the unikernels' names. */
  timers: Map<string, Timers>;
  /** Problems by guest; empty in a good run. */
  trouble: Map<string, string[]>;
}

const MEMORY_MIB = 1024;
const STRESS_RAMDISK = "initrd-stress";
const STRESS = { name: "stress", options: `--ramdisk ${STRESS_RAMDISK} --vcpus 2 --memory 384` };
const BESIDE = { name: "beside", options: "--ramdisk initrd --vcpus 1 --memory 192" };
/** Unikernels by name, with their timers' periods in ms. */
export const UNIKERNELS = new Map([
  ["timer-10", 10],
  ["timer-20", 20],
  ["timer-50", 50],
]);
/** How late a timer may be before its guest calls it a failure, ms: the computer's load must not decide. */
const LATE_MS = 1_000_000;

/** Each kind of load, as stress-ng's option; the memory's is in the guest's free 300 MiB several times over. */
const STRESSORS = new Map([
  ["cpu", "--cpu 2"],
  ["vm", "--vm 1 --vm-bytes 64m"],
  ["timer", "--timer 1"],
  ["fork", "--fork 1"],
  ["signal", "--signal 1"],
]);

const BOOT_MS = 240_000;
const COMMAND_MS = 90_000;
/** The others start before stress-ng: time for which they run longer, s. */
const HEAD_START = 5;
/** What an emulator on a busy computer may take beyond the guest's time, and how much slower it may be. */
const SPARE_MS = 240_000;
const SLOWER = 8;

/** Kernel and initramfs for both Linux guests; fetched when need be. */
export function soakModules(): BootModule[] {
  return [...linuxModules(), { name: STRESS_RAMDISK, file: debianInitramfs(["stress-ng"]) }];
}

/** Sums of 1 MiB, again and again for so many seconds by the guest's own clock. */
function sumsCommand(seconds: number): string {
  const uptime = "$(cut -d. -f1 /proc/uptime)";
  return (
    `dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null; sha256sum /tmp/data >/tmp/sum; ` +
    `(n=0; end=$((${uptime} + ${seconds})); while [ ${uptime} -lt $end ]; do sha256sum -c -s /tmp/sum && n=$((n+1)) || echo bad; ` +
    `done; echo "sums $n") >/tmp/out 2>&1 &`
  );
}

/** Timers that a unikernel sets, one after the other. */
function timerCount(seconds: number, periodMs: number): number {
  return Math.ceil(((seconds + HEAD_START) * 1000) / periodMs);
}

class Soak {
  readonly result: SoakResult = { stressors: [], sums: 0, timers: new Map(), trouble: new Map() };
  private readonly ids = new Map<string, string>();

  constructor(
    private readonly machine: Machine,
    private readonly options: SoakOptions,
  ) {}

  private judge(who: string, trouble: string[]): void {
    if (trouble.length > 0) this.result.trouble.set(who, [...(this.result.trouble.get(who) ?? []), ...trouble]);
  }

  private async create(name: string, options: string): Promise<void> {
    this.ids.set(name, await this.machine.createDomain(`--name ${name} ${options}`, COMMAND_MS));
  }

  async run(): Promise<SoakResult> {
    const { machine, options } = this;
    const { seconds } = options;
    await machine.waitFor(`\n${PROMPT}`, BOOT_MS, "Typevisor's prompt");
    const linux = [STRESS, BESIDE].map(({ name }) => new LinuxShell(machine, name, BOOT_MS));
    const [stress, beside] = linux as [LinuxShell, LinuxShell];
    for (const guest of [STRESS, BESIDE]) {
      await this.create(guest.name, `--kernel vmlinuz --cmdline console=hvc0 ${guest.options}`);
    }
    await beside.enter();
    await beside.run(sumsCommand(seconds + HEAD_START));
    await beside.leave();
    await stress.enter();
    await stress.leave();
    for (const [name, period] of UNIKERNELS) {
      const count = timerCount(seconds, period);
      await this.create(
        name,
        `--kernel timer --memory 16 --cmdline 'quiet period=${period} count=${count} limit=${LATE_MS}'`,
      );
    }
    options.progress(`all guests run; stress-ng for ${seconds} s`);
    await stress.enter();
    const load = [...STRESSORS.values()].join(" ");
    const command = `stress-ng ${load} --verify --metrics-brief --timeout ${seconds}s`;
    await stress.run(`(${command}; echo "status $?") >/tmp/out 2>&1 &`);

    const limit = seconds * SLOWER * 1000 + SPARE_MS;
    const output = await stress.run("wait; cat /tmp/out", limit);
    this.result.stressors = stressFigures(output);
    this.judge("stress-ng", stressTrouble(output, [...STRESSORS.keys()], seconds));
    await this.examine(stress);
    await stress.leave();

    await beside.enter();
    const sums = await beside.run("wait; cat /tmp/out", limit);
    this.result.sums = Number(/^sums (\d+)$/m.exec(sums)?.[1] ?? 0);
    if (this.result.sums === 0 || /^bad$/m.test(sums)) this.judge(BESIDE.name, [`its sums: ${sums}`]);
    await this.examine(beside);
    await beside.leave();
    // Their ends are reported at any moment, also between two lines of a command: so they are queried.
    const names = JSON.stringify([...UNIKERNELS.keys()]).replaceAll('"', "'");
    await machine.command(
      `js (async () => { while (${names}.some(n => domains.find(n))) await sleep(100); })()`,
      limit,
    );
    for (const [name, period] of UNIKERNELS) await this.examineTimers(name, timerCount(seconds, period));
    return this.result;
  }

  /** What a Linux guest's kernel says. */
  private async examine(shell: LinuxShell): Promise<void> {
    const log = await shell.run("dmesg");
    const clock = await shell.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource");
    const found = complaints(log);
    if (!log.includes("Hypervisor detected: Xen")) found.push("its kernel's log does not begin as it should");
    if (clock.trim() !== "xen") found.push(`its clock is ${clock.trim()}`);
    this.judge(`Linux ${shell.domain}`, found);
  }

  private async examineTimers(name: string, count: number): Promise<void> {
    const output = await this.machine.command(`console ${this.ids.get(name)}`, COMMAND_MS);
    const timers = timerFigures(output);
    if (timers?.count !== count) this.judge(name, [`it did not pass: ${output}`]);
    else this.result.timers.set(name, timers);
  }
}

/**
 * Runs one from the machine's start to its end.
 * @throws Error, AwaitError when it does not come to its end: a guest or the machine hangs, or ends
 */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const machine = await Machine.start({
    kind: options.kind,
    cpus: 1,
    memoryMib: MEMORY_MIB,
    commandLine: "",
    modules: withOwnGuests(options.modules),
  });
  if (options.output !== undefined) machine.on("output", options.output);
  try {
    const result = await new Soak(machine, options).run();
    machine.send("poweroff\r");
    await machine.waitForEnd(COMMAND_MS);
    if (!machine.endedWell()) result.trouble.set("Typevisor", [machine.describeEnd()]);
    const panics = plainText(machine.output).match(/^PANIC: .*/gm) ?? [];
    if (panics.length > 0) result.trouble.set("Typevisor", panics);
    return result;
  } finally {
    await machine.stop();
  }
}
