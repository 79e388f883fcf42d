/** The switch: who gets a frame, who may send it, what is dropped and counted, and what the switch answers itself. */
import test from "ava";
import {
  BRIDGE_ARP_PROXY,
  DROP_MULTICAST,
  DROP_NO_DESTINATION,
  DROP_NO_FRONTEND,
  DROP_PROTOCOL,
  DROP_DHCP_SERVER,
  DROP_SOURCE_ADDRESS,
  DROP_SOURCE_MAC,
  VIF_ANY_ADDRESS,
  VIF_ANY_MAC,
  VIF_FE_MULTICAST_CONTROL,
  VIF_MODEL_XENBUS,
} from "../../../../abi/io/control-net.ts";
import {
  NETTXF_extra_info,
  NETIF_RSP_DROPPED,
  XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP,
  XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW,
  XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
  XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED,
  XEN_NETIF_CTRL_STATUS_SUCCESS,
  XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
  XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS,
  XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM,
  XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS,
  XEN_NETIF_CTRL_TYPE_SET_HASH_KEY,
  XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING,
  XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE,
  XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
  XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
} from "../../../../abi/io/netif.ts";
import { GuestPage } from "../grants.ts";
import { type Frontend, LINUX } from "./frontend.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import { guestMac, Net } from "./module.ts";
import { arp, BROADCAST, ethernet, ipText, ipv4, macText, pattern, tcpFrame, udp, udpFrame } from "./packets.ts";

