/**
 * Block requests of our guest `blktest` to a partition of a disk, on Typevisor and through Linux's back end in a domain 0 on Debian's
 * Xen: the same guests, disk and machine.
 */
import path from "node:path";
import { buildFolder } from "../paths.ts";
import { costsOf, linesOfRuns, runCounted, SETTLE } from "./guest.ts";
import { makePartitionedDisk } from "./partitioned-disk.ts";
import { type Domain0Job, VIRTIO_DRIVERS } from "./xen-dom0/archive.ts";
import { COMPARED_MACHINE, runDomain0 } from "./xen-dom0/machine.ts";
import { saidBy, XL_FUNCTIONS, xlGuestFiles } from "./xen-dom0/guests.ts";

/** A kind of request whose cost is measured. */
export interface BlockRun {
  name: string;
  what: string;
  /** Options of the guest that say what it does. */
  requests: string;
}

const LABEL = "bench";
const DISK_BYTES = 256 << 20;

const SIZES = [
  { name: "4k", title: "4 KiB", bytes: 4096 },
  { name: "128k", title: "128 KiB", bytes: 131072 },
];
const DEPTHS = [
  { depth: 1, title: "one at a time", requests: 150, warm: 20 },
  { depth: 32, title: "32 at a time", requests: 1000, warm: 100 },
];

export const BLOCK_RUNS: BlockRun[] = SIZES.flatMap(({ name, title, bytes }) =>
  DEPTHS.flatMap(({ depth, title: many, requests, warm }) =>
    ["read", "write"].map((operation) => ({
      name: `${operation}-${name}-${depth}`,
      what: `${title} ${operation}, ${many}`,
      requests: `op=${operation} size=${bytes} depth=${depth} requests=${requests} warm=${warm}`,
    })),
  ),
);

/** The disk: its file is made anew for each machine, so that it is as empty in each. */
function diskDevices(machine: string): string[] {
  const file = path.join(buildFolder, `bench-${machine}.img`);
  makePartitionedDisk(file, DISK_BYTES, LABEL);
  return [
    ...["-drive", `if=none,id=disk0,format=raw,cache=unsafe,file=${file.replaceAll(",", ",,")}`],
    ...["-device", "virtio-blk-pci,drive=disk0"],
  ];
}

function guestOptions(run: BlockRun, spinner: number | string): string {
  return `mode=bench ${run.requests} ${SETTLE} spinner=${spinner}`;
}

/**
 * Instructions per request, from what the guest printed: all that was executed meanwhile, but for the spinner's.
 * @throws Error with what it said when there is no such line
 */
export function requestCost(name: string, lines: string[]): number {
  const pattern = /^blktest bench \w+ (\d+) requests \d+ bytes (\d+) ticks (\d+) idle$/;
  const found = lines.map((line) => pattern.exec(line)).find((match) => match !== null);
  if (found === undefined || found === null) throw new Error(`${name}: the guest gave no figure:\n${lines.join("\n")}`);
  const [requests, ticks, idle] = found.slice(1).map(Number) as [number, number, number];
  return (ticks - idle) / requests;
}

/** Instructions per request of each run on Typevisor, by its name. */
export async function typevisorRequests(model: "noxs" | "xenbus"): Promise<Map<string, number>> {
  // Domains get their numbers one after the other, from 1.
  const commands = BLOCK_RUNS.flatMap((run, n) => {
    const spinner = 1 + 2 * n;
    return [
      `echo run ${run.name}`,
      `create --kernel spin --memory 16 --cmdline "share=${spinner + 1}"`,
      `js domctl.setWeight(${spinner}, 1)`,
      `create --kernel blktest --memory 16 --${model} --vbd target=part:${LABEL},vdev=xvda --cmdline "${guestOptions(run, spinner)}" --wait`,
      `destroy ${spinner}`,
    ];
  });
  const output = await runCounted(commands.join("; "), { ...COMPARED_MACHINE, devices: diskDevices(model) });
  const said = linesOfRuns(output);
  return costsOf(BLOCK_RUNS, (run) => requestCost(run.name, said.get(run.name) ?? [output]));
}

const XEN_SCRIPT = `${XL_FUNCTIONS}
${BLOCK_RUNS.map((run) =>
  [
    `spinner=$NEXT`,
    `start spin share=$((NEXT + 1))`,
    `await ${run.name} disk "${guestOptions(run, "$spinner")}"`,
    `xl destroy $spinner`,
  ].join("\n"),
).join("\n")}
`;

/** Them as a job of domain 0. */
export function blockJob(): Domain0Job {
  return {
    name: "block",
    script: XEN_SCRIPT,
    files: xlGuestFiles([
      { config: "spin", kernel: "spin", weight: 1 },
      { config: "disk", kernel: "blktest", disks: ["format=raw,vdev=xvda,access=rw,target=/dev/vda1"] },
    ]),
    drivers: [...VIRTIO_DRIVERS, "drivers/block/virtio_blk", "drivers/block/xen-blkback/xen-blkback"],
    devices: diskDevices("xen"),
  };
}

/** The same through Linux's back end; undefined where Xen cannot be had (the reason is printed). */
export async function linuxRequests(): Promise<Map<string, number> | undefined> {
  const lines = await runDomain0(blockJob());
  if (lines === undefined) return undefined;
  return costsOf(BLOCK_RUNS, (run) => requestCost(run.name, saidBy(lines, run.name)));
}
