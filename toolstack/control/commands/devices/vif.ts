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
import { vifAttachRequest, vifDetachRequest, vifListRequest } from "../../../api/requests/devices.ts";
import { formatIpv4, formatMac } from "../../../api/devices/addresses.ts";
import { parseVif } from "../../noxs/vif-config.ts";
import { DOMAIN_0 } from "../../domains/system-domains.ts";
import { dropsByReason } from "./bridge.ts";
import { handler } from "../handler.ts";
import { namedDomain } from "../life.ts";
import { vifArgument } from "../create.ts";
import { commandOf, requestSubcommand } from "../subcommands.ts";

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

/** Domain 0's own vif has neither a device page nor nodes in the store: domain 0 tells the I/O domain of its rings itself. */
const DIRECT = "direct";

const list = handler(vifListRequest, async (_params, { domains }) =>
  (await domains.devices.vifs.list())
    .sort((a, b) => a.domain - b.domain || a.devid - b.devid)
    .map((vif) => ({
      domain: vif.domain,
      vif: vif.devid,
      mac: formatMac(vif.mac),
      ip: vif.ip === null ? null : formatIpv4(vif.ip),
      bridge: vif.bridge,
      model: vif.domain === DOMAIN_0 ? DIRECT : vif.model,
      state: STATES[vif.state] ?? String(vif.state),
      txFrames: vif.counters.txFrames,
      txBytes: vif.counters.txBytes,
      rxFrames: vif.counters.rxFrames,
      rxBytes: vif.counters.rxBytes,
      failure: vif.failure === 0 ? null : (FAILURES[vif.failure] ?? String(vif.failure)),
      drops: dropsByReason(vif.counters),
    })),
);

const attach = handler(vifAttachRequest, async ({ id, settings }, { domains }) => {
  const domain = namedDomain(id, domains);
  const vif = await domains.devices.attachVif(
    domain,
    parseVif("vif attach", vifArgument("vif attach", settings ?? "", domains)),
  );
  domains.saveNow(domain);
  return { vif };
});

const detach = handler(vifDetachRequest, async ({ id, number }, { domains }) => {
  const domain = namedDomain(id, domains);
  await domains.devices.detachVif(domain, number);
  domains.saveNow(domain);
});

export const vifCommand = commandOf(
  "vif",
  { list: requestSubcommand(list), attach: requestSubcommand(attach), detach: requestSubcommand(detach) },
  [
    "--json: one line of JSON",
    "Model: how the frontend is found: noxs, by the device page; xenbus, by the store; direct, domain 0's own",
    "Failure: what was wrong with the last frontend that was disconnected",
  ],
);
