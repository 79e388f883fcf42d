/** The I/O domain's bridges. */
import {
  bridgeAttachRequest,
  bridgeCreateRequest,
  bridgeDeleteRequest,
  bridgeDetachRequest,
  bridgeListRequest,
} from "../../../api/requests/devices.ts";
import { DROP_NAMES } from "../../noxs/drops.ts";
import { formatIpv4, parseIpv4 } from "../../../api/devices/addresses.ts";
import {
  createBridge,
  deleteBridge,
  listBridges,
  listNics,
  setUplink,
  type BridgeConfig,
  type NicInfo,
  type TrafficCounters,
} from "../../noxs/net-requests.ts";
import { parseBridgeName } from "../../noxs/vif-config.ts";
import { CommandError } from "../../../api/command-error.ts";
import { parseCount } from "../../../api/options.ts";
import { handler } from "../handler.ts";
import { commandOf, requestSubcommand } from "../subcommands.ts";
import { bridgeDump } from "./bridge-dump.ts";
import { orExplain } from "./bridge-errors.ts";

const DEFAULT_LEASE_SECONDS = 3600;

/** Drops by reason, without those that never happened. */
export function dropsByReason({ drops }: TrafficCounters): Record<string, number> {
  const named: Record<string, number> = {};
  for (const [reason, count] of drops.entries()) if (count > 0) named[DROP_NAMES[reason] ?? `reason-${reason}`] = count;
  return named;
}

/** Of a bridge's card. */
function linkOf(nic: NicInfo | undefined): string | null {
  return nic === undefined ? null : nic.linkUp ? "up" : "down";
}

/** A.B.C.D/PREFIX: a gateway's address and its network's prefix. */
function parseNetwork(text: string): { gateway: Uint8Array; prefix: number } {
  const [address, prefix, more] = text.split("/");
  const gateway = parseIpv4(address!);
  if (typeof gateway === "string") throw new CommandError(`--dhcp: ${gateway}`);
  if (prefix === undefined || more !== undefined)
    throw new CommandError("--dhcp: a gateway and its prefix, such as 10.1.0.1/24");
  return { gateway, prefix: parseCount("--dhcp: the prefix", prefix, 8, 30) };
}

const list = handler(bridgeListRequest, async (_params, { domains }) => {
  const io = await domains.devices.whenReady();
  const nics = await listNics(io);
  return (await listBridges(io)).map((bridge) => ({
    name: bridge.name,
    uplink: bridge.uplink,
    link: linkOf(bridge.uplink === null ? undefined : nics[bridge.uplink]),
    vifs: bridge.vifs,
    learned: bridge.learned,
    dhcp: bridge.dhcp === null ? null : `${formatIpv4(bridge.dhcp.gateway)}/${bridge.dhcp.prefix}`,
    framesIn: bridge.counters.txFrames,
    bytesIn: bridge.counters.txBytes,
    framesOut: bridge.counters.rxFrames,
    bytesOut: bridge.counters.rxBytes,
    drops: dropsByReason(bridge.counters),
  }));
});

const create = handler(bridgeCreateRequest, async ({ name: given, dhcp: network, dns: server, lease }, { domains }) => {
  const name = parseBridgeName("bridge", given);
  if (network === undefined && (server !== undefined || lease !== undefined)) {
    throw new CommandError("--dns and --lease are for a bridge with --dhcp");
  }
  const io = await domains.devices.whenReady();
  const make = (dhcp: BridgeConfig["dhcp"]) => orExplain(io, { bridge: name }, () => createBridge(io, { name, dhcp }));
  if (network === undefined) return await make(null);
  const { gateway, prefix } = parseNetwork(network);
  const dns = parseIpv4(server ?? formatIpv4(gateway));
  if (typeof dns === "string") throw new CommandError(`--dns: ${dns}`);
  await make({ gateway, prefix, dns, leaseSeconds: lease ?? DEFAULT_LEASE_SECONDS });
});

const remove = handler(bridgeDeleteRequest, async ({ name }, { domains }) => {
  const bridge = parseBridgeName("bridge", name);
  const io = await domains.devices.whenReady();
  await orExplain(io, { bridge }, () => deleteBridge(io, bridge));
});

const attach = handler(bridgeAttachRequest, async ({ name, card }, { domains }) => {
  const bridge = parseBridgeName("bridge", name);
  const io = await domains.devices.whenReady();
  await orExplain(io, { bridge, card }, () => setUplink(io, bridge, card));
});

const detach = handler(bridgeDetachRequest, async ({ name }, { domains }) => {
  const bridge = parseBridgeName("bridge", name);
  const io = await domains.devices.whenReady();
  await orExplain(io, { bridge }, () => setUplink(io, bridge, null));
});

export const bridgeCommand = commandOf(
  "bridge",
  {
    list: requestSubcommand(list),
    create: requestSubcommand(create),
    delete: requestSubcommand(remove),
    attach: requestSubcommand(attach),
    detach: requestSubcommand(detach),
    dump: bridgeDump,
  },
  ["--json: one line of JSON"],
);
