/** netfront and TCP/IP as processes: handshakes, restarts of the backend, backends that lie, links that lose frames. */
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { type Faults, Link } from "./link.ts";
import { buildNative, Lie, NativeGuest, Sysctl } from "./native.ts";
import { Peer } from "./peer.ts";

async function start(t: ExecutionContext, name: string, commandLine: string, args: string[]): Promise<NativeGuest> {
  const built = await buildNative(name);
  if ("missing" in built) throw new Error(built.missing);
  const guest = new NativeGuest(built.program, commandLine, args);
  t.teardown(() => {
    if (!t.passed) t.log(guest.console);
    return guest.stop();
  });
  return guest;
}

const DAYTIME = /^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, [A-Z][a-z]+ \d{1,2}, \d{4} \d\d:\d\d:\d\d-UTC\r\n$/;

/** Asks the guest for the time, and checks that it is. */
async function askTime(t: ExecutionContext, peer: Peer): Promise<void> {
  const connection = peer.connect(13);
  const text = (await connection.all()).toString("latin1");
  connection.close();
  t.regex(text, DAYTIME);
  const told = Date.parse(text.replace(/^\w+, /, "").replace("-UTC\r\n", " UTC"));
  t.true(Math.abs(told - Date.now()) < 60_000, `${text.trim()} is not now`);
}

for (const how of ["--sysctl", "--store"]) {
  test(`daytime tells the time, over ${how === "--store" ? "xenbus" : "NoXS"}, and obeys its operator`, async (t) => {
    const guest = await start(t, "daytime", "ip=10.0.0.2", ["--net", how]);
    await guest.printed(/network: 10\.0\.0\.2\/24/);
    const peer = new Peer(guest);
    await askTime(t, peer);
    const datagram = new Promise<string>((resolve) => {
      peer.onDatagram = (port, from, bytes) => resolve(`${port} ${from} ${bytes.toString("latin1")}`);
    });
    peer.sendDatagram(13, 5555, Buffer.from("?"));
    t.regex(await datagram, /^5555 13 \w+day, /);
    t.deepEqual(peer.wrong, []);
    t.true(peer.counts.blank > 0, "no checksum was left to the backend");
    guest.sysctl(Sysctl.Poweroff);
    t.is(await guest.ended, 0);
    t.regex(guest.console, /TYPEVISOR-GUEST: PASS daytime\n$/);
  });

  test(`a guest reboots when it is asked to, by ${how}`, async (t) => {
    const guest = await start(t, "idle", "", ["--net", how]);
    await guest.printed(/idle: 1 network devices/);
    guest.sysctl(Sysctl.Reboot);
    t.is(await guest.ended, 10);
  });
}

test("a guest without a network device says so", async (t) => {
  const guest = await start(t, "daytime", "", ["--sysctl"]);
  t.is(await guest.ended, 1);
  t.regex(guest.console, /FAIL daytime the domain has no network device/);
});

for (const text of ["ip=10.0.0", "ip=10.0.0.2/33", "ip=10.0.0.2 gw=x", "ip=10.0.0.2/x"]) {
  test(`an address that is none is named: ${text}`, async (t) => {
    const guest = await start(t, "daytime", text, ["--net", "--sysctl"]);
    t.is(await guest.ended, 1);
    t.regex(guest.console, /FAIL daytime (ip|gw)=\S+ is no address/);
  });
}

test("frames whose checksums are left blank are taken as they are, wrong ones are not", async (t) => {
  const guest = await start(t, "daytime", "ip=10.0.0.2", ["--net", "--sysctl"]);
  await guest.printed(/network:/);
  await askTime(t, new Peer(guest, { blank: true }));
  // The same frames without saying so: their checksums are wrong.
  const peer = new Peer(guest);
  const before = peer.counts.tcp;
  const send = guest.sendFrame.bind(guest);
  guest.sendFrame = (bytes) => {
    const damaged = Buffer.from(bytes);
    if (damaged.readUInt16BE(12) === 0x0800) damaged[damaged.length - 1] ^= 0x40;
    send(damaged);
  };
  peer.connect(13);
  guest.sendFrame = send;
  await askTime(t, peer);
  t.true(peer.counts.tcp - before < 6, "the damaged SYN was answered");
});

