/** A bridge's card: frames out and in, what the card does not do, when it has no room, when it goes away. */
import test from "ava";
import {
  BRIDGE_ARP_PROXY,
  DROP_NO_DESTINATION,
  DROP_SOURCE_MAC,
  DROP_UPLINK,
  VIF_ANY_MAC,
  VIF_FE_NO_CSUM_OFFLOAD,
  VIF_FE_RX_NOTIFY,
} from "../../../../abi/io/control-net.ts";
import { XEN_NETIF_GSO_TYPE_TCPV4 } from "../../../../abi/io/netif.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import type { BridgeConfig, Net } from "./module.ts";
import { arp, BROADCAST, checksumIsRight, internetChecksum, macText, pattern, tcpFrame, udpFrame } from "./packets.ts";

// drivers/network.ts
const TX_CHECKSUM = 1;
const TX_TSO4 = 2;
const PARTIAL = 1;
const VALID = 2;
const GSO_TCP4 = 1;

const outside = { mac: "52:54:00:00:00:02", ip: "10.0.2.2" };
const MSS = 1448;
const gso = { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS };

async function withCard(features: number, config: BridgeConfig = {}): Promise<Net> {
  const net = await netWithBridge(config);
  net.plug(features);
  if (net.setUplink("br0", 0) !== 0) throw new Error("no card");
  return net;
}

/** What the card sent since the last call, which is then done. */
function sent(net: Net): Net["sent"] {
  const frames = net.sent.splice(0);
  net.cardDone();
  return frames;
}

test("frames to the outside are copied once, in segments that a card can take", async (t) => {
  const net = await withCard(TX_CHECKSUM | TX_TSO4);
  const a = join(net, 1);
  for (const length of [10, 1400, 1472]) {
    const frame = udpFrame(hostOf(1), outside, pattern(length));
    const before = net.host.calls.copies;
    a.send(frame);
    const [out, ...more] = sent(net);
    t.deepEqual(more, []);
    t.true(out!.data.equals(frame));
    t.deepEqual([out!.segments, out!.flags, out!.gso], [1, 0, 0]);
    t.is(net.host.calls.copies - before, 1);
  }
  const blank = udpFrame(hostOf(1), outside, pattern(500), { blank: true });
  a.send(blank, { blank: true });
  const [partial] = sent(net);
  t.deepEqual([partial!.flags, partial!.checksumStart, partial!.checksumOffset], [PARTIAL, 34, 6]);
  t.true(partial!.data.equals(blank));
  const large = tcpFrame(hostOf(1), outside, pattern(45 * MSS), { blank: true });
  // The guest left nonsense where the card expects the pseudo-header's sum.
  const sloppy = Buffer.from(large);
  sloppy.writeUInt16BE(0x1234, 50);
  a.send(sloppy, { pieces: [66], blank: true, gso });
  const [tso] = sent(net);
  t.true(tso!.data.equals(large));
  t.deepEqual([tso!.gso, tso!.gsoSize, tso!.headerBytes, tso!.checksumStart], [GSO_TCP4, MSS, 54, 34]);
  t.is(tso!.segments, 17);
  t.true(poolIsFree(net));
});

test("a card that does neither gets segments with their checksums", async (t) => {
  const net = await withCard(0);
  const a = join(net, 1);
  const payload = pattern(20 * MSS + 7);
  a.send(tcpFrame(hostOf(1), outside, payload, { blank: true }), { pieces: [54], blank: true, gso });
  const frames = sent(net);
  t.is(frames.length, 21);
  t.true(frames.every(({ data, flags, gso: kind }) => checksumIsRight(data) && flags === 0 && kind === 0));
  t.true(Buffer.concat(frames.map(({ data }) => data.subarray(54))).equals(payload));
  a.send(udpFrame(hostOf(1), outside, pattern(99), { blank: true }), { blank: true });
  t.true(checksumIsRight(sent(net)[0]!.data));
});

