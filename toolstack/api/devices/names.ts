/** Names of what devices are connected to, and the words for it. */

/** How a guest is told of its devices: Typevisor's device page, or the store. */
export type DeviceModel = "noxs" | "xenbus";
export const DEVICE_MODELS: readonly ["noxs", "xenbus"] = ["noxs", "xenbus"];

/** Where a disk's contents are. */
export const TARGET_KINDS = {
  volume: "a volume (`volume list`); a NAME without a kind is one too",
  ram: "memory of that size, such as ram:4M, empty at first, gone with the domain",
  module: "a boot module (`modules`), read-only",
  part: "a partition of one of the machine's disks, by its label",
  file: "a raw image that is a file on a FAT partition: [LABEL/]PATH, such as file:images/disk.img; all path: file:/PATH",
} as const;
export type TargetKind = keyof typeof TARGET_KINDS;

/** Bytes of a bridge's name: the NoXS vif page has 16, the last one 0. */
export const BRIDGE_NAME_BYTES = 15;
/** Bytes of a volume's or module's name, and of a partition's label. A comma ends it. */
export const TARGET_NAME_BYTES = 63;
export const LABEL_CHARACTERS = 36;
/** Of a file on one of the machine's disks: its path, with its partition's label (what VBD_TARGET_BYTES of abi/io/control-block.ts leave). */
export const FILE_CHARACTERS = 122;
/** What all RAM vbds may have together (noxs/volumes/ram.ts). */
export const RAM_BYTES = 16 * 1024 * 1024;

export function isBridgeName(name: string): boolean {
  return name.length <= BRIDGE_NAME_BYTES && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name);
}

/** A volume's or snapshot's. */
export function isVolumeName(name: string): boolean {
  return name.length <= TARGET_NAME_BYTES && /^[A-Za-z0-9][A-Za-z0-9._+@-]*$/.test(name);
}

export function isModuleName(name: string): boolean {
  return name.length <= TARGET_NAME_BYTES && /^[\x21-\x7e]+$/.test(name);
}

/** A partition's label, which may have spaces. */
export function isLabel(name: string): boolean {
  return name.length <= LABEL_CHARACTERS && /^[\x20-\x7e]+$/.test(name);
}

/** A file's path, with a partition's label before it or a slash; both may have spaces. */
export function isFilePath(path: string): boolean {
  const names = path.replace(/^\//, "").split("/");
  return path.length <= FILE_CHARACTERS && /^[\x20-\x7e]+$/.test(path) && !names.some((name) => /^\.{0,2}$/.test(name));
}
