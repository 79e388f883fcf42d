/** Requests about bridges and vifs (abi/io/control-net.ts). */
import {
  BRIDGE_ARP_PROXY,
  BRIDGE_DHCP,
  BRIDGE_NAME_BYTES,
  BridgeCreate,
  BridgeEntry,
  BridgeName,
  BridgeUplink,
  Counters,
  DROP_REASONS,
  NIC_NONE,
  NicEntry,
  VIF_FE_CTRL_RING,
  VIF_FE_GSO_TCPV4,
  VIF_FE_GSO_TCPV6,
  VIF_FE_IPV6_CSUM_OFFLOAD,
  VIF_FE_MULTICAST_CONTROL,
  VIF_FE_NO_CSUM_OFFLOAD,
  VIF_FE_RX_NOTIFY,
  VIF_FE_SG,
  VIF_MODEL_NOXS,
  VIF_MODEL_XENBUS,
  VifAdd,
  VifAddResponse,
  VifConnect,
  VifConnectQueue,
  VifEntry,
  VifKey,
} from "../../../abi/io/control-net.ts";
import {
  IO_BRIDGE_CREATE,
  IO_BRIDGE_DELETE,
  IO_BRIDGE_LIST,
  IO_BRIDGE_UPLINK,
  IO_NIC_LIST,
  IO_VIF_CONNECT,
  IO_VIF_DISCONNECT,
  IO_VIF_LIST,
  IO_VIF_REMOVE,
} from "../../../abi/io/control.ts";
import { IO_DOMAIN } from "../../../abi/io/layout.ts";
import { noxs_dev_vif } from "../../../abi/io/noxs.ts";
import type { DeviceEntry } from "../hypercalls/devctl.ts";
import { Fields, listAll, Payload, type IoRequests } from "./io-requests.ts";
import type { DeviceModel } from "../../api/devices/names.ts";
import type { CompleteVif } from "./vif-config.ts";
import type { VifFrontend } from "./xenbus-vif.ts";

const MAC_BYTES = 6;
const IPV4_BYTES = 4;

/** What has passed a vif or bridge, from its own point of view: tx is what a vif's guest sends. */
export interface TrafficCounters {
  txFrames: number;
  txBytes: number;
  rxFrames: number;
  rxBytes: number;
  /** By DROP_*. */
  drops: number[];
}

export interface BridgeConfig {
  name: string;
  /** Length of the network's prefix, and the gateway and name server that its DHCP server hands out; null: it has none. */
  dhcp: { prefix: number; gateway: Uint8Array; dns: Uint8Array; leaseSeconds: number } | null;
}

export interface BridgeInfo extends BridgeConfig {
  /** Number of the card in NIC_LIST, null: none. */
  uplink: number | null;
  vifs: number;
  learned: number;
  counters: TrafficCounters;
}

export interface VifInfo {
  domain: number;
  devid: number;
  model: DeviceModel;
  mac: Uint8Array;
  ip: Uint8Array | null;
  bytesPerSecond: number;
  bridge: string;
  /** VIF_WAITING, ... */
  state: number;
  /** VIF_FAIL_* */
  failure: number;
  queues: number;
  counters: TrafficCounters;
}

export interface NicInfo {
  /** The driver's name, such as "virtio-net". */
  driver: string;
  mac: Uint8Array;
  linkUp: boolean;
}

/** The machine's network cards, by their numbers. */
export function listNics(io: IoRequests): Promise<NicInfo[]> {
  return listAll(io, IO_NIC_LIST, NicEntry.SIZE, (entry) => ({
    driver: entry.name(NicEntry.driver, NicEntry.address - NicEntry.driver),
    mac: entry.slice(NicEntry.mac, MAC_BYTES),
    linkUp: entry.u32(NicEntry.link) !== 0,
  }));
}