test("a frame is seen by its receiver only, a broadcast by everybody else once", async (t) => {
  const net = await netWithBridge();
  t.is(net.createBridge("other"), 0);
  const guests = [1, 2, 3, 4, 5].map((domid) => join(net, domid));
  const foreign = join(net, 9, { bridge: "other" });
  guests[0]!.send(udpFrame(hostOf(1), hostOf(4), pattern(100)));
  t.deepEqual(
    guests.map((guest) => guest.take().length),
    [0, 0, 0, 1, 0],
  );
  for (const to of [BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:01"]) {
    for (const length of [50, 5000]) {
      const frame = udpFrame(hostOf(2), { mac: to, ip: "10.0.0.255" }, pattern(length), { blank: true });
      guests[1]!.send(frame, { blank: true });
      const got = guests.map((guest) => guest.take());
      t.deepEqual(
        got.map((frames) => frames.length),
        [1, 0, 1, 1, 1],
      );
      // The checksum is filled in once, for all.
      t.true(got[0]![0]!.data.equals(udpFrame(hostOf(2), { mac: to, ip: "10.0.0.255" }, pattern(length))));
      t.false(got[0]![0]!.blank);
    }
  }
  // To nobody, to itself, to a vif of another bridge, to one that is not connected.
  net.guest(7);
  t.is(net.addVif(7).status, 0);
  for (const mac of ["00:16:3e:99:99:99", guestMac(1), guestMac(9)]) {
    guests[0]!.send(udpFrame(hostOf(1), { mac, ip: "10.0.0.9" }, pattern(100)));
  }
  guests[0]!.send(udpFrame(hostOf(1), hostOf(7), pattern(100)));
  t.is(net.vif(1).drops[DROP_NO_DESTINATION], 3);
  t.is(net.vif(7).drops[DROP_NO_FRONTEND], 1);
  t.deepEqual(
    [...guests, foreign].flatMap((guest) => guest.take()),
    [],
  );
  t.true(guests.every((guest) => guest.queue.statuses.every((status) => status === 0)));
  t.true(poolIsFree(net));
});

test("a broadcast over hundreds of vifs reaches all, while others send", async (t) => {
  const net = await netWithBridge();
  const guests = Array.from({ length: 300 }, (_, i) => join(net, i + 1, {}, { buffers: 8 }));
  const [a, b, c] = guests;
  for (let i = 0; i < 5; i++)
    a!.queueFrame(udpFrame(hostOf(1), { mac: BROADCAST, ip: "10.0.0.255" }, Buffer.from([i])));
  // Before the flood is through, another pair has sent its frames.
  for (let i = 0; i < 20; i++) b!.queueFrame(udpFrame(hostOf(2), hostOf(3), Buffer.from([100 + i])));
  let turns = 0;
  let done = 0;
  while (done < 20) {
    net.turn();
    net.host.deliverToGuests();
    done += c!.take().filter(({ data }) => data[42]! >= 100).length;
    turns++;
  }
  t.true(turns < 6, `${turns} turns`);
  net.run();
  for (const guest of guests.slice(3)) {
    t.deepEqual(
      guest.take().map(({ data }) => data[42]),
      [0, 1, 2, 3, 4],
    );
  }
  t.true(poolIsFree(net));
});

test("forged source addresses are dropped and counted by reason", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1, { ipv4: "10.0.0.1" });
  const b = join(net, 2);
  const me = hostOf(1);
  const peer = hostOf(2);
  const ip6 = Buffer.alloc(40);
  ip6[0] = 0x60;
  const cases: [Buffer, number | null][] = [
    [udpFrame(me, peer, pattern(10)), null],
    [udpFrame({ ...me, mac: guestMac(3) }, peer, pattern(10)), DROP_SOURCE_MAC],
    [udpFrame({ ...me, mac: BROADCAST }, peer, pattern(10)), DROP_SOURCE_MAC],
    [udpFrame({ ...me, ip: "10.0.0.3" }, peer, pattern(10)), DROP_SOURCE_ADDRESS],
    [udpFrame({ ...me, ip: "0.0.0.0" }, peer, pattern(10)), DROP_SOURCE_ADDRESS],
    [udpFrame({ ...me, ip: "0.0.0.0" }, peer, pattern(10), { ports: [68, 67] }), null],
    [udpFrame(me, peer, pattern(10), { ports: [67, 68] }), DROP_DHCP_SERVER],
    [arp(1, me, peer, peer.mac), null],
    [arp(1, { ...me, ip: "0.0.0.0" }, peer, peer.mac), null],
    [arp(2, { ...me, ip: "10.0.0.3" }, peer, peer.mac), DROP_SOURCE_ADDRESS],
    [ethernet(peer.mac, me.mac, 0x0806, arp(2, { ...me, mac: guestMac(3) }, peer).subarray(14)), DROP_SOURCE_MAC],
    [ethernet(peer.mac, me.mac, 0x86dd, ip6), null],
    // IPv4 behind a VLAN tag, and other kinds of frames.
    [
      ethernet(peer.mac, me.mac, 0x8100, Buffer.concat([Buffer.from([0, 1, 8, 0]), udpFrame(me, peer, pattern(9))])),
      DROP_PROTOCOL,
    ],
    [ethernet(peer.mac, me.mac, 0x88cc, pattern(50)), DROP_PROTOCOL],
  ];
  for (const [frame, reason] of cases) {
    const before = net.vif(1).drops;
    a.send(frame);
    const dropped = net.vif(1).drops.map((count, i) => count - before[i]!);
    t.deepEqual(
      dropped.flatMap((count, i) => (count ? [i] : [])),
      reason === null ? [] : [reason],
    );
    t.is(b.take().length, reason === null ? 1 : 0);
    t.is(a.queue.statuses.pop(), reason === null ? 0 : NETIF_RSP_DROPPED);
  }
  // A vif that is trusted with it may.
  const router = join(net, 3, { ipv4: "10.0.0.3", flags: VIF_ANY_MAC | VIF_ANY_ADDRESS });
  router.send(udpFrame({ mac: "02:00:00:00:00:77", ip: "192.168.1.1" }, peer, pattern(10)));
  t.is(b.take().length, 1);
});

