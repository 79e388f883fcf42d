/** Our guests with devices of Linux's back ends, as jobs of domain 0. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { CpioEntry } from "../../linux/cpio.ts";
import { guestsFolder } from "../../paths.ts";
import { file, xlConfig } from "./archive.ts";

/** Memory of each guest: Xen's toolstack has no use for less. */
const GUEST_MIB = 16;

/** Begins a line with what a guest has said: its run's name, then the line. */
export const SAID = "XEN-GUEST:";

/** A guest for `xl create /guests/NAME.cfg`. */
export interface XlGuest {
  /** Of the configuration. */
  config: string;
  /** Of our guests. */
  kernel: string;
  commandLine?: string;
  /** As xl.cfg(5) has them: `mac=..,bridge=..`. */
  vifs?: string[];
  /** As xl-disk-configuration(5) has them. */
  disks?: string[];
  /** Of its vCPU, for the scheduler: 256 is neutral. */
  weight?: number;
}

/**
 * What `xl` calls when a device's backend is there. Debian's own scripts are for a whole system; what these devices need of them is
 * that a vif is a port of its bridge, and that a vbd's backend is told which block device it is.
 */
const HOTPLUG = `#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
case "$1 $XENBUS_TYPE" in
  "online vif") brctl addif "$(xenstore-read "$XENBUS_PATH/bridge")" "$vif"; ip link set "$vif" up ;;
  "add vbd") xenstore-write "$XENBUS_PATH/physical-device" "$(stat -c %t:%T "$(xenstore-read "$XENBUS_PATH/params")")" ;;
esac
case "$1" in online | add) xenstore-write "$XENBUS_PATH/hotplug-status" connected ;; esac
`;

const SCRIPT_PATH = "/etc/xen/scripts/device";

/** The files for these guests. */
export function xlGuestFiles(guests: XlGuest[]): CpioEntry[] {
  const kernels = [...new Set(guests.map(({ kernel }) => kernel))];
  const configs = guests.map((guest) =>
    file(
      `guests/${guest.config}.cfg`,
      xlConfig({
        type: "pvh",
        kernel: `/guests/${guest.kernel}`,
        memory: GUEST_MIB,
        vcpus: 1,
        // The TSC is the clock that counts instructions: it is not to be emulated.
        tsc_mode: "native",
        cmdline: guest.commandLine ?? "",
        cpu_weight: guest.weight ?? 256,
        vif: (guest.vifs ?? []).map((vif) => `${vif},script=${SCRIPT_PATH}`),
        // The target takes the rest of the line.
        disk: (guest.disks ?? []).map((disk) => `script=${SCRIPT_PATH},${disk}`),
      }),
    ),
  );
  return [
    ...kernels.map((kernel) => file(`guests/${kernel}`, readFileSync(path.join(guestsFolder, `${kernel}.elf`)))),
    ...configs,
    file(SCRIPT_PATH.slice(1), HOTPLUG, 0o755),
  ];
}

/**
 * Shell functions: `start CONFIG COMMAND-LINE` makes a guest, its id in ID; `await RUN CONFIG COMMAND-LINE` makes one and waits for its
 * end, then prints what it has said as lines of RUN; NEXT is the id that the next guest will have.
 */
export const XL_FUNCTIONS = `
NEXT=1
made() { ID=$NEXT; NEXT=$((NEXT + 1)); }
start() { made; xl create -q /guests/$1.cfg "name=\\"guest$ID\\"" "cmdline=\\"$2\\""; }
await() {
  made
  xl create -q -F /guests/$2.cfg "name=\\"guest$ID\\"" "cmdline=\\"$3\\"" >/tmp/said 2>&1 || cat /tmp/said
  # The console's daemon may not have read it all yet.
  for try in 1 2 3 4 5 6 7 8 9 10; do grep -q TYPEVISOR-GUEST: /console/guest-guest$ID.log && break; sleep 0.2; done
  while read -r line; do echo "${SAID} $1 $line"; done < /console/guest-guest$ID.log
}
`;

/** What a guest said in a run, in lines. */
export function saidBy(lines: string[], run: string): string[] {
  const start = `${SAID} ${run} `;
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));
}
