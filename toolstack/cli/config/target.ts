/** What a disk is on, and what a kernel is read from, as users write it in any of the formats. */
import { CommandError } from "../../api/command-error.ts";
import { TARGET_KINDS, type TargetKind } from "../../api/devices/names.ts";
import { parseBytes, SECTOR_BYTES } from "../../api/sizes.ts";
import type { ImageDescription, VbdDescription } from "./description.ts";

const KINDS = Object.keys(TARGET_KINDS) as TargetKind[];

const MODULE = "module:";
/** `module:NAME` is a boot module, everything else a path of this computer. */
export function imageOf(text: string): ImageDescription {
  if (text.startsWith(MODULE)) return { from: "module", name: text.slice(MODULE.length) };
  return { from: "file", name: text };
}

/**
 * `[KIND:]NAME` with a kind of ours, a volume without one. A size of `ram` that is none stays as it is: the description
 * refuses it.
 * @returns a string that says what is wrong where there is no such kind
 */
export function targetOf(text: string): VbdDescription["target"] | string {
  const colon = text.indexOf(":");
  const kind = KINDS.find((known) => colon >= 0 && known === text.slice(0, colon));
  const name = text.slice(colon + 1);
  if (kind !== undefined) return { kind, name: kind === "ram" ? bytesOf(name) : name };
  if (text.includes("/")) {
    return (
      `"${text}" is a path, and disks are no files here: write the name of a volume (\`volume create NAME SIZE\` in ` +
      "Typevisor's console makes one), part:LABEL, file:LABEL/PATH, module:NAME or ram:SIZE"
    );
  }
  if (colon < 0) return { kind: "volume", name: text };
  return `"${text}" is none of NAME, ${KINDS.map((known) => `${known}:NAME`).join(", ")}`;
}

function bytesOf(size: string): string {
  try {
    return String(parseBytes("ram", size, SECTOR_BYTES));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return size;
  }
}
