/** The I/O domain's bridges. */
import { DROP_NAMES } from "../../noxs/drops.ts";
import { formatIpv4, parseIpv4 } from "../../noxs/addresses.ts";
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
import { CommandError } from "../command-error.ts";
import { printListing, type Column, type Row } from "../listing.ts";
import { parseCount, parseOptions } from "../options.ts";
import { commandOf } from "../subcommands.ts";
import { bridgeDump } from "./bridge-dump.ts";
import { orExplain } from "./bridge-errors.ts";

const DEFAULT_LEASE_SECONDS = 3600;
const MOST_SECONDS = 0xffffffff;
const MOST_CARDS = 64;

const COLUMNS: readonly Column[] = [
  { key: "name", title: "Bridge" },
  { key: "uplink", title: "Card", right: true },
  { key: "link", title: "Link" },
  { key: "vifs", title: "Vifs", right: true },
  { key: "learned", title: "MACs", right: true },
  { key: "dhcp", title: "DHCP" },
  { key: "framesIn", title: "Frames in", right: true },
  { key: "bytesIn", title: "Bytes in", right: true },
  { key: "framesOut", title: "Frames out", right: true },
  { key: "bytesOut", title: "Bytes out", right: true },
  { key: "drops", title: "Dropped" },
];

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

export const bridgeCommand = commandOf(
  "bridge",
  "the bridges that vifs are on",
  {
    list: {
      usage: "[--json]",
      summary: "show them, with what has passed; in: from vifs and the card, out: to them",
      async run(words, context) {
        const { switches } = parseOptions(words, { json: {} });
        const io = await context.domains.devices.whenReady();
        const nics = await listNics(io);
        const rows: Row[] = (await listBridges(io)).map((bridge) => ({
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
        await printListing(COLUMNS, rows, switches.has("json"), context);
      },
    },
    create: {
      usage: "NAME [--dhcp GATEWAY/PREFIX] [--dns IP] [--lease SECONDS]",
      summary: "make one; with --dhcp vifs that have an address get it by DHCP",
      async run(words, { domains }) {
        const { rest, values } = parseOptions(
          words,
          { dhcp: { value: "GATEWAY/PREFIX" }, dns: { value: "IP" }, lease: { value: "SECONDS" } },
          ["NAME"],
        );
        const name = parseBridgeName("bridge", rest[0]!);
        const network = values.get("dhcp");
        if (network === undefined && (values.has("dns") || values.has("lease"))) {
          throw new CommandError("--dns and --lease are for a bridge with --dhcp");
        }
        const io = await domains.devices.whenReady();
        const create = (dhcp: BridgeConfig["dhcp"]) =>
          orExplain(io, { bridge: name }, () => createBridge(io, { name, dhcp }));
        if (network === undefined) return await create(null);
        const { gateway, prefix } = parseNetwork(network);
        const dns = parseIpv4(values.get("dns") ?? formatIpv4(gateway));
        if (typeof dns === "string") throw new CommandError(`--dns: ${dns}`);
        const lease = values.get("lease");
        const leaseSeconds =
          lease === undefined ? DEFAULT_LEASE_SECONDS : parseCount("--lease", lease, 60, MOST_SECONDS);
        await create({ gateway, prefix, dns, leaseSeconds });
      },
    },
    delete: {
      usage: "NAME",
      summary: "remove one without vifs",
      async run(words, { domains }) {
        const bridge = parseBridgeName("bridge", parseOptions(words, {}, ["NAME"]).rest[0]!);
        const io = await domains.devices.whenReady();
        await orExplain(io, { bridge }, () => deleteBridge(io, bridge));
      },
    },
    attach: {
      usage: "NAME CARD",
      summary: "make a network card (a number from 0) its uplink",
      async run(words, { domains }) {
        const { rest } = parseOptions(words, {}, ["NAME", "CARD"]);
        const bridge = parseBridgeName("bridge", rest[0]!);
        const card = parseCount("CARD", rest[1]!, 0, MOST_CARDS);
        const io = await domains.devices.whenReady();
        await orExplain(io, { bridge, card }, () => setUplink(io, bridge, card));
      },
    },
    detach: {
      usage: "NAME",
      summary: "take its uplink from it",
      async run(words, { domains }) {
        const bridge = parseBridgeName("bridge", parseOptions(words, {}, ["NAME"]).rest[0]!);
        const io = await domains.devices.whenReady();
        await orExplain(io, { bridge }, () => setUplink(io, bridge, null));
      },
    },
    dump: bridgeDump,
  },
  ["--json: one line of JSON"],
);