test("the network backend restarts again and again under load, and nothing is lost or changed", async (t) => {
  const args = ["--net", "--sysctl", "--restart-every", "7"];
  const server = await start(t, "nettest", "ip=10.0.0.2", args);
  await server.printed(/nettest: serving/);
  const client = await start(t, "nettest", "ip=10.0.0.3 peer=10.0.0.2 bytes=1000000", args);
  new Link(server, client);
  t.is(await client.ended, 0);
  for (const name of ["echo", "sink", "source", "udp"])
    t.regex(client.console, new RegExp(`nettest ${name} \\d+ bytes`));
  t.true(Number(/HOST: (\d+) restarts/.exec(client.console)?.[1]) > 20);
});

test("with `repeat` a client goes on until the operator asks, and tells how long nothing came", async (t) => {
  const server = await start(t, "nettest", "ip=10.0.0.2", ["--net", "--sysctl"]);
  await server.printed(/nettest: serving/);
  for (const [line, said] of [
    ["test=echo bytes=20000", /(nettest echo 20000 bytes .*\n){3}/],
    ["test=pulse", /network:/],
  ] as const) {
    const client = await start(t, "nettest", `ip=10.0.0.3 peer=10.0.0.2 repeat ${line}`, ["--net", "--sysctl"]);
    new Link(server, client);
    const pass = client.onFrame;
    const many = new Promise<void>((resolve) => {
      let frames = 0;
      client.onFrame = (frame) => {
        pass(frame);
        if (++frames === 20) resolve();
      };
    });
    await Promise.all([client.printed(said), many]);
    client.sysctl(Sysctl.Poweroff);
    t.is(await client.ended, 0);
    t.regex(client.console, /nettest did \d+ tests?, waited [1-9]\d* us at most\n/);
    if (line === "test=pulse") t.regex(client.console, /nettest pulse [1-9]\d* datagrams [1-9]\d* answered\n/);
  }
});

test("a link that loses, doubles, delays and damages frames delays TCP but changes nothing", async (t) => {
  const some = fc.record({
    seed: fc.integer({ min: 1, max: 1 << 30 }),
    lost: fc.nat(15),
    twice: fc.nat(30),
    late: fc.nat(30),
    damaged: fc.nat(20),
  });
  await fc.assert(
    fc.asyncProperty(some, async (faults: Faults) => {
      const server = await start(t, "nettest", "ip=10.0.0.2", ["--net", "--sysctl"]);
      await server.printed(/nettest: serving/);
      const line = "ip=10.0.0.3 peer=10.0.0.2 test=echo bytes=300000";
      const client = await start(t, "nettest", line, ["--net", "--sysctl"]);
      const link = new Link(server, client, faults);
      t.is(await client.ended, 0, JSON.stringify({ faults, counts: link.counts }));
      await server.stop();
    }),
    { numRuns: 4 },
  );
});

test("frames of 64 KiB pass as one, with their segments' size", async (t) => {
  const receiver = await start(t, "nettest", "role=receive all", ["--net", "--sysctl"]);
  await receiver.printed(/nettest: receiving/);
  const sender = await start(t, "nettest", "role=send frames=300 size=65000 gso=1448", ["--net", "--sysctl"]);
  const link = new Link(sender, receiver);
  t.is(await sender.ended, 0);
  t.is(await receiver.ended, 0);
  t.is(link.counts.large, 300);
  t.regex(sender.console, /nettest arrived 300 of 300 frames\n/);
  t.regex(receiver.console, /nettest receive 300 frames 19500000 bytes \d+ ticks 0 idle\n/);
});

test("a sender goes on when the backend has answered everything before it sleeps", async (t) => {
  const receiver = await start(t, "nettest", "role=receive all", ["--net", "--sysctl"]);
  await receiver.printed(/nettest: receiving/);
  const sender = await start(t, "nettest", "role=send frames=300 size=65000 gso=1448", [
    "--net",
    "--sysctl",
    "--at-once",
  ]);
  const link = new Link(sender, receiver);
  t.is(await sender.ended, 0);
  t.is(await receiver.ended, 0);
  t.is(link.counts.large, 300);
});

test("frames without TCP/IP pass in order", async (t) => {
  const receiver = await start(t, "nettest", "role=receive all", ["--net", "--sysctl"]);
  await receiver.printed(/nettest: receiving/);
  const sender = await start(t, "nettest", "role=send frames=5000", ["--net", "--sysctl"]);
  new Link(sender, receiver);
  t.is(await sender.ended, 0);
  t.is(await receiver.ended, 0);
  t.regex(sender.console, /nettest arrived 5000 of 5000 frames\n/);
  t.regex(receiver.console, /nettest receive 5000 frames 7570000 bytes \d+ ticks 0 idle\n/);
});

