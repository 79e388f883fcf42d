/** Domain 0's own address: TCP from this computer through the emulator's network, and what clients of bad will get. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import test from "ava";
import { freePorts } from "../../scripts/devices.ts";
import { bootToPrompt, COMMAND_MS, evaluate, hangDomain0, powerOff } from "./support/boot.ts";
import {
  awaitValue,
  ECHO,
  echoed,
  exchanged,
  open,
  received,
  SINK,
  SOURCE,
  SOURCE_BYTES,
  startServices,
} from "./support/control-network.ts";
import { expectFrames, frames } from "./support/frames.ts";

const ADDRESS = "10.0.2.40";
const ANSWER_MS = 60_000;

const forwardsTo = (ports: Record<number, number>) =>
  Object.entries(ports).map(([port, hostPort]) => ({
    protocol: "tcp" as const,
    hostPort,
    address: ADDRESS,
    port: Number(port),
  }));

test.serial("domain 0 serves connections on its own address; many, silent and stuck ones are bounded", async (t) => {
  const [echo, sink, source] = (await freePorts(3)) as [number, number, number];
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    commandLine: `control=${ADDRESS}/24,10.0.2.2`,
    forwards: forwardsTo({ [ECHO]: echo, [SINK]: sink, [SOURCE]: source }),
  });
  await machine.waitFor(/domain 0's network: 10\.0\.2\.40\/24, gateway 10\.0\.2\.2, as configured, /, COMMAND_MS, "it");
  await startServices(machine);
  t.regex(await machine.command("info", COMMAND_MS), /^network +10\.0\.2\.40\/24, .* on xenbr0$/m);

  const data = randomBytes(300_000);
  t.true(data.equals(await echoed(echo, data)), "echo");
  t.is(await received(source), SOURCE_BYTES);
  await awaitValue(machine, "net.count()", 0);

  // Throughput, printed and not judged.
  const upload = open(sink);
  const bytes = Buffer.alloc(14 << 20, 0x5a);
  const started = Date.now();
  upload.end(bytes);
  await once(upload, "close");
  await awaitValue(machine, "taken", bytes.length);
  const seconds = (Date.now() - started) / 1000;
  t.log(`upload: ${(bytes.length / 1e6 / seconds).toFixed(1)} MB/s (with the time to ask for it)`);
  const began = Date.now();
  await received(source);
  t.log(`download: ${(SOURCE_BYTES / 1e6 / ((Date.now() - began) / 1000)).toFixed(1)} MB/s`);

  // Sixty at a time, each with its own bytes.
  // (Opened one by one: the emulator's network takes one at a time, and forgets others.)
  const sockets: Socket[] = [];
  for (let i = 0; i < 60; i++) {
    const socket = open(echo);
    sockets.push(socket);
    t.is(String(await exchanged(socket, Buffer.from("hello"))), "hello");
  }
  t.is(await evaluate<number>(machine, "net.count()"), 60);
  const all = sockets.map(() => randomBytes(20_000));
  const back = await Promise.all(sockets.map((socket, i) => exchanged(socket, all[i]!)));
  t.true(back.every((some, i) => some.equals(all[i]!)));
  for (const socket of sockets) socket.destroy();
  await awaitValue(machine, "net.count()", 0);

  // A reader that stops: the source gets rid of no more than there is room for; others go on.
  const stuck = open(source);
  stuck.pause();
  await once(stuck, "connect");
  t.true(data.equals(await echoed(echo, data)), "echo beside a stuck reader");

  // Two hundred that say nothing (a thousand: test/unit/toolstack/net): 64 stay; somebody with something to say is served.
  const engine = await evaluate<number>(machine, 'sysctl.performanceCounters().get("frames.engine")[0]');
  const silent: Socket[] = [];
  for (let i = 0; i < 200; i++) {
    silent.push(open(echo));
    await once(silent[i]!, "connect");
  }
  await awaitValue(machine, "net.count()", 64);
  t.true(data.equals(await echoed(echo, data)), "echo beside silent ones");
  const grown = (await evaluate<number>(machine, 'sysctl.performanceCounters().get("frames.engine")[0]')) - engine;
  t.log(`domain 0 has ${grown} frames more with them`);
  t.true(grown < 512, `${grown} frames`);
  for (const socket of [...silent, stuck]) socket.destroy();
  await awaitValue(machine, "net.count()", 0);
  t.true(data.equals(await echoed(echo, data)), "echo afterwards");
  await powerOff(t, machine);
});

test.serial("domain 0's address survives the I/O domain and domain 0", async (t) => {
  const [echo] = (await freePorts(1)) as [number];
  const machine = await bootToPrompt(t, {
    nic: "virtio-net",
    commandLine: "control=dhcp",
    forwards: [{ protocol: "tcp", hostPort: echo, address: "10.0.2.15", port: ECHO }],
  });
  await machine.waitFor(
    /domain 0's network: 10\.0\.2\.15\/24, gateway 10\.0\.2\.2, by DHCP/,
    COMMAND_MS,
    "its address",
  );
  await startServices(machine);
  const data = randomBytes(100_000);
  t.true(data.equals(await echoed(echo, data)));

  // A connection lives on when the I/O domain is restarted.
  const kept = open(echo);
  kept.write("before");
  t.is(String((await once(kept, "data"))[0]), "before");
  for (let i = 0; i < 3; i++) {
    await machine.command("io-restart", COMMAND_MS);
    kept.write(`after ${i}`);
    t.is(String((await once(kept, "data"))[0]), `after ${i}`);
    t.true(data.equals(await echoed(echo, data)));
  }
  kept.destroy();

  const before: Awaited<ReturnType<typeof frames>>[] = [];
  for (let restarts = 0; restarts < 3; restarts++) {
    await hangDomain0(machine);
    await machine.waitFor(/10\.0\.2\.15\/24/, ANSWER_MS, "the address again").catch(() => {});
    await awaitValue(machine, 'net.describe().startsWith("10.0.2.15/24") ? 1 : 0', 1);
    await startServices(machine);
    t.true(data.equals(await echoed(echo, data)));
    await awaitValue(machine, "net.count()", 0);
    if (restarts === 0) before.push(await frames(machine));
    else await expectFrames(t, machine, before[0]!, `after restart ${restarts + 1} of domain 0`);
  }
  t.regex(await machine.command("vif list", COMMAND_MS), /^ *0 .*xenbr0 +direct +connected/m);
  await powerOff(t, machine);
});

test.serial("without a card, or an I/O domain, or the option, domain 0 has no address", async (t) => {
  for (const [commandLine, nic, why] of [
    ["control=dhcp", null, /^network +no address: no bridge xenbr0 with a network card$/m],
    ["control=dhcp io=off", "virtio-net", /^network +no address: there is no I\/O domain$/m],
    ["", "virtio-net", /^network +no address: control=off$/m],
    ["control=10.0.2.40", "virtio-net", /^network +no address: control=10\.0\.2\.40: it is one of ADDRESS\/PREFIX/m],
  ] as const) {
    const machine = await bootToPrompt(t, { commandLine, nic });
    await awaitValue(machine, 'net.describe().includes("being set up") ? 1 : 0', 0);
    t.regex(await machine.command("info", COMMAND_MS), why, commandLine);
    await powerOff(t, machine);
  }
});
