/** The I/O domain's drivers on whole machines: devices are found, and found again after the domain's restart. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "ava";
import { BOOT_MS, bootToPrompt, COMMAND_MS, GUEST_MS, powerOff, settle } from "./support/boot.ts";

/** Sectors of the disks. */
const SECTORS = 65536;

const DISKS = ["one.img", "two.img", "three.img"];

test.serial("network cards and disks of QEMU are found, also after a restart of the domain", async (t) => {
  t.timeout(GUEST_MS);
  const folder = mkdtempSync(path.join(tmpdir(), "typevisor-disks-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const drives = DISKS.map((name, i) => {
    const file = path.join(folder, name);
    writeFileSync(file, "");
    truncateSync(file, SECTORS * 512);
    return `file=${file},format=raw,if=none,id=d${i}`;
  });
  const machine = await bootToPrompt(t, {
    kind: "qemu-svm",
    devices: [
      ...["-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,packed=on,mac=52:54:00:00:00:01"],
      ...["-device", "pcie-root-port,id=root0,chassis=1"],
      ...["-netdev", "user,id=n1", "-device", "e1000e,bus=root0,netdev=n1,mac=52:54:00:00:00:02"],
      ...["-netdev", "user,id=n2", "-device", "e1000,netdev=n2,mac=52:54:00:00:00:03"],
      ...["-drive", drives[0]!, "-device", "virtio-blk-pci,drive=d0,packed=on"],
      ...["-drive", drives[1]!, "-device", "ide-hd,drive=d1,bus=ide.0"],
      ...["-drive", drives[2]!, "-device", "nvme,drive=d2,serial=three"],
    ],
  });
  // The hypervisor's log of what the domain said; its lines may have come before the prompt.
  const lines = [
    "virtio-net 0:1.0: network card 52:54:00:00:00:01, MTU 1500",
    "e1000e 1:0.0: network card 52:54:00:00:00:02, MTU 1500",
    "e1000 0:3.0: network card 52:54:00:00:00:03, MTU 1500",
    `virtio-blk 0:4.0 unit 0: disk of ${SECTORS} sectors`,
    `nvme 0:5.0 unit 1: disk of ${SECTORS} sectors`,
    `ahci 0:1f.2 unit 0: disk of ${SECTORS} sectors`,
  ];
  const said = async (): Promise<string> => {
    await settle(machine);
    return await machine.command("dmesg", COMMAND_MS);
  };
  const before = await said();
  for (const line of lines) t.is(before.split(line).length, 2, line);
  machine.send("io-restart\r");
  await machine.waitFor(lines.at(-1)!, BOOT_MS, "the devices of the restarted domain");
  const after = await said();
  for (const line of lines) t.is(after.split(line).length, 3, `again: ${line}`);
  await powerOff(t, machine);
});
