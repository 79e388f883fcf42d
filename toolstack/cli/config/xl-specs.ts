/** The parameters of xl's disk and vif specifications, and what `create` does with each: see XlKey. */
import type { XlKey } from "./xl-keys.ts";

/** Whose place in a specification is without a name, in that order. */
export const DISK_POSITIONS = ["target", "format", "vdev", "access"] as const;

/** xend's prefixes, which xl strips and forgets. */
export const IGNORED_PREFIXES = ["tapdisk", "tap", "tap2", "aio", "ioemu", "file", "phy"] as const;

type Parameter = [key: string, verdict: XlKey["verdict"], note: string, ...except: string[]];

const COLO = "no guest runs on two machines";

const DISK: Parameter[] = [
  [
    "target",
    "supported",
    "a volume's name, or volume:NAME, part:LABEL (a partition), module:NAME (a boot module, read-only), ram:SIZE. There are " +
      "no block devices of a host and no image files: a path is refused",
  ],
  ["format", "supported", "raw only"],
  ["vdev", "supported", "xvda, xvdb1, sda, hda, d0p1 and the like"],
  ["access", "supported", "r, ro, w or rw; w if not given (module: r)"],
  ["model", "supported", "of Typevisor, not of xl: noxs or xenbus, how the guest is told of this disk"],
  ["discard", "supported", "disks always can"],
  ["no-discard", "refused", "disks always can: leave it out"],
  ["devtype", "refused", "there are no CD-ROM drives: write access=r", "disk"],
  ["cdrom", "refused", "there are no CD-ROM drives: write access=r"],
  ["backend", "refused", "disks are the I/O domain's: leave it out", "0", "Domain-0"],
  ["backendtype", "idle", "disks are the I/O domain's, whatever it says"],
  ["script", "refused", "no script is run for a disk"],
  ["direct-io-safe", "idle", "about a fault of Linux in domain 0"],
  ["trusted", "idle", "guests are told nothing else"],
  ["untrusted", "refused", "no guest is told so"],
  ["specification", "refused", "disks speak Xen's protocol or NoXS: leave it out", "xen"],
  ["no-colo", "idle", COLO],
  ["colo", "refused", COLO],
  ["colo-host", "refused", COLO],
  ["colo-port", "refused", COLO],
  ["colo-export", "refused", COLO],
  ["active-disk", "refused", COLO],
  ["hidden-disk", "refused", COLO],
];

const VIF: Parameter[] = [
  ["mac", "supported", "six bytes with colons"],
  ["bridge", "supported", "xenbr0 if not given, as in xl; at most 15 letters, digits and ._-"],
  ["ip", "supported", "one IPv4 address: the only one that the guest may send from"],
  ["rate", "supported", "as in xl; the interval at most 9.999999 s"],
  [
    "model",
    "supported",
    "of Typevisor: noxs or xenbus, how the guest is told of this vif. xl's cards are for HVM guests only; idle",
  ],
  ["devid", "supported", "the vif's place in the list, from 0, only"],
  ["type", "refused", "there are no emulated cards: leave it out", "vif"],
  ["script", "refused", "no script is run for a vif: it is connected to its bridge", "vif-bridge"],
  ["vifname", "idle", "in domain 0 a vif has no name"],
  ["gatewaydev", "idle", "for the script vif-route"],
  ["netdev", "idle", "for the script vif-route"],
  ["backend", "refused", "vifs are the I/O domain's: leave it out", "0", "Domain-0"],
  ["mtu", "refused", "it is the bridge's: leave it out", "1500"],
  ["accel", "refused", "xl does not support it either"],
  ["trusted", "idle", "guests are told nothing else"],
  ["untrusted", "refused", "no guest is told so"],
  ["forwarddev", "refused", COLO],
  ["colo_...", "refused", COLO],
];

function tableOf(parameters: Parameter[]): ReadonlyMap<string, XlKey> {
  return new Map(parameters.map(([key, verdict, note, ...except]) => [key, { key, verdict, note, except }]));
}

export const DISK_PARAMETERS = tableOf(DISK);
export const VIF_PARAMETERS = tableOf(VIF);
