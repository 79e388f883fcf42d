/** The initramfs of the Linux guest: BusyBox with a shell on the console that the kernel was given. */
import { type CpioEntry, makeCpio } from "./cpio.ts";
import { MERGED_FOLDERS } from "./package-files.ts";

/**
 * Process 1 at first: mounts, BusyBox's commands, a greeting; then BusyBox's own init. /etc/inittab makes that run the
 * shell, again whenever it ends, and take processes and mounts down before `poweroff` and `reboot`.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /tmp /run /var
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s
for module in /usr/lib/modules/*.ko; do [ -e "$module" ] && insmod "$module"; done
read -r type < /sys/hypervisor/type
read -r major < /sys/hypervisor/version/major
read -r minor < /sys/hypervisor/version/minor
read -r extra < /sys/hypervisor/version/extra
echo
echo "$(uname -s) $(uname -r), $(nproc) CPU(s), $(free -m | awk '/^Mem:/ { print $2 }') MiB of memory"
echo "Hypervisor: \${type:-unknown} \${major:-?}.\${minor:-?}\${extra}"
echo "Ctrl-] gives Typevisor's prompt, \\\`console linux\\\` there comes back; poweroff and reboot end this guest."
echo
if [ -e /sys/class/net/eth0 ]; then
  ip link set lo up
  ip link set eth0 up
  udhcpc -i eth0 -b -S -s /etc/udhcpc >/dev/null 2>&1 &
fi
exec /sbin/init
`;

/** What udhcpc has done with an address that it got. */
const UDHCPC = `#!/bin/sh
case "$1" in
deconfig) ip address flush dev "$interface" ;;
bound | renew)
  ip address flush dev "$interface"
  ip address add "$ip/\${mask:-24}" dev "$interface"
  if [ -n "$router" ]; then ip route add default via "\${router%% *}"; fi
  : >/etc/resolv.conf
  for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
  ;;
esac
`;

const INITTAB = `::respawn:-/bin/sh
::respawn:/sbin/uevent /etc/uevent
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
`;

/** A CPU that comes (Typevisor's `vcpu-set`) is used, as udev's rules of most systems have it in a virtual machine. */
const UEVENT = `#!/bin/sh
if [ "$SUBSYSTEM $ACTION" = "cpu add" ]; then echo 1 > "/sys$DEVPATH/online"; fi
`;

const PROFILE = `export PS1='linux:\\w# ' HOME=/root PATH=/bin:/sbin:/usr/bin:/usr/sbin
cd /root
`;

/** All folders above `paths`, each before what is in it. */
function foldersOf(paths: string[]): string[] {
  const parts = paths.map((file) => file.split("/"));
  const folders = parts.flatMap((words) => words.slice(1).map((_, count) => words.slice(0, count + 1).join("/")));
  return [...new Set(folders)].toSorted();
}

/**
 * The archive, with `busybox` (a static binary) as what makes it a system.
 * @param more files beside it, none of them in bin/, sbin/, lib/ or lib64/ at the top: those are links into usr/
 */
export function makeInitramfs(busybox: Uint8Array, more: CpioEntry[] = []): Buffer {
  const text = (path: string, mode: number, content: string): CpioEntry => ({
    kind: "file",
    path,
    mode,
    data: Buffer.from(content, "utf8"),
  });
  const files: CpioEntry[] = [
    // The kernel opens it for process 1 before anything is mounted.
    { kind: "device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { kind: "file", path: "usr/bin/busybox", mode: 0o755, data: busybox },
    text("init", 0o755, INIT),
    text("etc/inittab", 0o644, INITTAB),
    text("etc/uevent", 0o755, UEVENT),
    text("etc/udhcpc", 0o755, UDHCPC),
    text("etc/profile", 0o644, PROFILE),
  ];
  // A package's own file goes before one of ours.
  const given = new Set(more.map(({ path }) => path));
  const all = [...files.filter(({ path }) => !given.has(path)), ...more];
  const inUsr = MERGED_FOLDERS.map((name) => `usr/${name}/x`);
  const folders = foldersOf([...all.map(({ path }) => path), "root/x", ...inUsr]);
  return makeCpio([
    ...folders.map((path): CpioEntry => ({ kind: "folder", path, mode: 0o755 })),
    ...MERGED_FOLDERS.map((name): CpioEntry => ({ kind: "link", path: name, target: `usr/${name}` })),
    ...all,
  ]);
}
