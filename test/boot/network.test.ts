/** Stock Linux guests on a bridge: DHCP, data between them, also while the I/O domain is restarted, and nothing left behind. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import test from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, COMMAND_MS, consoleSays, GUEST_MS, powerOff, settle } from "./support/boot.ts";
import { expectFrames, frames } from "./support/frames.ts";
import { LINUX_MS, startLinux } from "./support/linux.ts";
import { packageTests } from "./support/packages.ts";

const { modules, test: linuxTest, why } = packageTests(() => linuxModules());

const MEGABYTES = 16;
/** A guest's file whose checksum is known: pseudo-random, made where it is sent from. */
const MAKE = `awk 'BEGIN { srand(7); for (i = 0; i < 65536; i++) printf "%015d\\n", rand() * 1e15 }' >/tmp/part; rm -f /tmp/data; for i in $(seq ${MEGABYTES}); do cat /tmp/part >>/tmp/data; done`;

linuxTest(`Debian's Linux with xen-netfront: an address by DHCP, and data between two guests${why}`, async (t) => {
  t.timeout(LINUX_MS * 4);
  const machine = await bootToPrompt(t, { memoryMib: 1024, modules });
  await machine.command("bridge create inner --dhcp 10.1.0.1/24", COMMAND_MS);
  // A first guest's: tables that grow with the first vif stay.
  const first = await startLinux(machine, "first", "--memory 192 --vif bridge=inner,ip=10.1.0.9");
  await first.shell.enter();
  await first.shell.leave();
  await machine.command("destroy first", COMMAND_MS);
  const before = await frames(machine);

  const a = await startLinux(machine, "a", "--memory 192 --vif bridge=inner,ip=10.1.0.10");
  const b = await startLinux(machine, "b", "--memory 192 --vif bridge=inner,ip=10.1.0.11,mac=00:16:3e:00:00:0b");
  await b.shell.enter();
  t.regex(
    await b.shell.run("until ip address show eth0 | grep 10.1.0.11/24; do sleep 0.1; done"),
    /inet 10\.1\.0\.11\/24/,
  );
  t.regex(await b.shell.run("ip link show eth0"), /link\/ether 00:16:3e:00:00:0b/);
  t.regex(await b.shell.run("ip route"), /^default via 10\.1\.0\.1 dev eth0/m);
  await b.shell.run("nc -l -p 5001 >/tmp/got & echo $!");
  await b.shell.leave();

  await a.shell.enter();
  await a.shell.run("until ip address show eth0 | grep -q 10.1.0.10/24; do sleep 0.1; done");
  const sum = (await a.shell.run(`${MAKE}; sha256sum </tmp/data`)).trim();
  t.regex(sum, /^[0-9a-f]{64} /);
  await a.shell.run("(nc 10.1.0.11 5001 </tmp/data; touch /tmp/sent) >/dev/null 2>&1 &");
  await a.shell.leave();
  // Meanwhile the I/O domain is started anew, again and again.
  for (let restarts = 0; restarts < 5; restarts++) {
    await machine.command("io-restart; js await sleep(200)", COMMAND_MS);
  }
  await settle(machine);
  await a.shell.enter();
  await a.shell.run("until [ -e /tmp/sent ]; do sleep 0.2; done");
  await a.shell.leave();
  await b.shell.enter();
  t.is((await b.shell.run("wait; sha256sum </tmp/got")).trim(), sum);
  await b.shell.leave();

  const list = await machine.command("vif list", COMMAND_MS);
  t.regex(list, new RegExp(`^ *${a.id} +0 .* 10\\.1\\.0\\.10 +inner +xenbus +connected `, "m"));
  const json = JSON.parse((await machine.command("vif list --json", COMMAND_MS)).trim()) as { txBytes: number }[];
  t.true(json.some(({ txBytes }) => txBytes > MEGABYTES << 20));
  t.regex(await machine.command("bridge delete inner", COMMAND_MS), /inner has 2 vifs on it; `vif list` shows them/);
  await machine.command("destroy a b", COMMAND_MS);
  t.notRegex(await machine.command("vif list", COMMAND_MS), /^ *\d/m);
  await expectFrames(t, machine, before, "after two guests with vifs");
  await powerOff(t, machine);
});

for (const nic of ["virtio-net", "e1000e", "e1000"] as const) {
  linuxTest(
    `a Linux guest on the machine's ${nic}: an address by DHCP from outside, and 1 MiB to this computer${why}`,
    async (t) => {
      t.timeout(LINUX_MS * 2);
      const [hostPort] = (await freePorts(1)) as [number];
      const forwards = [{ protocol: "tcp", hostPort, address: "10.0.2.15", port: 80 }] as const;
      const machine = await bootToPrompt(t, { memoryMib: 768, modules, nic, forwards: [...forwards] });
      t.regex(await machine.command("bridge list", COMMAND_MS), /^xenbr0 +0 +up +0 /m);
      const { shell } = await startLinux(machine, "web", "--memory 192 --vif bridge=xenbr0");
      await shell.enter();
      t.regex(
        await shell.run("until ip address show eth0 | grep 10.0.2.15/24; do sleep 0.1; done"),
        /inet 10\.0\.2\.15/,
      );
      const sum = (
        await shell.run(`mkdir /www; dd if=/dev/urandom of=/www/data bs=1024 count=1024 2>&1; sha256sum </www/data`)
      )
        .trim()
        .split("\n")
        .at(-1)!;
      await shell.run("httpd -p 80 -h /www");
      await shell.leave();
      // Also behind a restart of the I/O domain, and of its card with it.
      for (let restarts = 0; restarts < 2; restarts++) {
        const body = Buffer.from(await (await fetch(`http://127.0.0.1:${hostPort}/data`)).arrayBuffer());
        t.is(body.length, 1 << 20);
        t.is(`${createHash("sha256").update(body).digest("hex")}  -`, sum);
        await machine.command("io-restart", COMMAND_MS);
      }
      await powerOff(t, machine);
    },
  );
}

