/**
 * Configurations of PVH guests as public documents and generators write them: the keys and the forms of each, in our own words. What can
 * be had here is taken, notes included; what cannot is refused by the name of its key, with its line. Xen's own example files are
 * read in test/boot/xen-scripts.test.ts.
 */
import test from "ava";
import { ConfigError } from "../../../toolstack/cli/config/problems.ts";
import { readXlConfig } from "../../../toolstack/cli/config/xl-cfg.ts";

interface Example {
  /** Who writes such files. */
  of: string;
  text: string;
  /** `line key` of each fault; none if it is taken. */
  refused: string[];
  /** `line key` of each note, when it is taken. */
  noted?: string[];
}

const EXAMPLES: Example[] = [
  {
    of: "the Xen project's handbook, with a logical volume",
    text: `type = "pvh"
name = "guest"
memory = 512
vcpus = 2
kernel = "/boot/vmlinuz"
ramdisk = "/boot/initrd.img"
extra = "root=/dev/xvda1 ro console=hvc0"
disk = [ "phy:/dev/vg0/guest,xvda,w" ]
vif = [ "bridge=xenbr0" ]
`,
    refused: ["8 disk[0].target"],
  },
  {
    of: "the same with a volume of ours",
    text: `type = "pvh"
name = "guest"
kernel = "/boot/vmlinuz"
disk = [ "phy:guest,xvda,w" ]
vif = [ "bridge=xenbr0" ]
`,
    refused: [],
    noted: [],
  },
  {
    of: "the Xen project's automated tests: lists with a comma at their end, and empty ones",
    text: `type = "pvh"
name = "domU"
kernel = "/boot/vmlinuz"
ramdisk = "/boot/initrd-domU"
extra = "root=/dev/ram0 console=hvc0"
memory = 512
vif = [ "bridge=xenbr0", ]
disk = [ ]
`,
    refused: [],
    noted: [],
  },
  {
    of: "MirageOS's generator: parameters by name, and the target last",
    text: `name = 'hello'
kernel = 'hello.xen'
type = 'pvh'
memory = 256
on_crash = 'preserve'

disk = [ 'format=raw, vdev=xvda, access=rw, target=data', ]
# vif = [ 'mac=c0:ff:ee:c0:ff:ee,bridge=br0' ]
`,
    refused: [],
    noted: ["5 on_crash"],
  },
  {
    of: "a host with DRBD and names for its interfaces",
    text: `kernel = "/data/kernels/vmlinuz"
root = "/dev/xvda1 ro console=hvc0"
name = "guest7"
vcpus = 3
memory = 7168
disk = ['phy:/dev/drbd/by-res/guest7/0,xvda1,w']
vif = [ 'bridge=guestbr0, vifname=g7.0',
        'bridge=guestbr0, vifname=g7.1' ]
type = "pvh"
`,
    refused: ["6 disk[0].target"],
  },
  {
    of: "a FreeBSD image with settings of HVM guests beside it",
    text: `type = "pvh"
memory = 2048
vcpus = 2
name = "BSD"
kernel = "/work/kernel/boot/kernel/kernel"
cmdline = "vfs.root.mountfrom=ufs:/dev/ada0p3"
disk = [ 'bsd,raw,hda,w' ]
boot = "c"
serial = 'pty'
on_poweroff = 'destroy'
on_reboot = 'restart'
on_crash = 'restart'
`,
    refused: [],
    noted: ["8 boot", "9 serial", "12 on_crash"],
  },
  {
    of: "Debian's GRUB for PVH guests, with numbers in quotes",
    text: `type = 'pvh'
memory = '512'
kernel = '/usr/lib/grub-xen/grub-i386-xen_pvh.bin'
name = 'web.example.com'
vif = [ 'mac=00:16:3e:aa:bb:cc,bridge=xenbr0,script=vif-bridge' ]
disk = [ 'web,raw,xvda,rw' ]
on_poweroff = 'destroy'
vcpus = '1'
`,
    refused: [],
    noted: ["5 vif[0].script"],
  },
  {
    of: "a course's exercise: pygrub and an image in QEMU's format",
    text: `bootloader = 'pygrub'
vcpus = 2
memory = 1024
root = '/dev/xvda1 ro'
disk = [
  '/home/images/vm.qcow2,qcow2,hda,rw'
]
name = 'myvm'
type = 'pvh'
vif = [ 'bridge=br0' ]
`,
    // And no kernel: a line of its own, for the whole file.
    refused: ["- kernel", "1 bootloader", "6 disk[0].format", "6 disk[0].target"],
  },
  {
    of: "Ganeti, for an instance of kind PV with a volume of ours",
    text: `# Automatically generated
kernel = '/boot/vmlinuz-3-xenU'
memory = 256
maxmem = 256
vcpus = 1
name = 'instance1.example.com'
vif = ['mac=aa:00:00:58:8a:2b, ip=192.0.2.7, bridge=xen-br0']
disk = ['phy:instance1,xvda,w']
root = '/dev/xvda1'
on_poweroff = 'preserve'
on_reboot = 'restart'
on_crash = 'restart'
extra = 'ro'
`,
    refused: [],
    // It is PVH if its kernel is.
    noted: ["- type", "12 on_crash"],
  },
  {
    of: "a host that passes a network card to its guest",
    text: `type = "pvh"
name = "router"
kernel = "/boot/vmlinuz"
memory = 1024
pci = [ '0000:03:10.1' ]
`,
    refused: ["5 pci"],
  },
];

const place = ({ place: { line }, key }: { place: { line?: number }; key?: string }) => `${line ?? "-"} ${key}`;

for (const { of, text, refused, noted } of EXAMPLES) {
  test(`${of}: ${refused.length === 0 ? "taken" : `refused for ${refused.join(", ")}`}`, (t) => {
    if (refused.length === 0) {
      const { notes } = readXlConfig(text, "guest.cfg");
      t.deepEqual(notes.map(place), noted);
      return;
    }
    const error = t.throws(() => readXlConfig(text, "guest.cfg"), { instanceOf: ConfigError });
    t.deepEqual(error?.problems.map(place), refused);
  });
}