test("addresses behind an open vif are learned, bounded, and never a configured one's", async (t) => {
  const net = await netWithBridge();
  const open = join(net, 1, { flags: VIF_ANY_MAC });
  const other = join(net, 2, { flags: VIF_ANY_MAC });
  const b = join(net, 3);
  const inner = { mac: "02:00:00:00:00:01", ip: "10.0.0.50" };
  // Unknown: to all open vifs, and only those.
  b.send(udpFrame(hostOf(3), inner, pattern(10)));
  t.deepEqual([open.take().length, other.take().length], [1, 1]);
  open.send(udpFrame(inner, hostOf(3), pattern(10)));
  t.is(b.take().length, 1);
  b.send(udpFrame(hostOf(3), inner, pattern(10)));
  t.deepEqual([open.take().length, other.take().length], [1, 0]);
  // It moves, and is forgotten after five minutes.
  other.send(udpFrame(inner, hostOf(3), pattern(10)));
  b.send(udpFrame(hostOf(3), inner, pattern(10)));
  t.deepEqual([open.take().length, other.take().length], [0, 1]);
  net.host.time += 301_000_000_000n;
  b.send(udpFrame(hostOf(3), inner, pattern(10)));
  t.deepEqual([open.take().length, other.take().length], [1, 1]);
  // A configured address is nobody else's.
  b.take();
  other.send(udpFrame(hostOf(3), inner, pattern(10)));
  t.is(net.vif(2).drops[DROP_SOURCE_MAC], 1);
  // No more than 64 of one vif.
  for (let i = 0; i < 200; i++) {
    open.send(
      udpFrame(
        { mac: `02:01:00:00:00:${i.toString(16).padStart(2, "0")}`, ip: "10.0.0.1" },
        hostOf(3),
        Buffer.alloc(1),
      ),
    );
  }
  t.true(net.bridge().learned <= 65, `${net.bridge().learned}`);
  t.is(net.removeVif(1), 0);
  t.true(net.bridge().learned <= 1);
});

test("ARP requests for configured addresses are answered by the switch, to the asker only", async (t) => {
  const net = await netWithBridge({ flags: BRIDGE_ARP_PROXY });
  const a = join(net, 1, { ipv4: "10.0.0.1" });
  const b = join(net, 2, { ipv4: "10.0.0.2" });
  const c = join(net, 3);
  a.send(arp(1, hostOf(1), { ip: "10.0.0.2" }));
  const [reply, ...more] = a.take();
  t.deepEqual(more, []);
  t.is(macText(reply!.data), guestMac(1));
  t.is(reply!.data.readUInt16BE(20), 2);
  t.is(macText(reply!.data.subarray(22)), guestMac(2));
  t.is(ipText(reply!.data.subarray(28)), "10.0.0.2");
  t.is(macText(reply!.data.subarray(32)), guestMac(1));
  t.is(ipText(reply!.data.subarray(38)), "10.0.0.1");
  // Unknown addresses: whoever may have one is asked. An announcement is no news for others.
  a.send(arp(1, hostOf(1), { ip: "10.0.0.77" }));
  t.deepEqual([b.take().length, c.take().length], [0, 1]);
  a.send(arp(1, hostOf(1), { ip: "10.0.0.1" }));
  t.deepEqual([b.take().length, c.take().length], [0, 1]);
  // A probe for the asker's own address stays unanswered (RFC 5227).
  a.send(arp(1, { ...hostOf(1), ip: "0.0.0.0" }, { ip: "10.0.0.1" }));
  t.deepEqual([a.take(), b.take(), c.take()], [[], [], []]);
  // A truncated request is flooded like any other broadcast of its kind, by one that may send it.
  c.send(arp(1, hostOf(3), { ip: "10.0.0.2" }).subarray(0, 30));
  t.is(a.take().length, 1);
});

