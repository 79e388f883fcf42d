/** Xen's Linux domain 0: starts Xen's daemons, creates guests, prints the time that took, and powers off. */
import { LINUX_PROMPT } from "../../linux/guest.ts";

/** The guest whose creation and destruction are measured. */
export const SMALL_GUEST = { name: "hello", memoryMib: 16 };

/** How often the small guest is made and destroyed; the first time warms up. */
export const ROUNDS = 4;

/** Begins each line with a figure: its name and a number. */
export const FIGURE = "XEN-FIGURE:";

const [BEFORE_HASH] = LINUX_PROMPT.split("#") as [string];

/**
 * The clock is CLOCK_MONOTONIC as /proc/timer_list has it, ns: Xen's system time, of the TSC, which counts instructions here.
 * The guest's console is read through `xl console`, at once when the guest runs (`xl create -c` sleeps for a second before
 * it lets it run). awk's records end where the prompt has its '#'.
 */
export const DOMAIN_0_INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /tmp /run/lock /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/lib/xen-4.17/bin
ln -s /run /var/run
ln -s /run/lock /var/lock
mkdir /dev/pts
set -e
# However it ends: the machine is to end.
trap 'echo b > /proc/sysrq-trigger' EXIT
mount -t devpts pts /dev/pts
for driver in /drivers/*; do insmod $driver; done
mount -t xenfs xenfs /proc/xen
xenstored
xen-init-dom0
xenconsoled

figure() { echo "${FIGURE} $1 $2"; }
now() { while read -r first second ns rest; do if [ "$first $second" = "now at" ]; then NOW=$ns; return; fi; done < /proc/timer_list; }

for round in $(seq ${ROUNDS}); do
  now; start=$NOW
  now; figure empty $((NOW - start))
  now; start=$NOW
  xl create -p -q /guests/small.cfg
  now; figure create-small $((NOW - start))
  now; start=$NOW
  xl destroy small
  now; figure destroy-small $((NOW - start))
done

now; start=$NOW
xl create -p -q /guests/linux.cfg
now; figure create-linux $((NOW - start))
xl destroy linux

mkfifo /tmp/in /tmp/out
exec 3<>/tmp/in
now; start=$NOW
xl create -q /guests/linux.cfg
xl console linux <&3 >/tmp/out 2>/tmp/said &
awk 'BEGIN { RS = "#" } /${BEFORE_HASH.replaceAll("/", "\\/")}$/ { found = 1; exit } END { exit !found }' </tmp/out || { cat /tmp/said; exit 1; }
now; figure linux-shell $((NOW - start))
xl destroy linux
`;
