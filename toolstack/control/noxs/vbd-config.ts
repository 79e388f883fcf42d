/** What a user may say of a disk: `--vbd` of `create`, and `vbd attach`. */
import { CommandError } from "../../api/command-error.ts";
import {
  FILE_CHARACTERS,
  isFilePath,
  isLabel,
  isModuleName,
  isVolumeName,
  LABEL_CHARACTERS,
  RAM_BYTES,
  TARGET_KINDS,
  TARGET_NAME_BYTES,
  type DeviceModel,
  type TargetKind,
} from "../../api/devices/names.ts";
import { VBD_USAGE } from "../../api/devices/usage.ts";
import { parseBytes, SECTOR_BYTES } from "../../api/sizes.ts";
import { deviceNumber } from "../../api/devices/device-number.ts";
import { parseSettings } from "./settings.ts";
import { parseModel } from "./vif-config.ts";

/** What a vbd is on. */
export interface VbdTarget {
  kind: TargetKind;
  /** Of `ram`: its bytes, in digits. */
  name: string;
}

export interface VbdConfig {
  target: VbdTarget;
  /** As given, such as "xvda". */
  vdev: string;
  /** Xen's number of it. */
  number: number;
  writable: boolean;
  /** As the domain's other devices if not given. */
  model?: DeviceModel;
}

const SETTINGS = { target: "[KIND:]NAME", vdev: "xvda", access: "r|w", model: "noxs|xenbus" } as const;

/** @throws CommandError */
export function parseVbd(what: string, text: string): VbdConfig {
  const settings = parseSettings(what, text, SETTINGS);
  const vdev = settings.get("vdev");
  const target = settings.get("target");
  if (target === undefined || vdev === undefined) {
    throw new CommandError(`${what}: ${target === undefined ? "target" : "vdev"} is missing: ${VBD_USAGE}`);
  }
  const number = deviceNumber(vdev);
  if (number === null) throw new CommandError(`${what}: vdev: "${vdev}" is no disk's name, such as xvda or xvdb1`);
  const config: VbdConfig = { target: parseTarget(what, target), vdev, number, writable: true };
  if (config.target.kind === "module") config.writable = false;
  const access = settings.get("access");
  if (access !== undefined) {
    if (access !== "r" && access !== "w") throw new CommandError(`${what}: access: "${access}" is not one of r, w`);
    if (access === "w" && config.target.kind === "module") {
      throw new CommandError(`${what}: access=w: a boot module is read-only`);
    }
    config.writable = access === "w";
  }
  const model = settings.get("model");
  if (model !== undefined) config.model = parseModel(what, model);
  return config;
}

/** A target as the I/O domain and listings have it. */
export function formatTarget({ kind, name }: VbdTarget): string {
  return `${kind}:${name}`;
}

/** A vbd's settings as `parseVbd` reads them. */
export function formatVbd({ target, vdev, writable, model }: VbdConfig): string {
  // A size without a unit is MiB.
  const unit = target.kind === "ram" ? "B" : "";
  const settings = [`target=${formatTarget(target)}${unit}`, `vdev=${vdev}`, `access=${writable ? "w" : "r"}`];
  if (model !== undefined) settings.push(`model=${model}`);
  return settings.join(",");
}

function parseTarget(what: string, text: string): VbdTarget {
  const colon = text.indexOf(":");
  const kind = colon < 0 ? "volume" : text.slice(0, colon);
  const name = text.slice(colon + 1);
  if (!Object.prototype.hasOwnProperty.call(TARGET_KINDS, kind)) {
    const known = Object.entries(TARGET_KINDS).map(([key, means]) => `${key}:NAME, ${means}`);
    throw new CommandError(`${what}: target: "${text}" has none of the forms ${known.join("; ")}`);
  }
  if (kind === "ram") return { kind, name: String(parseRam(what, name)) };
  if (kind === "volume") return { kind, name: parseVolumeName(`${what}: target`, name) };
  if (kind === "file") return { kind, name: parsePath(what, name) };
  const [most, valid] = kind === "part" ? [LABEL_CHARACTERS, isLabel] : [TARGET_NAME_BYTES, isModuleName];
  if (!valid(name)) {
    throw new CommandError(`${what}: target: "${name}" is no name: 1 to ${most} visible characters`);
  }
  return { kind: kind as TargetKind, name };
}

function parsePath(what: string, text: string): string {
  if (!isFilePath(text)) {
    throw new CommandError(
      `${what}: target: "${text}" is no path of a file: names with / between them, ${FILE_CHARACTERS} characters of ASCII ` +
        `at most, none of them empty, "." or ".."`,
    );
  }
  return text;
}

function parseRam(what: string, size: string): number {
  const bytes = parseBytes(`${what}: target: ram`, size, SECTOR_BYTES);
  if (bytes > RAM_BYTES) {
    throw new CommandError(`${what}: target: ram:${size} is too large: all of them together may have 16M`);
  }
  return bytes;
}

/**
 * A volume's or snapshot's name.
 * @throws CommandError
 */
export function parseVolumeName(what: string, name: string): string {
  if (!isVolumeName(name)) {
    throw new CommandError(
      `${what}: "${name}" is no name of a volume: letters, digits and ._+@-, ${TARGET_NAME_BYTES} at most`,
    );
  }
  return name;
}