test("an ARP request for a configured address goes to its owner only; announcements to those for whom they may be news", async (t) => {
  const net = await netWithBridge();
  const guests = [1, 2, 3].map((domid) => join(net, domid, { ipv4: hostOf(domid).ip }));
  const open = join(net, 4);
  const [a, , c] = guests as [Frontend, Frontend, Frontend];
  const seen = (): number[] => [...guests, open].map((guest) => guest.take().length);
  a.send(arp(1, hostOf(1), { ip: "10.0.0.2" }));
  t.deepEqual(seen(), [0, 1, 0, 0]);
  open.send(arp(1, hostOf(4), { ip: "10.0.0.3" }));
  t.deepEqual(seen(), [0, 0, 1, 0]);
  // An address that nobody has configured, and a probe for the asker's own: whoever may have it is asked.
  a.send(arp(1, hostOf(1), { ip: "10.0.0.99" }));
  a.send(arp(1, { ...hostOf(1), ip: "0.0.0.0" }, { ip: "10.0.0.1" }));
  t.deepEqual(seen(), [0, 0, 0, 2]);
  // What a vif without a configured address announces may concern everybody.
  open.send(arp(1, hostOf(4), { ip: "10.0.0.4" }));
  t.deepEqual(seen(), [1, 1, 1, 0]);
  c.send(arp(1, hostOf(3), { ip: "10.0.0.3" }));
  t.deepEqual(seen(), [0, 0, 0, 1]);
  // B was asked for and has been told who asks: another one with the address of either is news for all, also behind a restart.
  for (const guest of guests) guest.guest.die();
  for (const domid of [1, 2, 3]) t.is(net.removeVif(domid), 0);
  await net.restart();
  const again = { ...hostOf(2), mac: "00:16:3e:77:00:02" };
  const heirs = [
    join(net, 11, { ipv4: hostOf(1).ip }),
    join(net, 12, { ipv4: again.ip, mac: again.mac }),
    join(net, 13, { ipv4: "10.0.0.13" }),
  ] as [Frontend, Frontend, Frontend];
  const heard = (): number[] => heirs.map((guest) => guest.take().length);
  heirs[1].send(arp(1, again, { ip: again.ip }));
  t.deepEqual(heard(), [1, 0, 1]);
  // It need not announce itself: its first question tells as much.
  heirs[1].send(arp(1, again, { ip: hostOf(1).ip }));
  t.deepEqual(heard(), [1, 0, 1]);
  heirs[2].send(arp(1, { mac: guestMac(13), ip: "10.0.0.13" }, { ip: "10.0.0.13" }));
  t.deepEqual(heard(), [0, 0, 0]);
  t.true(poolIsFree(net));
});

test("multicast goes to those that asked for it, where a frontend filters", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2, { model: VIF_MODEL_XENBUS }, { features: LINUX | VIF_FE_MULTICAST_CONTROL });
  const group = "01:00:5e:01:02:03";
  const change = (type: number, mac: string): void => {
    b.queue.putRaw([
      b.queue.request(0, 0, NETTXF_extra_info, 0, 0),
      Buffer.concat([Buffer.from([type, 0]), Buffer.from(mac.replaceAll(":", ""), "hex")]),
    ]);
    b.strict = false;
    b.queue.push();
    net.run();
  };
  const arrives = (): number => {
    a.send(udpFrame(hostOf(1), { mac: group, ip: "224.1.2.3" }, pattern(10)));
    return b.take().length;
  };
  t.is(arrives(), 0);
  t.is(net.vif(2).drops[DROP_MULTICAST], 1);
  change(XEN_NETIF_EXTRA_TYPE_MCAST_ADD, group);
  t.is(arrives(), 1);
  a.send(udpFrame(hostOf(1), { mac: BROADCAST, ip: "10.0.0.255" }, pattern(10)));
  t.is(b.take().length, 1);
  await net.restart();
  net.run();
  net.run();
  t.is(arrives(), 1);
  change(XEN_NETIF_EXTRA_TYPE_MCAST_DEL, group);
  t.is(arrives(), 0);
});

