/** Stock Linux guests on a bridge: DHCP, data between them, also while the I/O domain is restarted, and nothing left behind. */
import { createHash } from "node:crypto";
import test from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { linuxModules } from "../../scripts/linux/guest.ts";
import { bootToPrompt, COMMAND_MS, powerOff, settle } from "./support/boot.ts";
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
  t.regex(await machine.command("bridge delete inner", COMMAND_MS), /EBUSY/);
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
      t.regex(await machine.command("bridge list", COMMAND_MS), /^xenbr0 +0 +0 /m);
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
  const before = await machine.command("list", COMMAND_MS);
  for (const [line, says] of [
    ["create --kernel hello --vif bridge=nowhere", /create: there is no bridge "nowhere"; `bridge list` shows them/],
    ["create --kernel hello --vif mac=1", /--vif: mac: "1" is no MAC address/],
    ["create --kernel hello --noxs --xenbus", /exclude each other/],
    ["bridge delete nowhere", /ENOENT/],
    ["bridge create a-very-long-bridge", /15 at most/],
    ["bridge make x", /"make" is unknown: list\|create\|delete\|attach\|detach/],
    ["vif detach 99 0", /no domain "99"/],
    ["vif", /one word is missing: list\|attach\|detach/],
  ] as const) {
    t.regex(await machine.command(line, COMMAND_MS), says, line);
  }
  t.is((await machine.command("list", COMMAND_MS)).replace(/[\d.]+$/gm, ""), before.replace(/[\d.]+$/gm, ""));
  await powerOff(t, machine);
});
