/** Why a file cannot be a vbd's disk, in words that say what to do: what the I/O domain has found (VbdRefusal). */
import {
  FILE_ABSENT,
  FILE_BAD_DIRECTORY,
  FILE_BOOT_SECTOR,
  FILE_CHAIN_BROKEN,
  FILE_CHAIN_CYCLE,
  FILE_CHAIN_LONG,
  FILE_CHAIN_SHORT,
  FILE_CROSS_LINKED,
  FILE_EMPTY,
  FILE_FRAGMENTS,
  FILE_IS_DIRECTORY,
  FILE_NO_ROOM,
  FILE_NO_VOLUME,
  FILE_NOT_DIRECTORY,
  FILE_ODD_SIZE,
  FILE_PARTITION_BUSY,
  FILE_READ,
  VbdRefusal,
} from "../../../abi/io/control-block.ts";
import { Fields } from "./io-requests.ts";

const LABEL_BYTES = 36;
const REPAIR = "`fsck.vfat` repairs it, outside";
const COPY = "copy it anew to a partition with free space in one piece, best an empty one";

/** What is wrong with a file that is there. */
const FAULTS: Readonly<Record<number, string>> = {
  [FILE_NOT_DIRECTORY]: "has a file on its way where a directory should be",
  [FILE_IS_DIRECTORY]: "is a directory",
  [FILE_EMPTY]:
    "is empty: give it the size that the disk is to have (`truncate -s 64M FILE` before it is copied there)",
  [FILE_CHAIN_BROKEN]: `is damaged: its clusters lead to one that is free, bad or not there; ${REPAIR}`,
  [FILE_CHAIN_SHORT]: `is damaged: it has fewer clusters than its size needs; ${REPAIR}`,
  [FILE_CHAIN_LONG]: `is damaged: it has more clusters than its size needs; ${REPAIR}`,
  [FILE_CHAIN_CYCLE]: `is damaged: its clusters lead back to themselves, in a cycle; ${REPAIR}`,
  [FILE_CROSS_LINKED]: `is damaged: something else has some of its clusters too (cross-linked); ${REPAIR}`,
  [FILE_FRAGMENTS]: `is in more than 8192 fragments; ${COPY}`,
};

/** A VbdRefusal that came with a refused VBD_ADD; null: there was none. */
export function readRefusal(payload: Uint8Array | null): Fields | null {
  return payload === null || payload.length < VbdRefusal.SIZE ? null : new Fields(payload);
}

/** @param name of the target: [LABEL/]PATH */
export function fileRefusal(name: string, refusal: Fields): string {
  const reason = refusal.u32(VbdRefusal.reason);
  const number = refusal.u32(VbdRefusal.partition);
  const label = refusal.name(VbdRefusal.label, LABEL_BYTES);
  const disk = refusal.u32(VbdRefusal.disk);
  const labelled = label !== "" && name.startsWith(`${label}/`);
  const path = labelled ? name.slice(label.length + 1) : name.replace(/^\//, "");
  const partition = label === "" ? `partition ${number} of disk ${disk}` : `the partition "${label}" of disk ${disk}`;
  const file = `the file "${path}" on ${partition}`;
  switch (reason) {
    case FILE_NO_VOLUME:
      return labelled
        ? `${partition} holds no FAT file system: \`mkfs.vfat\` makes one, outside`
        : `there is no file "${path}": no partition of the machine's disks holds a FAT file system`;
    case FILE_ABSENT:
      return absent(refusal, path, partition, labelled);
    case FILE_ODD_SIZE: {
      const bytes = refusal.u32(VbdRefusal.bytes);
      return `${file} has ${bytes} bytes: a disk there has a multiple of ${refusal.u32(VbdRefusal.unit)}`;
    }
    case FILE_BOOT_SECTOR:
      return `the file system on ${partition} cannot be believed: its boot sector contradicts itself, or the partition`;
    case FILE_BAD_DIRECTORY:
      return `a directory on ${partition} is damaged, on the way to "${path}"; ${REPAIR}`;
    case FILE_NO_ROOM:
      return `there is no room for ${file}: 256 files may be open, in 65536 fragments together`;
    case FILE_PARTITION_BUSY:
      return `${partition} is in use as a whole, by a vbd on part:${label}, or its disk is being formatted`;
    case FILE_READ:
      return `${partition} could not be read while looking for "${path}": \`disk list\` counts the disk's errors`;
    default:
      return `${file} ${FAULTS[reason] ?? `cannot be opened (reason ${reason})`}`;
  }
}

function absent(refusal: Fields, path: string, partition: string, labelled: boolean): string {
  const volumes = refusal.u32(VbdRefusal.volumes);
  const first = path.includes("/") && !labelled ? path.slice(0, path.indexOf("/")) : null;
  const hint = first === null ? "" : `; and no partition has the label "${first}"`;
  if (labelled || volumes === 1) {
    return `there is no file "${path}" on ${partition}${labelled ? "" : ", the only one with a FAT file system"}${hint}`;
  }
  return `there is no file "${path}" on any of the ${volumes} partitions with a FAT file system${hint}`;
}
