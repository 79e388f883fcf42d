/** xl's disk specifications, as xl-disk-configuration(5) has them: by name, by position, and with xend's prefixes. */
import type { DomainDraft } from "./description.ts";
import { targetOf } from "./target.ts";
import type { Report, Spot } from "./xl-report.ts";
import { DISK_PARAMETERS, DISK_POSITIONS, IGNORED_PREFIXES } from "./xl-specs.ts";

type VbdDraft = NonNullable<DomainDraft["vbds"]>[number];

const READ_ONLY = ["r", "ro"];
const WRITABLE = ["w", "rw", ""];

/**
 * One disk; faults are in the report.
 * @param spot of the specification
 * @returns what of it could be read; undefined when it is no disk at all
 */
export function readDisk(spec: string, spot: Spot, report: Report): VbdDraft | undefined {
  const values = parameters(spec, spot, report);
  if (values === undefined) return undefined;
  const fault = (name: string, text: string): undefined => {
    report.fault({ ...spot, key: `${spot.key}.${name}` }, text);
  };
  const format = values.get("format") ?? "";
  if (format !== "" && format !== "raw")
    fault("format", `"${format}" is not raw: convert the image, and write its bytes`);
  const access = values.get("access") ?? "";
  if (!READ_ONLY.includes(access) && !WRITABLE.includes(access))
    fault("access", `"${access}" is not one of r, ro, w, rw`);
  const named = values.get("target") ?? "";
  if (named === "") return fault("target", "is missing: there are no empty drives");
  const target = targetOf(named);
  if (typeof target === "string") return fault("target", target);
  const vdev = values.get("vdev") ?? "";
  if (vdev === "") return fault("vdev", "is missing: a disk's name such as xvda");
  const writable = access === "" ? target.kind !== "module" : WRITABLE.includes(access);
  return { target, vdev, access: writable ? "w" : "r", model: values.get("model") as VbdDraft["model"] };
}

/** The supported parameters that have a value, by name; undefined when the specification cannot be understood. */
function parameters(spec: string, spot: Spot, report: Report): Map<string, string> | undefined {
  const values = new Map<string, string>();
  let ok = true;
  const set = (name: string, value: string): void => {
    const at = { ...spot, key: `${spot.key}.${name}` };
    // A target of "" may be written before the one that counts.
    if (values.has(name) && values.get(name) !== "") {
      report.fault(at, "is given twice");
      ok = false;
    } else if (report.supports(at, DISK_PARAMETERS.get(name), name, value, DISK_PARAMETERS.keys())) {
      values.set(name, value);
    }
  };
  let prefixed = false;
  for (let rest = spec.replace(/^[ \t\n]+/, ""); rest !== ""; rest = rest.replace(/^[ \t\n]+/, "")) {
    const prefix = /^([a-z][a-z0-9]*):/.exec(rest)?.[1];
    if (prefix !== undefined && !values.has("target") && isPrefix(prefix)) {
      prefixed = true;
      if (FORMATS.includes(prefix)) set("format", prefix);
      if (SCRIPTS.includes(prefix)) set("script", `block-${prefix}`);
      rest = rest.slice(prefix.length + 1);
      continue;
    }
    // It takes all that is left, commas too.
    if (rest.startsWith("target=")) {
      set("target", rest.slice("target=".length).replace(/,$/, ""));
      break;
    }
    const comma = rest.indexOf(",");
    const item = comma < 0 ? rest : rest.slice(0, comma);
    rest = comma < 0 ? "" : rest.slice(comma + 1);
    const equals = item.indexOf("=");
    if (equals >= 0) {
      set(item.slice(0, equals), item.slice(equals + 1));
    } else if (DISK_PARAMETERS.has(item) && !DISK_POSITIONS.some((name) => name === item)) {
      set(item, "");
    } else {
      const name = DISK_POSITIONS.find((name) => !values.has(name) && !(prefixed && name === "format"));
      if (name === undefined) {
        report.fault(spot, `"${item}" is one too many: ${DISK_POSITIONS.join(", ")} are given`);
        return undefined;
      }
      const devtype = name === "vdev" ? /^(.*):([^:]*)$/.exec(item) : null;
      set(name, devtype?.[1] ?? item);
      if (devtype !== null) set("devtype", devtype[2]);
    }
  }
  return ok ? values : undefined;
}

const FORMATS: readonly string[] = ["raw", "qcow", "qcow2", "vhd"];
const SCRIPTS: readonly string[] = ["iscsi", "nbd", "enbd", "drbd"];

function isPrefix(word: string): boolean {
  return IGNORED_PREFIXES.some((known) => known === word) || FORMATS.includes(word) || SCRIPTS.includes(word);
}
