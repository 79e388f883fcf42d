/** Domains' network interfaces. */
import {
  VIF_CONNECTED,
  VIF_FAIL_BOUNDS,
  VIF_FAIL_CONFIG,
  VIF_FAIL_EXTRA,
  VIF_FAIL_GONE,
  VIF_FAIL_GSO,
  VIF_FAIL_INDEX,
  VIF_FAIL_MAP,
  VIF_FAIL_MEMORY,
  VIF_FAIL_PORT,
  VIF_FAIL_SLOTS,
  VIF_FAILED,
  VIF_GOING,
  VIF_WAITING,
} from "../../../../abi/io/control-net.ts";
import { formatIpv4, formatMac } from "../../noxs/addresses.ts";
import { parseVif, VIF_USAGE } from "../../noxs/vif-config.ts";
import { print } from "../../console/output.ts";
import { dropsByReason } from "./bridge.ts";
import { namedDomain } from "../life.ts";
import { printListing, type Column, type Row } from "../listing.ts";
import { parseCount, parseOptions } from "../options.ts";
import { commandOf } from "../subcommands.ts";

const STATES: Readonly<Record<number, string>> = {
  [VIF_WAITING]: "waiting",
  [VIF_CONNECTED]: "connected",
  [VIF_FAILED]: "failed",
  [VIF_GOING]: "going",
};

/** Why the last frontend was disconnected, or not connected. */
const FAILURES: Readonly<Record<number, string>> = {
  [VIF_FAIL_INDEX]: "producer index",
  [VIF_FAIL_SLOTS]: "slots of a frame",
  [VIF_FAIL_EXTRA]: "extra info",
  [VIF_FAIL_BOUNDS]: "slot beyond its page",
  [VIF_FAIL_GSO]: "segmentation",
  [VIF_FAIL_MAP]: "ring not mappable",
  [VIF_FAIL_PORT]: "event channel",
  [VIF_FAIL_CONFIG]: "queues or features",
  [VIF_FAIL_MEMORY]: "no memory for queues",
  [VIF_FAIL_GONE]: "guest gone",
};

const MOST_NUMBERS = 31;

const COLUMNS: readonly Column[] = [
  { key: "domain", title: "Domain", right: true },
  { key: "vif", title: "Vif", right: true },
  { key: "mac", title: "MAC" },
  { key: "ip", title: "IP" },
  { key: "bridge", title: "Bridge" },
  { key: "model", title: "Model" },
  { key: "state", title: "State" },
  { key: "txFrames", title: "Tx frames", right: true },
  { key: "txBytes", title: "Tx bytes", right: true },
  { key: "rxFrames", title: "Rx frames", right: true },
  { key: "rxBytes", title: "Rx bytes", right: true },
  { key: "failure", title: "Failure" },
  { key: "drops", title: "Dropped" },
];

export const vifCommand = commandOf(
  "vif",
  "domains' network interfaces",
  {
    list: {
      usage: "[--json]",
      summary: "show them, with what has passed; tx: what the guest has sent",
      async run(words, context) {
        const { switches } = parseOptions(words, { json: {} });
        const rows: Row[] = (await context.domains.devices.vifs.list())
          .sort((a, b) => a.domain - b.domain || a.devid - b.devid)
          .map((vif) => ({
            domain: vif.domain,
            vif: vif.devid,
            mac: formatMac(vif.mac),
            ip: vif.ip === null ? null : formatIpv4(vif.ip),
            bridge: vif.bridge,
            model: vif.model,
            state: STATES[vif.state] ?? String(vif.state),
            txFrames: vif.counters.txFrames,
            txBytes: vif.counters.txBytes,
            rxFrames: vif.counters.rxFrames,
            rxBytes: vif.counters.rxBytes,
            failure: vif.failure === 0 ? null : (FAILURES[vif.failure] ?? String(vif.failure)),
            drops: dropsByReason(vif.counters),
          }));
        await printListing(COLUMNS, rows, switches.has("json"), context);
      },
    },
    attach: {
      usage: `ID ${VIF_USAGE}`,
      summary: "give a domain one more, and print its number",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, words.length > 1 ? ["ID", "SETTINGS"] : ["ID"]);
        const domain = namedDomain(rest[0]!, domains);
        const devid = await domains.devices.attachVif(domain, parseVif("vif attach", rest[1] ?? ""));
        domains.saveNow(domain);
        print(`${devid}\n`);
      },
    },
    detach: {
      usage: "ID NUMBER",
      summary: "take one from a domain",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["ID", "NUMBER"]);
        const domain = namedDomain(rest[0]!, domains);
        await domains.devices.detachVif(domain, parseCount("NUMBER", rest[1]!, 0, MOST_NUMBERS));
        domains.saveNow(domain);
      },
    },
  },
  ["--json: one line of JSON", "Failure: what was wrong with the last frontend that was disconnected"],
);