test("frames from the outside reach the vif they are for, in the form that it takes", async (t) => {
  const net = await withCard(0);
  const a = join(net, 1);
  const b = join(net, 2, {}, { features: VIF_FE_RX_NOTIFY | VIF_FE_NO_CSUM_OFFLOAD });
  const frame = udpFrame(outside, hostOf(1), pattern(700));
  net.receive(frame, { flags: VALID });
  net.run();
  const [got] = a.take();
  t.true(got!.data.equals(frame));
  t.true(got!.validated);
  // In several segments, with a checksum or segmentation left undone.
  for (const to of [1, 2]) {
    const large = tcpFrame(outside, hostOf(to), pattern(9000), { blank: true });
    net.receive(large, { flags: PARTIAL, gso: GSO_TCP4, gsoSize: MSS, segment: 1500 });
  }
  net.run();
  t.deepEqual(a.take()[0]!.gso, { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS });
  const segments = b.take();
  t.is(segments.length, 7);
  t.true(segments.every(({ data }) => checksumIsRight(data)));
  // To nobody, from a group address, from a configured address.
  net.receive(udpFrame(outside, { mac: "00:16:3e:77:77:77", ip: "10.0.0.7" }, pattern(10)));
  net.receive(udpFrame({ ...outside, mac: "01:00:5e:00:00:01" }, hostOf(1), pattern(10)));
  net.receive(udpFrame(hostOf(2), hostOf(1), pattern(10)));
  net.run();
  t.deepEqual([a.take(), b.take()], [[], []]);
  const { drops } = net.bridge();
  t.deepEqual([drops[DROP_NO_DESTINATION], drops[DROP_SOURCE_MAC]], [1, 2]);
  // A broadcast comes to all vifs and does not go out again.
  net.receive(udpFrame(outside, { mac: BROADCAST, ip: "10.0.2.255" }, pattern(10)));
  net.run();
  t.deepEqual([a.take().length, b.take().length, sent(net).length], [1, 1, 0]);
  t.true(poolIsFree(net));
});

test("broadcasts go out once; unknown addresses are outside; learned ones are not flooded", async (t) => {
  const net = await withCard(0);
  const a = join(net, 1);
  const b = join(net, 2, { flags: VIF_ANY_MAC });
  a.send(udpFrame(hostOf(1), { mac: BROADCAST, ip: "10.0.0.255" }, pattern(10)));
  t.deepEqual([b.take().length, sent(net).length], [1, 1]);
  a.send(udpFrame(hostOf(1), outside, pattern(10)));
  t.deepEqual([b.take().length, sent(net).length], [1, 1]); // it may be behind the open vif
  net.receive(udpFrame(outside, hostOf(1), pattern(10)));
  net.run();
  t.is(net.bridge().learned, 1);
  a.send(udpFrame(hostOf(1), outside, pattern(10)));
  t.deepEqual([b.take().length, sent(net).length], [0, 1]);
});

test("the switch answers ARP from outside for its vifs' addresses", async (t) => {
  const net = await withCard(0, { flags: BRIDGE_ARP_PROXY });
  const a = join(net, 1, { ipv4: "10.0.0.1" });
  net.receive(arp(1, outside, { ip: "10.0.0.1" }));
  net.run();
  t.deepEqual(a.take(), []);
  const [reply] = sent(net);
  t.is(macText(reply!.data), outside.mac);
  t.is(macText(reply!.data.subarray(22)), hostOf(1).mac);
  t.is(reply!.data.readUInt16BE(20), 2);
  // From inside: outside is asked.
  a.send(arp(1, hostOf(1), { ip: "10.0.2.2" }));
  t.is(sent(net).length, 1);
});

test("a request from outside for a vif's address comes to this vif only, one for another to those that may have it", async (t) => {
  const net = await withCard(0);
  const guests = [join(net, 1, { ipv4: "10.0.0.1" }), join(net, 2, { ipv4: "10.0.0.2" }), join(net, 3)];
  const seen = (): number[] => guests.map((guest) => guest.take().length);
  net.receive(arp(1, outside, { ip: "10.0.0.2" }));
  net.run();
  t.deepEqual(seen(), [0, 1, 0]);
  net.receive(arp(1, outside, { ip: "10.0.0.200" }));
  net.run();
  t.deepEqual(seen(), [0, 0, 1]);
  // Another host that has the address of one outside: all may know it.
  net.receive(arp(1, outside, { ip: outside.ip }));
  net.run();
  t.deepEqual(seen(), [1, 1, 1]);
  // A guest that announces itself is heard outside, and so is its question for an address there.
  guests[0]!.send(arp(1, hostOf(1), { ip: "10.0.0.1" }));
  guests[0]!.send(arp(1, hostOf(1), { ip: outside.ip }));
  t.is(sent(net).length, 2);
  t.deepEqual(seen(), [0, 0, 2]);
  t.true(poolIsFree(net));
});

