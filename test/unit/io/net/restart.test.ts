/**
 * The I/O domain dies and starts over while frames are under way, at any access to shared memory: guests are not told, and go on with
 * the same rings. Frames may be lost or sent twice; none is damaged, none reaches another, no slot is answered wrongly.
 */
import test from "ava";
import fc from "fast-check";
import { BRIDGE_ARP_PROXY, VIF_CONNECTED, VIF_MODEL_XENBUS } from "../../../../abi/io/control-net.ts";
import { XEN_NETIF_GSO_TYPE_TCPV4 } from "../../../../abi/io/netif.ts";
import { NoxsCtrlHdr, NoxsVifCtrlPage } from "../../../../abi/io/noxs.ts";
import { Crash } from "../grants.ts";
import { Frontend } from "./frontend.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import type { Net } from "./module.ts";
import { arp, pattern, tcpFrame, udpFrame } from "./packets.ts";

/** As net.run, but the domain dies at access `at` to shared memory and starts again; whether it did. */
async function runAndDie(net: Net, at: number): Promise<boolean> {
  net.host.crashAfter = at;
  try {
    net.run();
    net.host.crashAfter = -1;
    return false;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    await net.restart();
    net.run();
    return true;
  }
}

test("vifs, bridges, counters and addresses are there again, and nobody was told", async (t) => {
  const net = await netWithBridge({ flags: BRIDGE_ARP_PROXY });
  const a = join(net, 1, { ipv4: "10.0.0.1", rate: 1_000_000_000 });
  const b = join(net, 2, { ipv4: "10.0.0.2", model: VIF_MODEL_XENBUS }, { queues: 2, split: true });
  net.guest(3);
  const waiting = net.addVif(3, { ipv4: "10.0.0.3" });
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(1000)));
  const before = net.vifs();
  const page = Buffer.from(a.control.buffer, a.control.byteOffset, NoxsVifCtrlPage.SIZE).toString("hex");
  for (let i = 0; i < 3; i++) {
    await net.restart();
    net.run();
    t.deepEqual(
      net.vifs().map(({ port: _, ...vif }) => vif),
      before.map(({ port: _, ...vif }) => vif),
    );
    t.is(Buffer.from(a.control.buffer, a.control.byteOffset, NoxsVifCtrlPage.SIZE).toString("hex"), page);
    a.send(udpFrame(hostOf(1), hostOf(2), pattern(1000 + i)));
    b.send(udpFrame(hostOf(2), hostOf(1), pattern(2000 + i)), { queue: 1 });
    t.is(b.take().at(-1)!.data.length, 1042 + i);
    t.is(a.take()[0]!.data.length, 2042 + i);
    before.splice(0, before.length, ...net.vifs());
  }
  a.send(arp(1, hostOf(1), { ip: "10.0.0.2" }));
  t.is(a.take().length, 1);
  // One that had not connected finds its port where its device page says.
  const late = new Frontend(net, 3);
  t.is(net.vif(3).grant, waiting.grant);
  t.is(net.vif(3).port, waiting.port);
  t.is(late.connectNoxs(waiting), 4);
  late.send(udpFrame(hostOf(3), hostOf(1), pattern(10)));
  t.is(a.take().length, 1);
  // Closing works over the port that was bound before.
  t.deepEqual(a.close(), [5, 6, 2]);
  t.is(net.vif(1).state, 0);
  t.is(net.removeVif(2), 0);
});

test("what a frontend asked for while there was no back end is done after its restart", async (t) => {
  const net = await netWithBridge();
  net.guest(1);
  const a = new Frontend(net, 1);
  // Bound, and the domain has not heard of it.
  a.attach(net.addVif(1));
  net.host.restart();
  a.writeRings();
  a.control.setUint32(NoxsCtrlHdr.fe_watch_state, 1, true);
  a.control.setUint32(NoxsCtrlHdr.fe_state, 4, true);
  await net.restart();
  net.run();
  t.is(net.vif(1).state, VIF_CONNECTED);
  t.is(a.watched, 1);
});

test("wherever the domain dies while a frontend connects, it is connected afterwards", async (t) => {
  const net = await netWithBridge();
  const b = join(net, 1000);
  let died = 0;
  for (let at = 0, again = true; again; at++) {
    const domid = at + 1;
    net.guest(domid);
    const a = new Frontend(net, domid);
    a.attach(net.addVif(domid));
    net.run();
    a.writeRings();
    a.control.setUint32(NoxsCtrlHdr.fe_watch_state, 1, true);
    a.control.setUint32(NoxsCtrlHdr.fe_state, 4, true);
    a.notify();
    again = await runAndDie(net, at);
    if (again) died++;
    t.is(a.control.getUint32(NoxsCtrlHdr.be_state, true), 4, `access ${at}`);
    a.send(udpFrame(hostOf(domid), hostOf(1000), pattern(100)));
    t.is(b.take().length, 1, `access ${at}`);
    t.is(net.removeVif(domid), 0);
  }
  t.true(died > 5, `${died} deaths`);
});