/** Creates a bridge. EEXIST, ENOSPC. */
export async function createBridge(io: IoRequests, { name, dhcp }: BridgeConfig): Promise<void> {
  const payload = new Payload(BridgeCreate.SIZE).name(BridgeCreate.name, name);
  if (dhcp !== null) {
    payload
      .u32(BridgeCreate.flags, BRIDGE_DHCP | BRIDGE_ARP_PROXY)
      .u32(BridgeCreate.prefix, dhcp.prefix)
      .put(BridgeCreate.gateway, dhcp.gateway)
      .put(BridgeCreate.dns0, dhcp.dns)
      .u32(BridgeCreate.lease, dhcp.leaseSeconds);
  }
  await io.request(IO_BRIDGE_CREATE, payload.bytes);
}

/** Removes a bridge. ENOENT; EBUSY while it has vifs. */
export async function deleteBridge(io: IoRequests, name: string): Promise<void> {
  await io.request(IO_BRIDGE_DELETE, new Payload(BridgeName.SIZE).name(BridgeName.name, name).bytes);
}

/** Connects a bridge to a card, or to none. ENOENT, EBUSY. */
export async function setUplink(io: IoRequests, name: string, nic: number | null): Promise<void> {
  const payload = new Payload(BridgeUplink.SIZE).name(BridgeUplink.name, name).u32(BridgeUplink.nic, nic ?? NIC_NONE);
  await io.request(IO_BRIDGE_UPLINK, payload.bytes);
}

export function listBridges(io: IoRequests): Promise<BridgeInfo[]> {
  return listAll(io, IO_BRIDGE_LIST, BridgeEntry.SIZE, (entry) => {
    const nic = entry.u32(BridgeEntry.nic);
    const dhcp = (entry.u32(BridgeEntry.flags) & BRIDGE_DHCP) !== 0;
    return {
      name: entry.name(BridgeEntry.name, BRIDGE_NAME_BYTES),
      dhcp: dhcp
        ? {
            prefix: entry.u32(BridgeEntry.prefix),
            gateway: entry.slice(BridgeEntry.gateway, IPV4_BYTES),
            dns: entry.slice(BridgeEntry.dns0, IPV4_BYTES),
            leaseSeconds: entry.u32(BridgeEntry.lease),
          }
        : null,
      uplink: nic === NIC_NONE ? null : nic,
      vifs: entry.u32(BridgeEntry.vifs),
      learned: entry.u32(BridgeEntry.learned),
      counters: readCounters(entry, BridgeEntry.counters),
    };
  });
}

/** The request that adds a vif. Every create makes one: field by field it would take several times as long. */
export function vifAddPayload(domain: number, devid: number, config: CompleteVif): Uint8Array {
  const { mac, ip, bridge, rate, model } = config;
  const words = new Uint32Array(VifAdd.SIZE / 4);
  const bytes = new Uint8Array(words.buffer);
  words[VifAdd.domid / 4] = domain;
  words[VifAdd.devid / 4] = devid;
  words[VifAdd.model / 4] = model === "noxs" ? VIF_MODEL_NOXS : VIF_MODEL_XENBUS;
  bytes.set(mac, VifAdd.mac);
  if (ip !== undefined) bytes.set(ip, VifAdd.ipv4);
  for (let i = 0; i < bridge.length; i++) bytes[VifAdd.bridge + i] = bridge.charCodeAt(i);
  if (rate !== undefined) {
    words[VifAdd.rate / 4] = rate.bytesPerSecond;
    words[VifAdd.rate / 4 + 1] = rate.bytesPerSecond / 0x100000000;
    words[VifAdd.burst / 4] = rate.burstBytes;
  }
  return bytes;
}

/** What the device page of a NoXS guest is to have, from the answer to that request. */
export function addedVif(devid: number, answer: Uint8Array): DeviceEntry {
  const fields = new Fields(answer);
  const grant = fields.u32(VifAddResponse.grant);
  const port = fields.u32(VifAddResponse.port);
  return { type: noxs_dev_vif, id: devid, backend: IO_DOMAIN, grant, port };
}