test("the control ring: hashing as xen/io/netif.h and the RSS test vectors have it", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1, { flags: VIF_ANY_ADDRESS });
  const b = join(net, 2, { model: VIF_MODEL_XENBUS }, { queues: 4, ctrl: true });
  const key = Buffer.from("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa", "hex");
  const page = new GuestPage();
  const ref = b.guest.grant(page, true);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, [0]).status, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, [7]).status, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, [1]).status, XEN_NETIF_CTRL_STATUS_SUCCESS);
  t.deepEqual(b.ctrl(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, [0]), { status: 0, data: 15 });
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, [16]).status, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, [XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP]).status, 0);
  page.bytes.set(key);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, [ref, 41]).status, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, [0xffff, 40]).status, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, [ref, 40]).status, 0);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, [0, ref, 1]).status, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED);
  // Microsoft's verification suite for RSS: 66.9.149.187:2794 to 161.142.100.80:1766.
  const vector = tcpFrame(
    { mac: guestMac(1), ip: "66.9.149.187" },
    { mac: guestMac(2), ip: "161.142.100.80" },
    pattern(10),
    { ports: [2794, 1766] },
  );
  a.send(vector);
  const [got] = b.take();
  t.deepEqual(got!.hash, { type: 1, value: 0x51ccc178 });
  t.is(got!.queue, 0x51ccc178 % 4);
  // A table chooses the queue.
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, [129]).status, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, [8]).status, 0);
  for (let i = 0; i < 8; i++) page.view.setUint32(i * 4, i === 0 ? 3 : 1, true);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, [ref, 8, 1]).status, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, [ref, 8, 0]).status, 0);
  a.send(vector);
  t.is(b.take()[0]!.queue, 3);
  page.view.setUint32(0, 4, true);
  t.is(b.ctrl(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, [ref, 1, 0]).status, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
});

test("a capture has every frame of the bridge, bounded, with what was overwritten", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  join(net, 2);
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(10)));
  t.is(net.capture("br0", 100), 0);
  const frames = [50, 500, 5000].map((length) => udpFrame(hostOf(1), hostOf(2), pattern(length)));
  for (const frame of frames) a.send(frame);
  const dump = net.dump("br0");
  t.deepEqual(dump.lengths, [92, 542, 5042]);
  dump.frames.forEach((frame, i) => t.true(frame.equals(frames[i]!.subarray(0, 100))));
  t.deepEqual([dump.latest, dump.capture], [3, 100]);
  t.deepEqual(net.dump("br0", dump.position).frames, []);
  // One at a time, when there is no room for more.
  t.is(net.dump("br0", 0n, 130).frames.length, 1);
  // Another one begins behind it, and counts for itself.
  t.is(net.capture("br0", 2000), 0);
  t.is(net.captureStart(), dump.position);
  for (let i = 0; i < 1000; i++) {
    a.queueFrame(udpFrame(hostOf(1), hostOf(2), pattern(1400)));
    if (i % 100 === 99) net.run();
  }
  let after = net.dump("br0", dump.position);
  let read = 0;
  for (; after.frames.length > 0; after = net.dump("br0", after.position)) {
    read += after.frames.length;
    t.true(after.frames.every((frame) => frame.length === 1442));
    t.true(after.latest === 1000 || after.frames.length > 30, "as many as fit");
    if (after.latest === 1000) break;
  }
  t.is(after.latest, 1000);
  t.true(read > 0 && read < 800, `${read}`);
  t.is(net.capture("br0", 0), 0);
  t.is(net.capture("nowhere", 10), -2);
  // A position that no reader was given.
  t.notThrows(() => net.dump("br0", after.position - 3n));
  // One that nobody reads any more ends by itself, and so does one of a domain that is restarted.
  t.is(net.capture("br0", 2000), 0);
  const start = net.captureStart();
  for (let seconds = 0; seconds < 20; seconds += 10) {
    net.host.time += 10_000_000_000n;
    a.send(frames[0]!);
    const read = net.dump("br0", start);
    t.deepEqual([read.latest, read.capture], [seconds / 10 + 1, 2000]);
  }
  net.host.time += 12_000_000_000n;
  a.send(frames[0]!);
  t.is(net.dump("br0").capture, 0);
  t.is(net.capture("br0", 2000), 0);
  await net.restart();
  t.is(net.dump("br0").capture, 0);
});

