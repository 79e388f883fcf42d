/** What a user may say of a disk: `--vbd` of `create`, and `vbd attach`. */
import { CommandError } from "../commands/command-error.ts";
import { deviceNumber } from "./device-number.ts";
import { parseSettings } from "./settings.ts";
import { parseModel, type DeviceModel } from "./vif-config.ts";

/** Where a disk's contents are. */
export const TARGET_KINDS = {
  volume: "a volume of Typevisor's (`volume list`)",
  ram: "memory of the size given, empty at first, gone with the domain",
  module: "a boot module, read-only",
  part: "a partition of the machine's disk, by its label",
} as const;
export type TargetKind = keyof typeof TARGET_KINDS;

export interface VbdConfig {
  target: { kind: TargetKind; name: string };
  /** As given, such as "xvda". */
  vdev: string;
  /** Xen's number of it. */
  number: number;
  writable: boolean;
  /** As the domain's other devices if not given. */
  model?: DeviceModel;
}

const SETTINGS = { target: "KIND:NAME", vdev: "xvda", access: "r|w", model: "noxs|xenbus" } as const;

/** What `--vbd` takes, for help. */
export const VBD_USAGE = "target=KIND:NAME,vdev=xvda[,access=r|w][,model=noxs|xenbus]";

/** Bytes of a target's name. */
const TARGET_NAME_BYTES = 63;

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

function parseTarget(what: string, text: string): VbdConfig["target"] {
  const colon = text.indexOf(":");
  const kind = text.slice(0, Math.max(colon, 0));
  const name = text.slice(colon + 1);
  if (!Object.prototype.hasOwnProperty.call(TARGET_KINDS, kind)) {
    const known = Object.entries(TARGET_KINDS).map(([key, means]) => `${key}:NAME, ${means}`);
    throw new CommandError(`${what}: target: "${text}" has none of the forms ${known.join("; ")}`);
  }
  if (name === "" || name.length > TARGET_NAME_BYTES || /[^\x21-\x7e]/.test(name)) {
    throw new CommandError(`${what}: target: "${name}" is no name: 1 to ${TARGET_NAME_BYTES} visible characters`);
  }
  return { kind: kind as TargetKind, name };
}
