/** The initramfs of the Linux guest: BusyBox with a shell on the console that the kernel was given. */
import { type CpioEntry, makeCpio } from "./cpio.ts";

/**
 * Process 1 at first: mounts, BusyBox's commands, a greeting; then BusyBox's own init. /etc/inittab makes that run the
 * shell, again whenever it ends, and take processes and mounts down before `poweroff` and `reboot`.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys /tmp /root /usr/bin /usr/sbin
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s
read -r type < /sys/hypervisor/type
read -r major < /sys/hypervisor/version/major
read -r minor < /sys/hypervisor/version/minor
read -r extra < /sys/hypervisor/version/extra
echo
echo "$(uname -s) $(uname -r), $(nproc) CPU(s), $(free -m | awk '/^Mem:/ { print $2 }') MiB of memory"
echo "Hypervisor: \${type:-unknown} \${major:-?}.\${minor:-?}\${extra}"
echo "Ctrl-] gives Typevisor's prompt, \\\`console linux\\\` there comes back; poweroff and reboot end this guest."
echo
exec /sbin/init
`;

const INITTAB = `::respawn:-/bin/sh
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
`;

const PROFILE = `export PS1='linux:\\w# ' HOME=/root PATH=/bin:/sbin:/usr/bin:/usr/sbin
cd /root
`;

/** The archive, with `busybox` (a static binary) as everything in it. */
export function makeInitramfs(busybox: Uint8Array): Buffer {
  const folders: CpioEntry[] = ["bin", "sbin", "dev", "etc", "root"].map((path) => ({
    kind: "folder",
    path,
    mode: 0o755,
  }));
  const text = (path: string, mode: number, content: string): CpioEntry => ({
    kind: "file",
    path,
    mode,
    data: Buffer.from(content, "utf8"),
  });
  return makeCpio([
    ...folders,
    // The kernel opens it for process 1 before anything is mounted.
    { kind: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { kind: "file", path: "bin/busybox", mode: 0o755, data: busybox },
    text("init", 0o755, INIT),
    text("etc/inittab", 0o644, INITTAB),
    text("etc/profile", 0o644, PROFILE),
  ]);
}
