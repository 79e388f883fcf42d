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
import { deviceNumber, vdevName } from "../../noxs/device-number.ts";
import { parseVbd, TARGET_KINDS, VBD_USAGE } from "../../noxs/vbd-config.ts";
import { CommandError } from "../command-error.ts";
import { namedDomain } from "../life.ts";
import { printListing, type Column, type Row } from "../listing.ts";
import { parseOptions } from "../options.ts";
import { SECTOR_BYTES, shortSize } from "../sizes.ts";
import { commandOf } from "../subcommands.ts";
import { sized } from "./disk.ts";

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

const COLUMNS: readonly Column[] = [
  { key: "domain", title: "Domain", right: true },
  { key: "vdev", title: "Vdev" },
  { key: "target", title: "Target" },
  { key: "access", title: "Access" },
  { key: "model", title: "Model" },
  { key: "state", title: "State" },
  { key: "failure", title: "Failure" },
  { key: "size", title: "Size", right: true },
  { key: "reads", title: "Reads", right: true },
  { key: "readBytes", title: "Bytes", right: true },
  { key: "writes", title: "Writes", right: true },
  { key: "writtenBytes", title: "Bytes", right: true },
  { key: "flushes", title: "Flushes", right: true },
  { key: "discards", title: "Discards", right: true },
  { key: "errors", title: "Errors", right: true },
  { key: "refused", title: "Refused", right: true },
];

/** A RAM disk's size is easier to read with a unit. */
function shownTarget(target: string): string {
  const bytes = /^ram:([0-9]+)$/.exec(target)?.[1];
  return bytes === undefined ? target : `ram:${shortSize(Number(bytes))}`;
}

function rowOf(vbd: VbdInfo, json: boolean): Row {
  return {
    domain: vbd.domain,
    vdev: vdevName(vbd.number),
    target: shownTarget(vbd.target),
    access: vbd.writable ? "w" : "r",
    model: vbd.model,
    state: STATES[vbd.state] ?? String(vbd.state),
    failure: vbd.failure === 0 ? null : (FAILURES[vbd.failure] ?? String(vbd.failure)),
    size: sized(vbd.properties.sectors * SECTOR_BYTES, json),
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

export const vbdCommand = commandOf(
  "vbd",
  "domains' disks",
  {
    list: {
      usage: "[--json]",
      summary: "show them, with the requests that they have made",
      async run(words, context) {
        const { switches } = parseOptions(words, { json: {} });
        const json = switches.has("json");
        const rows = (await context.domains.devices.vbds.list())
          .sort((a, b) => a.domain - b.domain || a.number - b.number)
          .map((vbd) => rowOf(vbd, json));
        await printListing(COLUMNS, rows, json, context);
      },
    },
    attach: {
      usage: `ID ${VBD_USAGE}`,
      summary: "give a domain one more",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["ID", "SETTINGS"]);
        const domain = namedDomain(rest[0]!, domains);
        await domains.devices.attachVbd(domain, parseVbd("vbd attach", rest[1]!));
        domains.saveNow(domain);
      },
    },
    detach: {
      usage: "ID VDEV",
      summary: "take one from a domain, whatever it is doing with it",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["ID", "VDEV"]);
        const domain = namedDomain(rest[0]!, domains);
        await domains.devices.detachVbd(domain, vdevArgument(rest[1]!));
        domains.saveNow(domain);
      },
    },
  },
  [
    "targets, which one domain may write, or several read:",
    ...TARGET_HELP,
    "state lost: its target could not be opened again after a restart of the I/O domain",
    "failure: what was wrong with the latest frontend that was disconnected",
    "--json: one line of JSON",
  ],
);