test("ports that device pages have keep their numbers over restarts, whatever else takes ports", async (t) => {
  const net = await netWithBridge();
  // Half of them connect, with ports for their rings between; others go, and leave holes.
  const entries = new Map<number, { grant: number; port: number }>();
  for (let domid = 1; domid <= 12; domid++) {
    net.guest(domid);
    const entry = net.addVif(domid);
    entries.set(domid, entry);
    if (domid % 2 === 0) t.is(new Frontend(net, domid, { split: domid % 4 === 0 }).connectNoxs(entry), 4);
  }
  for (const domid of [3, 4]) {
    t.is(net.removeVif(domid), 0);
    entries.delete(domid);
  }
  for (let i = 0; i < 3; i++) {
    net.host.restart();
    await net.restart();
    net.run();
    for (const [domid, { port }] of entries) t.is(net.vif(domid).port, port, `domain ${domid}`);
  }
  // What was kept free for them is free again: a new vif has the number of one that went.
  net.guest(20);
  t.true(net.addVif(20).port < Math.max(...[...entries.values()].map(({ port }) => port)));
  // A kernel that starts over binds what its device page says.
  const again = new Frontend(net, 1);
  t.is(again.connectNoxs(entries.get(1)!), 4);
});

test("wherever the domain dies, traffic goes on with the same rings and no frame is damaged", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2);
  const gso = { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 };
  let sequence = 0;
  let lost = 0;
  let twice = 0;
  let died = 0;

  /** Sends some frames both ways, dies at `at`, and checks what arrived. */
  const round = async (at: number, sizes: number[]): Promise<void> => {
    const sent = new Map<string, Frontend>();
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      for (const size of sizes) {
        const tag = Buffer.alloc(4);
        tag.writeUInt32BE(++sequence, 0);
        const body = Buffer.concat([tag, pattern(size, sequence)]);
        const frame =
          size > 3000
            ? tcpFrame(hostOf(from.domid), hostOf(to.domid), body, { blank: true })
            : udpFrame(hostOf(from.domid), hostOf(to.domid), body);
        const options = size > 3000 ? { pieces: [54, 400], blank: true, gso } : {};
        sent.set(frame.toString("latin1"), to);
        from.queue.send(frame, options);
      }
      from.queue.push();
    }
    if (await runAndDie(net, at)) died++;
    const seen = new Set<string>();
    for (const to of [a, b]) {
      for (const { data } of to.take()) {
        const key = data.toString("latin1");
        if (sent.get(key) !== to)
          throw new Error(`domain ${to.domid} got a frame of ${data.length} bytes that nobody sent it`);
        if (seen.has(key)) twice++;
        seen.add(key);
      }
      if (to.queue.unanswered().length > 0) throw new Error("requests are not answered");
      // A response half written must not be taken for a request of another page.
      if (to.queue.statuses.splice(0).some((status) => status !== 0))
        throw new Error("a request is answered with an error");
    }
    lost += sent.size - seen.size;
  };

  await round(1_000_000, [100, 20_000, 1400, 5]);
  const accesses = net.host.accesses;
  await round(1_000_000, [100, 20_000, 1400, 5]);
  const each = net.host.accesses - accesses;
  t.is(lost + twice, 0);
  for (let at = 0; at < each; at++) await round(at, [100, 20_000, 1400, 5]);
  t.log({ accesses: each, died, lost, twice, sent: sequence });
  t.true(died > each / 2);
  // Frames that go straight to their receiver are sent again rather than lost.
  t.is(lost, 0);
  t.true(twice > 0);
  t.is(net.host.mappingCount(), 4);
  t.true(poolIsFree(net));
});

test("dying again and again under any traffic leaves rings that still work", async (t) => {
  const net = await netWithBridge();
  const guests = [1, 2, 3].map((domid) => join(net, domid));
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          from: fc.nat({ max: 2 }),
          to: fc.nat({ max: 2 }),
          size: fc.oneof(fc.nat({ max: 1500 }), fc.integer({ min: 3000, max: 60000 })),
          pieces: fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 3 }),
        }),
        { minLength: 1, maxLength: 20 },
      ),
      fc.nat({ max: 400 }),
      async (frames, at) => {
        for (const { from, to, size, pieces } of frames) {
          const frame = tcpFrame(hostOf(from + 1), hostOf(to + 1), pattern(size), { blank: true });
          const gso = size > 1500 ? { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 } : undefined;
          guests[from]!.queue.send(frame, { pieces, blank: true, gso });
          guests[from]!.queue.push();
        }
        await runAndDie(net, at);
        for (const guest of guests) guest.take();
        for (const guest of guests) {
          const to = guests[guest.domid % 3]!;
          const frame = udpFrame(hostOf(guest.domid), hostOf(to.domid), pattern(300));
          guest.send(frame);
          if (!to.take().some(({ data }) => data.equals(frame))) throw new Error("no traffic after a restart");
          if (guest.queue.unanswered().length > 0) throw new Error("requests are not answered");
        }
      },
    ),
    { numRuns: 60, includeErrorInReport: true },
  );
  t.true(poolIsFree(net));
});
