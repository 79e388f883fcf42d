/** Our unikernels on a bridge: TCP/IP between them, addresses by DHCP, how they are asked to end. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { collectFiles, packArchive } from "../../scripts/volume/archive.ts";
import { freePorts } from "../../scripts/devices.ts";
import { bootToPrompt, COMMAND_MS, powerOff } from "./support/boot.ts";
import { said } from "./support/tcp.ts";

test("unikernels reach each other over xenbus, each in few MiB, and end when they are asked to", async (t) => {
  const machine = await bootToPrompt(t);
  await machine.command("bridge create inner --dhcp 10.1.0.1/24", COMMAND_MS);
  const vif = (last: number) => `--xenbus --vif bridge=inner,ip=10.1.0.${last}`;
  await machine.command(`create --kernel nettest --name server --memory 4 ${vif(2)}`, COMMAND_MS);
  await machine.command(`create --kernel daytime --name clock --memory 2 ${vif(3)}`, COMMAND_MS);

  const client = await machine.command(
    `create --kernel nettest --memory 4 ${vif(4)} --cmdline "peer=10.1.0.2" --wait`,
    COMMAND_MS * 2,
  );
  t.regex(client, /network: 10\.1\.0\.4\/24, gateway 10\.1\.0\.1, by DHCP/);
  for (const name of ["echo", "sink", "source", "udp"]) t.regex(client, new RegExp(`nettest ${name} \\d+ bytes`));
  t.regex(client, /TYPEVISOR-GUEST: PASS nettest/);

  // The time is asked for by a datagram; its answer is the first frame after the neighbour's own.
  const started = await machine.command(
    `create --kernel timecost --memory 2 ${vif(5)} --cmdline "ip=10.1.0.5 peer=10.1.0.3" --wait`,
    COMMAND_MS,
  );
  t.regex(started, /timecost network-connected \d+ ticks \d+ ns\n/);
  t.regex(started, /TYPEVISOR-GUEST: PASS timecost/);

  const disk = await machine.command("create --kernel blktest --memory 2 --wait", COMMAND_MS);
  t.regex(disk, /FAIL blktest the domain has no block device/);

  for (const name of ["server", "clock"]) await machine.command(`shutdown ${name}`, COMMAND_MS);
  t.notRegex(await machine.command("list", COMMAND_MS), /server|clock/);
  await powerOff(t, machine);
});

for (const [kind, nic] of [
  ["qemu-svm", "virtio-net"],
  ["qemu-svm", "e1000e"],
  ["bochs-vmx", "e1000"],
] as const) {
  test(`web and daytime over NoXS, from this computer through ${nic}, also behind restarts of the I/O domain, on ${kind}`, async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-site-"));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const page = randomBytes(1 << 20);
    writeFileSync(path.join(folder, "page.bin"), page);
    const archive = path.join(folder, "site.img");
    writeFileSync(archive, packArchive(collectFiles([path.join(folder, "page.bin")])));
    const [webPort, timePort] = (await freePorts(2)) as [number, number];
    const machine = await bootToPrompt(t, {
      kind,
      nic,
      modules: [{ name: "pages", file: archive }],
      forwards: [
        { protocol: "tcp", hostPort: webPort, address: "10.0.2.20", port: 80 },
        { protocol: "tcp", hostPort: timePort, address: "10.0.2.21", port: 13 },
      ],
    });
    await machine.command("create --kernel web --ramdisk pages --memory 8 --vif ip=10.0.2.20", COMMAND_MS);
    await machine.command("create --kernel daytime --memory 4 --vif ip=10.0.2.21", COMMAND_MS);
    for (let restarts = 0; restarts < 3; restarts++) {
      const body = Buffer.from(await (await fetch(`http://127.0.0.1:${webPort}/page.bin`)).arrayBuffer());
      t.is(createHash("sha256").update(body).digest("hex"), createHash("sha256").update(page).digest("hex"));
      t.regex(await said(timePort), /^\w+, \w+ \d+, 20\d\d \d\d:\d\d:\d\d-UTC\r\n$/);
      await machine.command("io-restart", COMMAND_MS);
    }
    t.regex(await machine.command("vif list", COMMAND_MS), /10\.0\.2\.20 +xenbr0 +noxs +connected/);
    await machine.command("destroy web daytime", COMMAND_MS);
    t.notRegex(await machine.command("vif list", COMMAND_MS), /^ *\d/m);
    await powerOff(t, machine);
  });
}