test("domain 0's requests: errors change nothing", async (t) => {
  const net = await Net.start();
  t.is(net.createBridge(""), -22);
  t.is(net.createBridge("a b"), -22);
  t.is(net.createBridge("br0", { prefix: 33 }), -22);
  t.is(net.createBridge("br0", { flags: 1 }), -22); // DHCP without an address to serve it from
  t.is(net.createBridge("0123456789abcdef"), 0);
  t.is(net.createBridge("br0"), 0);
  t.is(net.createBridge("br0"), -17);
  net.guest(1);
  net.guest(2);
  t.is(net.addVif(1, { bridge: "nowhere" }).status, -2);
  t.is(net.addVif(1, { mac: "00:00:00:00:00:00" }).status, -22);
  t.is(net.addVif(1, { mac: "01:00:5e:00:00:01" }).status, -22);
  t.is(net.addVif(1, { model: 3 }).status, -22);
  t.is(net.addVif(1, { flags: 4 }).status, -22);
  t.is(net.addVif(0x7ff0).status, -22);
  t.is(net.addVif(77).status, -12); // no such domain: no port for it
  t.is(net.addVif(1, { ipv4: "10.0.0.1" }).status, 0);
  t.is(net.addVif(1, { ipv4: "10.0.0.2" }).status, -17);
  t.is(net.addVif(2, { mac: guestMac(1) }).status, -98);
  t.is(net.addVif(2, { ipv4: "10.0.0.1" }).status, -98);
  t.is(net.addVif(2, { ipv4: "10.0.0.1", mac: guestMac(1), bridge: "0123456789abcdef" }).status, 0);
  t.is(net.deleteBridge("br0"), -16);
  t.is(net.deleteBridge("nowhere"), -2);
  t.is(net.disconnectVif(1), -22);
  t.is(net.connectVif(1, 0, [{ txRef: 8, rxRef: 9, txPort: 1, rxPort: 1 }]), -22);
  t.is(net.setRate(5, 1, 1), -2);
  t.is(net.vifs(300).length, 2);
  t.deepEqual(
    net.bridges(300).map(({ name, vifs }) => [name, vifs]),
    [
      ["0123456789abcdef", 1],
      ["br0", 1],
    ],
  );
  t.is(net.removeVif(1), 0);
  t.is(net.deleteBridge("br0"), 0);
  t.is(net.control(9999, 4), -38);
  t.is(net.control(32, 8), -22);
});

test("frames behind an IP header with options, and fragments, are held to the same rules", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1, { ipv4: "10.0.0.1" });
  const b = join(net, 2);
  const options = Buffer.from([1, 1, 1, 0]);
  for (const [from, expected] of [
    ["10.0.0.1", 1],
    ["10.0.0.9", 0],
  ] as const) {
    const segment = udp(Buffer.from([10, 0, 0, 1]), Buffer.from([10, 0, 0, 2]), [1, 2], pattern(20));
    a.send(ethernet(guestMac(2), guestMac(1), 0x0800, ipv4(from, "10.0.0.2", 17, segment, { options })));
    a.send(ethernet(guestMac(2), guestMac(1), 0x0800, ipv4(from, "10.0.0.2", 17, segment, { fragment: 0x2001 })));
    t.is(b.take().length, 2 * expected);
  }
});
