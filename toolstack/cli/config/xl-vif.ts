/** xl's vif specifications, as xl-network-configuration(5) has them. */
import { DEVICE_MODELS } from "../../api/devices/names.ts";
import type { DomainDraft } from "./description.ts";
import type { Report, Spot } from "./xl-report.ts";
import { VIF_PARAMETERS } from "./xl-specs.ts";

type VifDraft = NonNullable<DomainDraft["vifs"]>[number];

/** xl: 50 ms. */
const DEFAULT_INTERVAL_US = 50_000;
/** Powers of 1000. */
const UNITS: Record<string, number> = { "": 1, K: 1e3, M: 1e6, G: 1e9 };
const INTERVAL_UNITS: Record<string, number> = { "": 1e6, s: 1e6, m: 1e3, ms: 1e3, u: 1, us: 1 };

/**
 * One vif; faults are in the report.
 * @param index its place in the list
 * @returns what of it could be read
 */
export function readVif(spec: string, index: number, spot: Spot, report: Report): VifDraft {
  const vif: VifDraft = {};
  const seen = new Set<string>();
  for (const item of spec.split(",").map((token) => token.replace(/^ +/, ""))) {
    if (item === "") continue;
    const equals = item.indexOf("=");
    const name = equals < 0 ? item : item.slice(0, equals);
    const value = equals < 0 ? "" : item.slice(equals + 1);
    const at = { ...spot, key: `${spot.key}.${name}` };
    if (seen.has(name)) {
      report.fault(at, "is given twice");
      continue;
    }
    seen.add(name);
    const known = VIF_PARAMETERS.get(name.startsWith("colo_") ? "colo_..." : name);
    // Scripts are files of a folder of Xen's.
    const compared = name === "script" ? value.slice(value.lastIndexOf("/") + 1) : value;
    if (report.supports(at, known, name, compared, VIF_PARAMETERS.keys())) take(vif, name, value, index, at, report);
  }
  return vif;
}

function take(vif: VifDraft, name: string, value: string, index: number, at: Spot, report: Report): void {
  if (name === "mac" || name === "bridge" || name === "ip") {
    vif[name] = value;
  } else if (name === "rate") {
    const rate = rateOf(value);
    if (rate === null)
      report.fault(at, `"${value}" is not a rate such as 10Mb/s (bits), 250KB/s (bytes) or 1MB/s@20ms`);
    else vif.rate = rate;
  } else if (name === "model") {
    const model = DEVICE_MODELS.find((known) => known === value);
    if (model !== undefined) vif.model = model;
    else
      report.note(
        at,
        `accepted without effect: ${value} is an emulated card, for HVM guests only; noxs and xenbus are models here`,
      );
  } else if (name === "devid" && value !== String(index)) {
    report.fault(at, `"${value}" is not ${index}, the vif's place in the list`);
  }
}

/** Null for what is no rate of xl's. */
function rateOf(text: string): VifDraft["rate"] | null {
  const match = /^(0|[1-9][0-9]{0,14})([KMG]?)([bB])\/s(?:@(0|[1-9][0-9]{0,14})([mu]?s?))?$/.exec(text);
  if (match === null) return null;
  const [, number, unit, kind, interval, intervalUnit] = match;
  return {
    bytesPerSecond: Math.floor((Number(number) * UNITS[unit]) / (kind === "b" ? 8 : 1)),
    intervalUs: interval === undefined ? DEFAULT_INTERVAL_US : Number(interval) * INTERVAL_UNITS[intervalUnit],
  };
}