function vifKey(domain: number, devid: number): Uint8Array {
  return new Payload(VifKey.SIZE).u32(VifKey.domid, domain).u32(VifKey.devid, devid).bytes;
}

export async function removeVif(io: IoRequests, domain: number, devid: number): Promise<void> {
  await io.request(IO_VIF_REMOVE, vifKey(domain, devid));
}

/** Connects a vif to what its xenbus frontend has written. */
export async function connectVif(io: IoRequests, domain: number, devid: number, frontend: VifFrontend): Promise<void> {
  const { queues, control } = frontend;
  const flags: [boolean, number][] = [
    [frontend.rxNotify, VIF_FE_RX_NOTIFY],
    [frontend.sg, VIF_FE_SG],
    [frontend.gsoTcpv4, VIF_FE_GSO_TCPV4],
    [frontend.gsoTcpv6, VIF_FE_GSO_TCPV6],
    [frontend.noChecksumOffload, VIF_FE_NO_CSUM_OFFLOAD],
    [!frontend.noIpv6ChecksumOffload, VIF_FE_IPV6_CSUM_OFFLOAD],
    [frontend.multicastControl, VIF_FE_MULTICAST_CONTROL],
    [control !== null, VIF_FE_CTRL_RING],
  ];
  const payload = new Payload(VifConnect.SIZE + queues.length * VifConnectQueue.SIZE)
    .u32(VifConnect.domid, domain)
    .u32(VifConnect.devid, devid)
    .u32(VifConnect.queues, queues.length)
    .u32(
      VifConnect.features,
      flags.reduce((all, [set, flag]) => (set ? all | flag : all), 0),
    )
    .u32(VifConnect.ctrl_ref, control?.ref ?? 0)
    .u32(VifConnect.ctrl_port, control?.port ?? 0);
  for (const [i, { txRef, rxRef, txPort, rxPort }] of queues.entries()) {
    const at = VifConnect.SIZE + i * VifConnectQueue.SIZE;
    payload
      .u32(at + VifConnectQueue.tx_ref, txRef)
      .u32(at + VifConnectQueue.rx_ref, rxRef)
      .u32(at + VifConnectQueue.tx_port, txPort)
      .u32(at + VifConnectQueue.rx_port, rxPort);
  }
  await io.request(IO_VIF_CONNECT, payload.bytes);
}

/** Lets go of everything of the frontend's. */
export async function disconnectVif(io: IoRequests, domain: number, devid: number): Promise<void> {
  await io.request(IO_VIF_DISCONNECT, vifKey(domain, devid));
}

export function listVifs(io: IoRequests): Promise<VifInfo[]> {
  return listAll(io, IO_VIF_LIST, VifEntry.SIZE, (entry) => {
    const ip = entry.slice(VifEntry.ipv4, IPV4_BYTES);
    return {
      domain: entry.u32(VifEntry.domid),
      devid: entry.u32(VifEntry.devid),
      model: entry.u32(VifEntry.model) === VIF_MODEL_NOXS ? "noxs" : "xenbus",
      mac: entry.slice(VifEntry.mac, MAC_BYTES),
      ip: ip.some((byte) => byte !== 0) ? ip : null,
      bytesPerSecond: entry.u64(VifEntry.rate),
      bridge: entry.name(VifEntry.bridge, BRIDGE_NAME_BYTES),
      state: entry.u32(VifEntry.state),
      failure: entry.u32(VifEntry.failure),
      queues: entry.u32(VifEntry.queues),
      counters: readCounters(entry, VifEntry.counters),
    };
  });
}

function readCounters(entry: Fields, at: number): TrafficCounters {
  return {
    txFrames: entry.u64(at + Counters.tx_frames),
    txBytes: entry.u64(at + Counters.tx_bytes),
    rxFrames: entry.u64(at + Counters.rx_frames),
    rxBytes: entry.u64(at + Counters.rx_bytes),
    drops: Array.from({ length: DROP_REASONS }, (_, i) => entry.u64(at + Counters.drops + 8 * i)),
  };
}
