/** The machine's card, forwarded ports and disks: what the options take and refuse, and what QEMU is told. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { takeDefaultDisk } from "../../../scripts/default-disk.ts";
import {
  BOCHS_DISKS,
  bochsDisks,
  bochsNic,
  checkForwards,
  checkNic,
  openDisk,
  parseDisk,
  parseForward,
  qemuDevices,
} from "../../../scripts/devices.ts";
import { linuxCommands } from "../../../scripts/linux/guest.ts";

test("a forwarded port, and what is wrong with one", (t) => {
  const forward = { protocol: "tcp", hostPort: 8080, address: "10.0.2.10", port: 80 } as const;
  t.deepEqual(parseForward("tcp:8080:10.0.2.10:80"), forward);
  for (const [text, says] of [
    ["8080:80", /expected tcp\|udp:HOSTPORT:ADDRESS:PORT/],
    ["sctp:1:10.0.2.10:1", /expected tcp\|udp/],
    ["tcp:0:10.0.2.10:80", /"0" is no port/],
    ["tcp:65536:10.0.2.10:80", /"65536" is no port/],
    ["tcp:80:10.0.2.10:x", /"x" is no port/],
    ["tcp:80:10.0.2.2:80", /"10.0.2.2" is no guest's address: the machine's network is 10.0.2.0\/24/],
    ["tcp:80:10.0.2.255:80", /is no guest's address/],
    ["tcp:80:10.0.2.010:80", /is no guest's address/],
    ["tcp:80:192.168.1.1:80", /is no guest's address/],
  ] as const) {
    t.throws(() => parseForward(text), { message: says }, text);
  }
});

test("a port that is in use, or given twice, is named", async (t) => {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = dgram.createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const guest = { address: "10.0.2.10", port: 80 };
  const tcp = { protocol: "tcp", hostPort: (server.address() as net.AddressInfo).port, ...guest } as const;
  const udp = { protocol: "udp", hostPort: socket.address().port, ...guest } as const;
  await t.throwsAsync(checkForwards([tcp]), {
    message: `--forward: tcp port ${tcp.hostPort} of 127.0.0.1 is in use; choose another one`,
  });
  await t.throwsAsync(checkForwards([udp]), { message: /udp port \d+ of 127.0.0.1 is in use/ });
  server.close();
  socket.close();
  await Promise.all([once(server, "close"), once(socket, "close")]);
  await t.notThrowsAsync(checkForwards([tcp, udp]));
  await t.throwsAsync(checkForwards([tcp, tcp]), { message: /tcp port \d+ is given twice/ });
});

test("a disk is made when it is absent and has a size, and never changed when it is there", (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-disk-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "a:b.img");
  t.deepEqual(parseDisk(`${file}:1M`), { file, bytes: 1 << 20 });
  t.deepEqual(parseDisk(file), { file });
  t.throws(() => openDisk(parseDisk(file)), { message: /there is no file .*a:b\.img; with a size it is made/ });
  openDisk(parseDisk(`${file}:1M`));
  t.is(statSync(file).size, 1 << 20);
  writeFileSync(file, Buffer.alloc(1 << 20, 7));
  openDisk(parseDisk(file));
  openDisk(parseDisk(`${file}:1024K`));
  t.true(readFileSync(file).every((byte) => byte === 7));
  t.throws(() => openDisk(parseDisk(`${file}:2M`)), { message: /has 1048576 bytes, not 2097152/ });
  writeFileSync(file, Buffer.alloc(1000));
  t.throws(() => openDisk(parseDisk(file)), { message: /has 1000 bytes: no whole number of sectors/ });
  t.throws(() => openDisk({ file: folder }), { message: /is not a regular file/ });
  t.throws(() => parseDisk("x:100"), { message: /no whole number of sectors/ });
  t.throws(() => parseDisk("x:"), { message: /expected FILE/ });
});

test("QEMU's options", (t) => {
  const forward = { protocol: "udp", hostPort: 5353, address: "10.0.2.20", port: 53 } as const;
  t.deepEqual(qemuDevices("e1000e", [forward], [{ file: "/a,b" }]), [
    "-netdev",
    "user,id=net0,net=10.0.2.0/24,hostfwd=udp:127.0.0.1:5353-10.0.2.20:53",
    "-device",
    "e1000e,netdev=net0",
    "-drive",
    "if=none,id=disk0,format=raw,file=/a,,b",
    "-device",
    "virtio-blk-pci,drive=disk0",
  ]);
  t.deepEqual(qemuDevices(null, [], []), []);
  t.deepEqual(
    qemuDevices("virtio-net", [], [{ file: "/d" }], "amd").filter((word) => !word.startsWith("-")),
    [
      "amd-iommu",
      "user,id=net0,net=10.0.2.0/24",
      "virtio-net-pci,netdev=net0,disable-legacy=on,iommu_platform=on",
      "if=none,id=disk0,format=raw,file=/d",
      "virtio-blk-pci,drive=disk0,disable-legacy=on,iommu_platform=on",
    ],
  );
});

test("the machine's own disk is made once, is blank until it has a partition table, and has one user", (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-disk-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const own = { file: path.join(folder, "build", "disk.img"), bytes: 1 << 20 };
  t.deepEqual(takeDefaultDisk(own), { disk: { file: own.file }, blank: true });
  t.is(takeDefaultDisk(own), process.pid, "in use");
  const image = readFileSync(own.file);
  image.write("EFI PART", 512);
  writeFileSync(own.file, image);
  rmSync(`${own.file}.session`);
  t.deepEqual(takeDefaultDisk(own), { disk: { file: own.file }, blank: false });
  // One that a session which was killed has left.
  writeFileSync(`${own.file}.session`, "999999999");
  t.deepEqual(takeDefaultDisk(own), { disk: { file: own.file }, blank: false });
});

test("Bochs' disks: the second of the first channel, then the others", (t) => {
  const disks = ["a", "b", "c"].map((file) => ({ file }));
  t.deepEqual(bochsDisks(disks), [
    'ata0-slave: type=disk, path="a", mode=flat, cylinders=0',
    "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
    'ata1-master: type=disk, path="b", mode=flat, cylinders=0',
    'ata1-slave: type=disk, path="c", mode=flat, cylinders=0',
  ]);
  const many = Array.from({ length: BOCHS_DISKS + 1 }, () => ({ file: "x" }));
  t.throws(() => bochsDisks(many), { message: /Bochs has room for 7 disks/ });
});

test("Linux gets a card and a volume where the machine has them", (t) => {
  const all = linuxCommands({ network: true, disk: true });
  t.regex(
    all,
    /^volume create linux 1G --if-absent; create --kernel vmlinuz .* --vif bridge=xenbr0 --vbd target=linux,vdev=xvda; console linux$/,
  );
  t.notRegex(linuxCommands({ network: false, disk: false }), /--v[ib]/);
});

test("Bochs' card is an e1000 on its module slirp, whose file has the forwarded ports", (t) => {
  const forward = parseForward("udp:5000:10.0.2.20:13");
  const { lines, text } = bochsNic([forward], "/folder/slirp");
  t.true(lines.includes("e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, script=/folder/slirp"));
  t.is(text, "# slirp config\nhostfwd = udp:127.0.0.1:5000-10.0.2.20:13\n");
});

test("a card or ports that a machine cannot have are refused in words", (t) => {
  const forward = parseForward("tcp:5000:10.0.2.20:80");
  t.notThrows(() => checkNic(false, "e1000e", Array<typeof forward>(20).fill(forward)));
  t.notThrows(() => checkNic(true, "e1000", Array<typeof forward>(5).fill(forward)));
  t.notThrows(() => checkNic(true, null, []));
  t.throws(() => checkNic(false, null, [forward]), { message: "--forward: there is no network card (--nic none)" });
  t.throws(() => checkNic(true, null, [forward]), { message: /--nic e1000 gives Bochs one$/ });
  t.throws(() => checkNic(true, "virtio-net", []), { message: "--nic: Bochs has no virtio-net; it has an e1000" });
  t.throws(() => checkNic(true, "e1000", Array<typeof forward>(6).fill(forward)), {
    message: /5 ports at most, not 6$/,
  });
});
