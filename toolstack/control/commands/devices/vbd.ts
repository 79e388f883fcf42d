/** Domains' disks. */
import {
  VBD_CONNECTED,
  VBD_FAIL_CONFIG,
  VBD_FAIL_INDEX,
  VBD_FAIL_MAP,
  VBD_FAIL_MEMORY,
  VBD_FAIL_PORT,
  VBD_FAILED,
  VBD_GOING,
  VBD_LOST,
  VBD_WAITING,
} from "../../../../abi/io/control-block.ts";
import type { VbdInfo } from "../../noxs/block-requests.ts";
import { deviceNumber, vdevName } from "../../../api/devices/device-number.ts";
import { TARGET_KINDS } from "../../../api/devices/names.ts";
import { parseVbd } from "../../noxs/vbd-config.ts";
import { CommandError } from "../../../api/command-error.ts";
import { namedDomain } from "../life.ts";
import { vbdAttachRequest, vbdDetachRequest, vbdListRequest } from "../../../api/requests/devices.ts";
import { handler } from "../handler.ts";
import { SECTOR_BYTES, shortSize } from "../../../api/sizes.ts";
import { commandOf, requestSubcommand } from "../subcommands.ts";

const STATES: Readonly<Record<number, string>> = {
  [VBD_WAITING]: "waiting",
  [VBD_CONNECTED]: "connected",
  [VBD_FAILED]: "failed",
  [VBD_GOING]: "going",
  [VBD_LOST]: "lost",
};

/** What the latest frontend that was disconnected had done. */
const FAILURES: Readonly<Record<number, string>> = {
  [VBD_FAIL_INDEX]: "index",
  [VBD_FAIL_MAP]: "grant",
  [VBD_FAIL_PORT]: "event-channel",
  [VBD_FAIL_CONFIG]: "rings",
  [VBD_FAIL_MEMORY]: "memory",
};

/** A RAM disk's size is easier to read with a unit. */
function shownTarget(target: string): string {
  const bytes = /^ram:([0-9]+)$/.exec(target)?.[1];
  return bytes === undefined ? target : `ram:${shortSize(Number(bytes))}`;
}

function rowOf(vbd: VbdInfo) {
  return {
    domain: vbd.domain,
    vdev: vdevName(vbd.number),
    target: shownTarget(vbd.target),
    access: vbd.writable ? "w" : "r",
    model: vbd.model,
    state: STATES[vbd.state] ?? String(vbd.state),
    failure: vbd.failure === 0 ? null : (FAILURES[vbd.failure] ?? String(vbd.failure)),
    size: vbd.properties.sectors * SECTOR_BYTES,
    reads: vbd.reads,
    readBytes: vbd.readBytes,
    writes: vbd.writes,
    writtenBytes: vbd.writtenBytes,
    flushes: vbd.flushes,
    discards: vbd.discards,
    errors: vbd.errors,
    refused: vbd.refused,
  };
}

/** A vbd's number by its name, or as it is. */
function vdevArgument(text: string): number {
  const number = /^[0-9]{1,9}$/.test(text) ? Number(text) : deviceNumber(text);
  if (number === null) throw new CommandError(`VDEV: "${text}" is no disk's name, such as xvda or xvdb1`);
  return number;
}

/** What targets there are, for help. */
export const TARGET_HELP = Object.entries(TARGET_KINDS).map(([kind, what]) => `  ${`${kind}:`.padEnd(9)}${what}`);

const list = handler(vbdListRequest, async (_params, { domains }) =>
  (await domains.devices.vbds.list()).sort((a, b) => a.domain - b.domain || a.number - b.number).map(rowOf),
);

const attach = handler(vbdAttachRequest, async ({ id, settings }, { domains }) => {
  const domain = namedDomain(id, domains);
  await domains.devices.attachVbd(domain, parseVbd("vbd attach", settings));
  domains.saveNow(domain);
});

const detach = handler(vbdDetachRequest, async ({ id, vdev }, { domains }) => {
  const domain = namedDomain(id, domains);
  await domains.devices.detachVbd(domain, vdevArgument(vdev));
  domains.saveNow(domain);
});

export const vbdCommand = commandOf(
  "vbd",
  { list: requestSubcommand(list), attach: requestSubcommand(attach), detach: requestSubcommand(detach) },
  [
    "targets, which one domain may write, or several read:",
    ...TARGET_HELP,
    "state lost: its target could not be opened again after a restart of the I/O domain",
    "failure: what was wrong with the latest frontend that was disconnected",
    "--json: one line of JSON",
  ],
);
