/**
 * Numbers of virtual block devices: Xen's encoding of a disk's name for the store (xen-vbd-interface(7)), which are the names
 * of the nodes `device/vbd/NUMBER`.
 */

/** xvda: major 202, 16 partitions a disk. */
const XVD_MAJOR = 202;
/** Extended: bit 28, disk number from bit 8 up, partition below. */
const EXTENDED = 1 << 28;
const SD_MAJOR = 8;
const HD_MAJORS = [3, 22];

const XVD_DISKS = 16;
const XVD_PARTITIONS = 16;
const EXTENDED_DISKS = 1 << 20;
const EXTENDED_PARTITIONS = 256;

/** 0 for "a", 25 for "z", 26 for "aa". */
function diskOfLetters(letters: string): number {
  let disk = 0;
  for (const letter of letters) disk = disk * 26 + (letter.charCodeAt(0) - 0x60);
  return disk - 1;
}

function lettersOfDisk(disk: number): string {
  let letters = "";
  for (let rest = disk + 1; rest > 0; rest = Math.floor((rest - 1) / 26)) {
    letters = String.fromCharCode(0x61 + ((rest - 1) % 26)) + letters;
  }
  return letters;
}

/** The number of "xvda", "xvdb1", "sda", "hda" or "d0p1"; null for what is no such name. */
export function deviceNumber(name: string): number | null {
  const numbered = /^d([0-9]{1,7})(?:p([0-9]{1,3}))?$/.exec(name);
  if (numbered !== null) return xvdNumber(Number(numbered[1]), Number(numbered[2] ?? 0));
  const match = /^(xvd|sd|hd)([a-z]{1,4})([1-9][0-9]{0,2})?$/.exec(name);
  if (match === null) return null;
  const disk = diskOfLetters(match[2]!);
  const partition = Number(match[3] ?? 0);
  if (match[1] === "xvd") return xvdNumber(disk, partition);
  if (match[1] === "sd") return disk < 16 && partition < 16 ? (SD_MAJOR << 8) | (disk << 4) | partition : null;
  return disk < 4 && partition < 64 ? (HD_MAJORS[disk >> 1]! << 8) | ((disk & 1) << 6) | partition : null;
}

function xvdNumber(disk: number, partition: number): number | null {
  if (disk < XVD_DISKS && partition < XVD_PARTITIONS) return (XVD_MAJOR << 8) | (disk << 4) | partition;
  if (disk < EXTENDED_DISKS && partition < EXTENDED_PARTITIONS) return EXTENDED | (disk << 8) | partition;
  return null;
}

/** The name that Linux' frontend gives to an xvd device; null for a number of another kind. */
export function deviceName(number: number): string | null {
  const extended = (number & EXTENDED) !== 0;
  if (!extended && number >> 8 !== XVD_MAJOR) return null;
  const disk = extended ? (number & (EXTENDED - 1)) >> 8 : (number & 0xff) >> 4;
  const partition = extended ? number & 0xff : number & 0xf;
  return `xvd${lettersOfDisk(disk)}${partition === 0 ? "" : partition}`;
}

/** A disk's name, of any kind; the number where it has none. */
export function vdevName(number: number): string {
  const minor = number & 0xff;
  const named = (prefix: string, disk: number, partition: number) =>
    `${prefix}${lettersOfDisk(disk)}${partition === 0 ? "" : partition}`;
  if (number >> 8 === SD_MAJOR) return named("sd", minor >> 4, minor & 0xf);
  const channel = HD_MAJORS.indexOf(number >> 8);
  if (channel >= 0) return named("hd", 2 * channel + (minor >> 6), minor & 0x3f);
  return deviceName(number) ?? String(number);
}
