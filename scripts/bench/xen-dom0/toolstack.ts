/** Figures of Xen's own toolstack: guests made and destroyed by `xl` in a Linux domain 0, all in one boot, measured once a run. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { progress } from "../../build/task.ts";
import { LINUX_GUEST, LINUX_PROMPT, linuxModules } from "../../linux/guest.ts";
import { guestsFolder } from "../../paths.ts";
import { type Domain0Job, file, xlConfig } from "./archive.ts";
import { figuresNamed, runDomain0 } from "./machine.ts";

/** The guest whose creation and destruction are measured. */
const SMALL_GUEST = { name: "hello", memoryMib: 16 };

/** How often the small guest is made and destroyed; the first time warms up. */
export const ROUNDS = 4;

const [BEFORE_HASH] = LINUX_PROMPT.split("#") as [string];

/**
 * The guest's console is read through `xl console`, at once when the guest runs (`xl create -c` sleeps for a second before
 * it lets it run). awk's records end where the prompt has its '#'.
 */
export const SCRIPT = `
for round in $(seq ${ROUNDS}); do
  now; start=$NOW
  now; figure empty $((NOW - start))
  now; start=$NOW
  xl create -p -q /guests/small.cfg
  now; figure create-small $((NOW - start))
  now; start=$NOW
  xl destroy small
  now; figure destroy-small $((NOW - start))
done

now; start=$NOW
xl create -p -q /guests/linux.cfg
now; figure create-linux $((NOW - start))
xl destroy linux

mkfifo /tmp/in /tmp/out
exec 3<>/tmp/in
now; start=$NOW
xl create -q /guests/linux.cfg
xl console linux <&3 >/tmp/out 2>/tmp/said &
awk 'BEGIN { RS = "#" } /${BEFORE_HASH.replaceAll("/", "\\/")}$/ { found = 1; exit } END { exit !found }' </tmp/out || { cat /tmp/said; exit 1; }
now; figure linux-shell $((NOW - start))
xl destroy linux
`;

function job(): Domain0Job {
  const linux = linuxModules();
  const [kernel, ramdisk] = linux.map(({ name }) => `/guests/${name}`) as [string, string];
  const { commandLine, memoryMib, vcpus } = LINUX_GUEST;
  const linuxConfig = { kernel, ramdisk, cmdline: commandLine, memory: memoryMib, vcpus };
  const smallConfig = { kernel: "/guests/small", memory: SMALL_GUEST.memoryMib, vcpus: 1 };
  const files = [
    ...linux.map((module) => file(`guests/${module.name}`, readFileSync(module.file))),
    file("guests/small", readFileSync(path.join(guestsFolder, `${SMALL_GUEST.name}.elf`))),
    file("guests/linux.cfg", xlConfig({ name: "linux", type: "pvh", ...linuxConfig })),
    file("guests/small.cfg", xlConfig({ name: "small", type: "pvh", ...smallConfig })),
  ];
  return { name: "toolstack", script: SCRIPT, files };
}

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
  // What reading the clock costs is in each of them.
  const clock = median(figuresNamed(lines, "empty", ROUNDS));
  const ofRounds = (name: string) => median(figuresNamed(lines, name, ROUNDS).slice(1)) - clock;
  const once = (name: string) => figuresNamed(lines, name, 1)[0]! - clock;
  return {
    createSmall: ofRounds("create-small"),
    destroySmall: ofRounds("destroy-small"),
    createLinux: once("create-linux"),
    linuxShell: once("linux-shell"),
  };
}

async function measure(): Promise<XenFigures | undefined> {
  const lines = await runDomain0(job());
  if (lines === undefined) return undefined;
  try {
    return parseFigures(lines);
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