/** Has the card send all that it has and will be given, a ring's worth at a time. */
function drainCard(net: Net): Buffer[] {
  const frames: Buffer[] = [];
  while (net.sent.length > 0) {
    for (const { data, cookie } of net.sent.splice(0)) {
      frames.push(data);
      net.exports["cardDone"]!(net.card, cookie, 0);
    }
    net.exports["cardReady"]!(net.card);
    net.run();
  }
  return frames;
}

test("a card without room: frames wait in their rings, in order; nobody crowds the others out, and all is given back", async (t) => {
  const net = await withCard(TX_CHECKSUM);
  const loud = join(net, 1);
  const quiet = join(net, 2);
  net.immediate = false;
  net.room = 4;
  let queued = 0;
  for (let round = 0; round < 4; round++) {
    while (loud.queue.send(udpFrame(hostOf(1), outside, pattern(1000, queued)), {})) queued++;
    loud.queue.push();
    net.run();
  }
  // A third of the room is its, and its ring is full.
  t.true(queued > 256 + 300 && queued < 256 + 400, `${queued} frames`);
  quiet.send(udpFrame(hostOf(2), outside, pattern(77)));
  t.is(net.sent.length, 4);
  const frames = drainCard(net);
  t.is(frames.filter(({ length }) => length === 119).length, 1);
  const long = frames.filter(({ length }) => length === 1042);
  t.is(long.length, queued);
  t.true(long.every((data, i) => data.subarray(42).equals(pattern(1000, i))));
  t.deepEqual([net.vif(1).drops[DROP_UPLINK], net.vif(2).drops[DROP_UPLINK]], [0, 0]);
  t.deepEqual([net.vif(1).txFrames, net.vif(1).txBytes], [queued, queued * 1042]);
  t.deepEqual(loud.queue.unanswered(), []);
  t.true(poolIsFree(net));
});

test("a burst of large frames from several guests is sent whole, from a pool that has grown for it", async (t) => {
  for (const features of [TX_CHECKSUM | TX_TSO4, 0]) {
    const net = await withCard(features);
    net.immediate = false;
    const payload = pattern(45 * MSS);
    for (let domid = 1; domid <= 8; domid++) {
      const front = join(net, domid);
      const frame = tcpFrame(hostOf(domid), outside, payload, { blank: true });
      let queued = 0;
      while (front.queue.send(frame, { pieces: [66], blank: true, gso })) queued++;
      t.is(queued, 14); // its ring has no room for more
      front.queue.push();
    }
    net.run();
    const frames = drainCard(net);
    t.is(
      frames.reduce((total, data) => total + data.length - 54, 0),
      8 * 14 * payload.length,
    );
    for (let domid = 1; domid <= 8; domid++) t.true(net.vif(domid).drops.every((count) => count === 0));
    t.true(poolIsFree(net));
  }
});

test("a card that sends nothing holds a guest up for 200 ms; then its frames to it are dropped until there is room", async (t) => {
  const net = await withCard(TX_CHECKSUM);
  const a = join(net, 1);
  const b = join(net, 2);
  net.immediate = false;
  net.room = 4;
  while (a.queue.send(udpFrame(hostOf(1), outside, pattern(1000)), {})) continue;
  a.queue.push();
  net.run();
  while (a.queue.send(udpFrame(hostOf(1), outside, pattern(1000)), {})) continue;
  a.queue.push();
  net.run();
  b.send(udpFrame(hostOf(2), hostOf(1), pattern(10)));
  t.is(a.take().length, 1); // it receives as ever
  net.pass(190_000_000n);
  t.is(net.vif(1).drops[DROP_UPLINK], 0);
  t.true(a.queue.unanswered().length > 100);
  net.pass(20_000_000n);
  t.true(net.vif(1).drops[DROP_UPLINK]! > 100);
  t.deepEqual(a.queue.unanswered(), []);
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(10)));
  t.is(b.take().length, 1);
  const dropped = net.vif(1).drops[DROP_UPLINK]!;
  a.send(udpFrame(hostOf(1), outside, pattern(1000)));
  t.is(net.vif(1).drops[DROP_UPLINK], dropped + 1);
  drainCard(net);
  a.send(udpFrame(hostOf(1), outside, pattern(1000)));
  t.is(drainCard(net).length, 1);
  t.is(net.vif(1).drops[DROP_UPLINK], dropped + 1);
  t.true(poolIsFree(net));
});

