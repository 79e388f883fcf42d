/** Thousands of vifs: what each takes, that all are found, go on after a restart, and leave nothing behind. */
import test from "ava";
import { BRIDGE_ARP_PROXY } from "../../../../abi/io/control-net.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import { arp, BROADCAST, pattern, udpFrame } from "./packets.ts";

const VIFS = 9000;

test("nine thousand vifs on one bridge", async (t) => {
  const net = await netWithBridge({ flags: BRIDGE_ARP_PROXY });
  const { host } = net;
  const atStart = host.ramPages;
  const a = join(net, 1, { ipv4: hostOf(1).ip });
  const b = join(net, 2, { ipv4: hostOf(2).ip });
  for (let domid = 3; domid <= VIFS; domid++) {
    net.guest(domid);
    if (net.addVif(domid, { ipv4: hostOf(domid).ip }).status !== 0) t.fail(`vif ${domid}`);
  }
  const perVif = ((host.ramPages - atStart) * 4096) / VIFS;
  t.log({ kibAtStart: atStart * 4, dmaKib: host.dmaPages * 4, bytesOfRamPerVif: Math.round(perVif) });
  t.true(atStart * 4 < 2048, `${atStart * 4} KiB`);
  t.true(perVif < 400, `${perVif} bytes`);
  t.is(net.bridge().vifs, VIFS);
  t.is(net.vifs().length, VIFS);
  // Addresses far apart are all known; none of it is a flood.
  for (const domid of [3, 1000, 4097, VIFS]) {
    a.send(arp(1, hostOf(1), { ip: hostOf(domid).ip }));
    t.is(a.take().length, 1);
  }
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(100)));
  t.is(b.take().length, 1);
  a.send(udpFrame(hostOf(1), { mac: BROADCAST, ip: "10.0.0.255" }, pattern(100)));
  t.is(b.take().length, 1);
  await net.restart();
  net.run();
  t.is(net.vifs().length, VIFS);
  a.send(arp(1, hostOf(1), { ip: hostOf(VIFS).ip }));
  t.is(a.take().length, 1);
  b.send(udpFrame(hostOf(2), hostOf(1), pattern(100)));
  t.is(a.take().length, 1);
  t.is(net.addVif(2, { devid: 1, mac: "00:16:3e:ff:00:01" }).status, 0);
  for (let domid = 3; domid <= VIFS; domid++) if (net.removeVif(domid) !== 0) t.fail(`vif ${domid}`);
  t.is(net.bridge().vifs, 3);
  t.is(host.ports.ports.size, 5);
  // As many again take no more memory.
  const before = host.ramPages;
  for (let domid = 3; domid <= VIFS; domid++) {
    if (net.addVif(domid, { ipv4: hostOf(domid).ip }).status !== 0) t.fail(`vif ${domid}`);
  }
  t.is(host.ramPages, before);
  t.true(poolIsFree(net));
});

test("when there is no room for another vif, that is said, and nothing is half made", async (t) => {
  const net = await netWithBridge();
  net.guest(1);
  let count = 0;
  const mac = (i: number): string =>
    `02:00:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`;
  let status = 0;
  while ((status = net.addVif(1, { devid: count, mac: mac(count) }).status) === 0) count++;
  t.is(status, -28);
  t.is(count, 10240);
  t.is(net.bridge().vifs, count);
  t.is(net.removeVif(1, 5000), 0);
  t.is(net.addVif(1, { devid: 20000, mac: mac(20000) }).status, 0);
});