test("wrong words about vifs and bridges are refused, and leave nothing", async (t) => {
  const machine = await bootToPrompt(t);
  await machine.command("bridge create inner", COMMAND_MS);
  const taken = "mac=00:16:3e:00:00:01,ip=10.1.0.9,bridge=inner";
  await machine.command(`create --kernel idle --memory 2 --name owner --vif ${taken}`, COMMAND_MS);
  const before = await machine.command("list", COMMAND_MS);
  const vifs = await machine.command("vif list", COMMAND_MS);
  const create = "create --kernel hello --vif";
  for (const [line, says] of [
    [`${create} bridge=nowhere`, /create: there is no bridge "nowhere"; `bridge list` shows them/],
    [`${create} ip=10.1.0.8`, /there is no bridge "xenbr0"; .*, and without a network card there is none at first/],
    [`${create} mac=1`, /--vif: mac: "1" is no MAC address/],
    [`${create} mac=00:16:3e:00:00:0g`, /--vif: mac: "00:16:3e:00:00:0g" is no MAC address/],
    [`${create} mac=01:16:3e:00:00:01`, /--vif: mac: 01:16:3e:00:00:01 .*group/],
    [`${create} mac=00:16:3e:00:00:01,bridge=inner`, /on bridge inner another vif has 00:16:3e:00:00:01$/m],
    [`${create} ip=10.1.0.9,bridge=inner`, /on bridge inner another vif has 00:16:3e:\S+ or 10\.1\.0\.9$/m],
    [`vif attach owner ${taken}`, /on bridge inner another vif has 00:16:3e:00:00:01 or 10\.1\.0\.9$/m],
    [`${create} ip=10.1.0.256`, /--vif: ip: "10\.1\.0\.256"/],
    [`${create} rate=fast`, /--vif: rate: "fast" is not a rate such as 10Mb\/s/],
    [`${create} brigde=inner`, /"?brigde"?/],
    ["create --kernel hello --noxs --xenbus", /exclude each other/],
    ["bridge delete nowhere", /there is no bridge "nowhere"; `bridge list` shows them/],
    ["bridge delete inner", /inner has 1 vif on it; `vif list` shows them/],
    ["bridge create inner", /there is a bridge "inner" already/],
    ["bridge attach inner 0", /there is no network card 0: the machine has none/],
    ["bridge attach nowhere 0", /there is no bridge "nowhere"/],
    ["bridge dump inner", /--pcap is missing/],
    ["bridge dump inner --pcap --frames 0", /--frames: "0" is not a whole number/],
    ["bridge create a-very-long-bridge", /15 at most/],
    ["bridge make x", /"make" is unknown: list\|create\|delete\|attach\|detach\|dump/],
    ["vif detach 99 0", /no domain "99"/],
    ["vif detach owner 7", /has no vif 7; `vif list` shows them/],
    ["vif", /one word is missing: list\|attach\|detach/],
  ] as const) {
    t.regex(await machine.command(line, COMMAND_MS), says, line);
  }
  const counted = (text: string) =>
    text
      .replace(/[\d.]+$/gm, "")
      .replace(/[r-][b-]----|waiting +|connected +/g, "")
      .replace(/ +/g, " ");
  t.is(counted(await machine.command("list", COMMAND_MS)), counted(before));
  t.is(counted(await machine.command("vif list", COMMAND_MS)), counted(vifs));
  await powerOff(t, machine);
});

test("a card whose link is down: it is said, what is sent there is counted, and it comes back", async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "typevisor-monitor-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = path.join(folder, "monitor");
  const [hostPort] = (await freePorts(1)) as [number];
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    forwards: [{ protocol: "tcp", hostPort, address: "10.0.2.21", port: 13 }],
    devices: [
      "-chardev",
      `socket,id=monitor,path=${socket},server=on,wait=off`,
      "-mon",
      "chardev=monitor,mode=readline",
    ],
  });
  const setLink = async (state: "on" | "off", says: RegExp) => {
    const monitor = net.connect(socket);
    monitor.write(`set_link net0 ${state}\n`);
    await machine.waitFor(says, COMMAND_MS);
    monitor.destroy();
    await settle(machine);
  };
  t.regex(await machine.command("bridge list", COMMAND_MS), /^xenbr0 +0 +up /m);
  await setLink("off", /Bridge xenbr0: its network card's link is down\./);
  t.regex(await machine.command("bridge list", COMMAND_MS), /^xenbr0 +0 +down /m);
  const outside = "--cmdline 'role=send frames=20 mac=52:55:0a:00:02:02'";
  const options = `--kernel nettest --memory 4 --on-poweroff preserve --vif bridge=xenbr0 ${outside}`;
  const sender = await machine.createDomain(options, COMMAND_MS);
  await consoleSays(machine, sender, /nettest send 20 frames/, GUEST_MS);
  t.regex(await machine.command("vif list", COMMAND_MS), /xenbr0 +noxs .* uplink=23$/m);
  t.regex(await machine.command("bridge list", COMMAND_MS), /^xenbr0 .* uplink=23$/m);
  await setLink("on", /Bridge xenbr0: its network card's link is up\./);
  await machine.command("create --kernel daytime --memory 2 --vif ip=10.0.2.21", COMMAND_MS);
  const connection = net.connect(hostPort, "127.0.0.1").setEncoding("utf8");
  let said = "";
  connection.on("data", (piece: string) => (said += piece));
  await once(connection, "close");
  t.regex(said, /UTC\r\n$/);
  await powerOff(t, machine);
});