test("guests that wait for a card: one goes away, one is limited, one waits again after a restart", async (t) => {
  const net = await withCard(TX_CHECKSUM);
  const fronts = [1, 2, 3].map((domid) => join(net, domid));
  net.setRate(2, 1_000_000, 3000);
  net.immediate = false;
  net.room = 4;
  for (let round = 0; round < 3; round++) {
    for (const [i, { queue }] of fronts.entries()) {
      while (queue.send(udpFrame(hostOf(i + 1), outside, pattern(1000)), {})) continue;
      queue.push();
    }
    net.run();
  }
  t.true(fronts.every(({ queue }) => queue.unanswered().length > 0));
  t.is(net.removeVif(1), 0);
  await net.restart();
  net.sent.splice(0);
  net.run();
  net.pass(10_000_000n);
  const waiting = fronts.slice(1).map(({ queue }) => queue.unanswered().length);
  t.true(waiting[0]! > 0);
  let sentFrames = 0;
  for (let i = 0; i < 1000 && fronts[1]!.queue.unanswered().length > 0; i++) {
    sentFrames += drainCard(net).length;
    net.pass(10_000_000n);
  }
  sentFrames += drainCard(net).length;
  t.true(sentFrames >= waiting[0]! + waiting[1]!);
  t.deepEqual(
    fronts.slice(1).map(({ queue }) => queue.unanswered()),
    [[], []],
  );
  t.deepEqual([net.vif(2).drops[DROP_UPLINK], net.vif(3).drops[DROP_UPLINK]], [0, 0]);
  t.true(poolIsFree(net));
});

test("a card that tells of what it has sent only when it is asked drops nothing", async (t) => {
  const net = await withCard(TX_CHECKSUM);
  const a = join(net, 1);
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 200; i++) a.queueFrame(udpFrame(hostOf(1), outside, pattern(1000)));
    net.run();
  }
  t.is(net.vif(1).drops[DROP_UPLINK], 0);
  t.is(sent(net).length, 2000);
  t.true(poolIsFree(net));
});

test("a card whose link is down, that is detached, or attached to another bridge", async (t) => {
  const net = await withCard(0);
  const a = join(net, 1);
  t.is(net.setUplink("br0", 0), -16);
  t.is(net.createBridge("br1"), 0);
  t.is(net.setUplink("br1", 0), -16);
  t.is(net.setUplink("br1", 7), -2);
  t.deepEqual(net.nics(), [{ bridge: "br0", link: 1, state: 1 }]);
  net.exports["cardLink"]!(net.card, 0);
  a.send(udpFrame(hostOf(1), outside, pattern(10)));
  t.is(net.vif(1).drops[DROP_UPLINK], 1);
  net.exports["cardLink"]!(net.card, 1);
  a.send(udpFrame(hostOf(1), outside, pattern(10)));
  t.is(sent(net).length, 1);
  t.is(net.setUplink("br0", 0xffffffff), 0);
  a.send(udpFrame(hostOf(1), outside, pattern(10)));
  t.is(net.vif(1).drops[DROP_NO_DESTINATION], 1);
  net.receive(udpFrame(outside, hostOf(1), pattern(10)));
  net.run();
  t.deepEqual(a.take(), []);
  t.is(net.setUplink("br1", 0), 0);
  t.is(net.setUplink("br1", 0xffffffff), 0);
  t.is(net.setUplink("br0", 0), 0);
  // After a restart of the domain the card is the bridge's again.
  await net.restart();
  net.run();
  t.deepEqual(net.nics(), [{ bridge: "br0", link: 1, state: 1 }]);
  a.send(udpFrame(hostOf(1), outside, pattern(10)));
  t.is(sent(net).length, 1);
  t.is(internetChecksum(Buffer.from([0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7])), 0x220d); // RFC 1071's example
});
