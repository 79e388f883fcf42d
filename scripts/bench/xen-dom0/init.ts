/** What Xen's Linux domain 0 runs: Xen's daemons are started, then measurements follow, and the machine powers off. */

/** Begins each line with a figure: its name and a number. */
export const FIGURE = "XEN-FIGURE:";

/**
 * The script /init. Before `body`: drivers are loaded, the daemons run; guests' consoles are kept in /console/guest-NAME.log.
 * The body's `now` puts system time into NOW: CLOCK_MONOTONIC as /proc/timer_list has it, ns, which is Xen's, of the TSC, which
 * counts instructions here. A command of the body that fails ends the machine.
 */
export function domain0Init(body: string): string {
  return `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /tmp /run/lock /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen /console
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
xenconsoled --log=guest --log-dir=/console

figure() { echo "${FIGURE} $1 $2"; }
now() { while read -r first second ns rest; do if [ "$first $second" = "now at" ]; then NOW=$ns; return; fi; done < /proc/timer_list; }

${body}`;
}