for (const [name, what] of Object.entries(Lie)) {
  test(`a backend that lies harms only itself: ${name}`, async (t) => {
    const guest = await start(t, "daytime", "ip=10.0.0.2", ["--net", "--sysctl"]);
    await guest.printed(/network:/);
    const peer = new Peer(guest);
    await askTime(t, peer);
    guest.lie(what);
    if (what === Lie.Index) {
      // Such a device is not used any more, and nothing is read or written beyond its ring: the operator still reaches the guest.
      peer.connect(13);
    } else {
      for (let i = 0; i < 3; i++) await askTime(t, peer);
    }
    guest.sysctl(Sysctl.Poweroff);
    t.is(await guest.ended, 0);
  });
}

test("a backend that closes its device is answered, and the guest goes on without", async (t) => {
  const guest = await start(t, "idle", "", ["--net", "--sysctl"]);
  await guest.printed(/idle:/);
  guest.closeNetwork();
  guest.sysctl(Sysctl.Poweroff);
  t.is(await guest.ended, 0);
});

test("a guest that was suspended and restored serves on", async (t) => {
  const guest = await start(t, "daytime", "ip=10.0.0.2", ["--net", "--sysctl"]);
  await guest.printed(/network:/);
  const peer = new Peer(guest);
  for (let i = 0; i < 3; i++) {
    await askTime(t, peer);
    // The network is told where the guest is now; what was under way before is lost.
    const told = peer.counts.arp;
    guest.sysctl(Sysctl.Suspend);
    while (peer.counts.arp === told) await new Promise((resolve) => setTimeout(resolve, 5));
    await askTime(t, peer);
  }
});

test("timecost reports its steps in order", async (t) => {
  const guest = await start(t, "timecost", "ip=10.0.0.2 peer=10.0.0.1", ["--net", "--sysctl"]);
  const peer = new Peer(guest);
  const datagram = new Promise<string>((resolve) => {
    peer.onDatagram = (port, _from, bytes, sender) => {
      resolve(`${sender} ${port} ${bytes.toString("latin1")}`);
      peer.sendDatagram(5000, 13, Buffer.from("!"));
    };
  });
  t.is(await datagram, "10.0.0.2 13 timecost\0");
  t.is(await guest.ended, 0);
  const lines = [...guest.console.matchAll(/^timecost ([\w-]+) (\d+) ticks \d+ ns$/gm)];
  t.deepEqual(
    lines.map(([, step]) => step),
    [
      ...["start", "main", "sysctl", "devices-found", "network-opened", "network-connected", "network-up"],
      ...["datagram-sent", "first-frame"],
    ],
  );
});

test("an address comes by DHCP, and is kept", async (t) => {
  const guest = await start(t, "daytime", "", ["--net", "--sysctl"]);
  const peer = new Peer(guest, { address: "192.168.7.1", guestAddress: "192.168.7.9" });
  const seen: number[] = [];
  const bytes = (text: string) => text.split(".").map(Number);
  peer.onDatagram = (port, _from, message) => {
    if (port !== 67) return;
    const type = message[message.indexOf(Buffer.from([0x63, 0x82, 0x53, 0x63])) + 6];
    seen.push(type);
    const answer = Buffer.alloc(300);
    answer.set([2, 1, 6, 0], 0);
    answer.set(message.subarray(4, 8), 4);
    answer.set(bytes(peer.guestAddress), 16);
    answer.set(message.subarray(28, 44), 28);
    answer.set([0x63, 0x82, 0x53, 0x63, 53, 1, type === 1 ? 2 : 5, 54, 4, ...bytes(peer.address)], 236);
    answer.set([1, 4, 255, 255, 255, 0, 3, 4, ...bytes(peer.address), 51, 4, 0, 0, 14, 16, 255], 249);
    peer.sendDatagram(68, 67, answer);
  };
  await guest.printed(/network: 192\.168\.7\.9\/24, gateway 192\.168\.7\.1, by DHCP/);
  t.deepEqual(seen, [1, 3]);
  await askTime(t, peer);
  t.deepEqual(peer.wrong, []);
});
