/** What a user may say of a network interface: `--vif` of `create`, and `vif attach`. */
import { CommandError } from "../../api/command-error.ts";
import { BRIDGE_NAME_BYTES, DEVICE_MODELS, isBridgeName, type DeviceModel } from "../../api/devices/names.ts";
import { formatIpv4, formatMac, parseIpv4, parseMac, xenMac } from "../../api/devices/addresses.ts";
import { parseSettings } from "./settings.ts";

export interface VifConfig {
  /** Six bytes; one is made when it is not given. */
  mac?: Uint8Array;
  /** Four bytes, network order: the only address that the guest may send from. */
  ip?: Uint8Array;
  /** `ip=auto`: one is to be chosen (net/guest-address.ts) before the vif is made. */
  chooseIp?: true;
  bridge: string;
  /** Bytes a second that the guest may send, and in a burst; unlimited if not given. */
  rate?: { bytesPerSecond: number; burstBytes: number };
  /** As the domain's other devices if not given. */
  model?: DeviceModel;
}

/** One whose address is chosen, and how its guest is told of it. */
export type CompleteVif = Readonly<VifConfig & { mac: Uint8Array; model: DeviceModel }>;

/**
 * What is not given, chosen.
 * @param model of the domain's other devices
 * @param salt what its address is made of: the same for the same guest, another for each of its vifs
 */
export function completeVif(config: Readonly<VifConfig>, model: DeviceModel, salt: number): CompleteVif {
  const { mac, ip, bridge, rate } = config;
  return { mac: mac ?? xenMac(salt), ip, bridge, rate, model: config.model ?? model };
}

/** The bridge that there always is, and whose uplink is the machine's first card. */
export const DEFAULT_BRIDGE = "xenbr0";

const SETTINGS = {
  mac: "00:16:3e:XX:XX:XX",
  ip: "A.B.C.D|auto",
  bridge: "NAME",
  rate: "10Mb/s",
  model: "noxs|xenbus",
} as const;

/** Settings read before, by their text: a create reads them several times, and those of many guests are the same. */
const known = new Map<string, Readonly<VifConfig>>();
const KNOWN = 16;

/** @throws CommandError */
export function parseVif(what: string, text: string): Readonly<VifConfig> {
  const before = known.get(text);
  if (before !== undefined) return before;
  const config = readVif(what, text);
  if (known.size >= KNOWN) known.clear();
  known.set(text, config);
  return config;
}

function readVif(what: string, text: string): VifConfig {
  const settings = parseSettings(what, text, SETTINGS);
  const config: VifConfig = { bridge: parseBridgeName(what, settings.get("bridge") ?? DEFAULT_BRIDGE) };
  const mac = settings.get("mac");
  if (mac !== undefined) config.mac = parsed(what, "mac", parseMac(mac));
  const ip = settings.get("ip");
  if (ip === "auto") config.chooseIp = true;
  else if (ip !== undefined) config.ip = parsed(what, "ip", parseIpv4(ip));
  const rate = settings.get("rate");
  if (rate !== undefined) config.rate = parseRate(what, rate);
  const model = settings.get("model");
  if (model !== undefined) config.model = parseModel(what, model);
  return config;
}

/** A vif's settings as `parseVif` reads them. */
export function formatVif({ mac, ip, bridge, rate, model }: VifConfig): string {
  let text = mac === undefined ? `bridge=${bridge}` : `mac=${formatMac(mac)},bridge=${bridge}`;
  if (ip !== undefined) text += `,ip=${formatIpv4(ip)}`;
  if (rate !== undefined) {
    const ms = Math.ceil((rate.burstBytes / rate.bytesPerSecond) * 1000);
    text += `,rate=${rate.bytesPerSecond}B/s@${ms}ms`;
  }
  if (model !== undefined) text += `,model=${model}`;
  return text;
}

function parsed(what: string, key: string, result: Uint8Array | string): Uint8Array {
  if (typeof result === "string") throw new CommandError(`${what}: ${key}: ${result}`);
  return result;
}

/** @throws CommandError */
export function parseModel(what: string, text: string): DeviceModel {
  const model = DEVICE_MODELS.find((known) => known === text);
  if (model === undefined)
    throw new CommandError(`${what}: model: "${text}" is not one of ${DEVICE_MODELS.join(", ")}`);
  return model;
}

/** @throws CommandError */
export function parseBridgeName(what: string, name: string): string {
  if (!isBridgeName(name)) {
    throw new CommandError(
      `${what}: "${name}" is no name of a bridge: letters, digits and ._-, ${BRIDGE_NAME_BYTES} at most`,
    );
  }
  return name;
}

/** Powers of 1000, as xl's. */
const UNITS: Record<string, number> = { "": 1, K: 1e3, M: 1e6, G: 1e9 };
/** Time in which a burst may be sent at once, ms: xl's default. */
const BURST_MS = 50;
/** Two full frames: less could never send one. */
const LEAST_BURST = 2 * 1514;
const MOST_BYTES_PER_SECOND = 1e12;

/**
 * A rate as xl writes it: "10Mb/s" in bits, "250KB/s" in bytes, "1MB/s@20ms" with the interval in which what is allowed in it
 * may be sent at once (us, ms, s).
 * @throws CommandError
 */
export function parseRate(what: string, text: string): { bytesPerSecond: number; burstBytes: number } {
  const match = /^([0-9]{1,12}(?:\.[0-9]{1,6})?)([KMG]?)([bB])\/s(?:@([0-9]{1,7})(us|ms|s))?$/.exec(text);
  if (match === null) {
    throw new CommandError(
      `${what}: rate: "${text}" is not a rate such as 10Mb/s (bits), 250KB/s (bytes) or 1MB/s@20ms`,
    );
  }
  const [, number, unit, kind, interval, intervalUnit] = match;
  const bytesPerSecond = Math.floor((Number(number) * UNITS[unit!]!) / (kind === "b" ? 8 : 1));
  if (bytesPerSecond < 1 || bytesPerSecond > MOST_BYTES_PER_SECOND) {
    throw new CommandError(`${what}: rate: ${text} is outside 8 b/s to 8000 Gb/s`);
  }
  const seconds =
    interval === undefined ? BURST_MS / 1e3 : Number(interval) * { us: 1e-6, ms: 1e-3, s: 1 }[intervalUnit as "us"]!;
  return { bytesPerSecond, burstBytes: Math.max(LEAST_BURST, Math.floor(bytesPerSecond * seconds)) };
}
