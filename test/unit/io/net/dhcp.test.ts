/** The switch's DHCP server against exchanges as dhclient, udhcpc and systemd-networkd make them. */
import test from "ava";
import fc from "fast-check";
import { BRIDGE_ARP_PROXY, BRIDGE_DHCP } from "../../../../abi/io/control-net.ts";
import type { Frontend } from "./frontend.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import { guestMac, type Net } from "./module.ts";
import { arp, BROADCAST, checksumIsRight, ethernet, ipText, ipv4, macText, pattern, udp, udpFrame } from "./packets.ts";

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const DECLINE = 4;
const ACK = 5;
const NAK = 6;
const RELEASE = 7;
const INFORM = 8;

interface Message {
  type: number;
  options?: [number, number[]][];
  ciaddr?: string;
  broadcast?: boolean;
  chaddr?: string;
  giaddr?: string;
  xid?: number;
  to?: string;
  toMac?: string;
}

const quad = (text: string): number[] => text.split(".").map(Number);

function payload(domid: number, message: Message): Buffer {
  const bytes = Buffer.alloc(240);
  bytes.set([1, 1, 6, 0]);
  bytes.writeUInt32BE(message.xid ?? 0xabcd0001, 4);
  bytes.writeUInt16BE(message.broadcast ? 0x8000 : 0, 10);
  bytes.set(quad(message.ciaddr ?? "0.0.0.0"), 12);
  bytes.set(quad(message.giaddr ?? "0.0.0.0"), 24);
  bytes.set(Buffer.from((message.chaddr ?? guestMac(domid)).replaceAll(":", ""), "hex"), 28);
  bytes.writeUInt32BE(0x63825363, 236);
  const options = [
    [53, 1, message.type],
    ...(message.options ?? []).map(([code, value]) => [code, value.length, ...value]),
    [255],
  ];
  return Buffer.concat([bytes, Buffer.from(options.flat())]);
}

function send(front: Frontend, message: Message): void {
  const from = quad(message.ciaddr ?? "0.0.0.0");
  const to = quad(message.to ?? "255.255.255.255");
  const segment = udp(Buffer.from(from), Buffer.from(to), [68, 67], payload(front.domid, message), { blank: true });
  const packet = ipv4(from.join("."), to.join("."), 17, segment);
  front.send(ethernet(message.toMac ?? BROADCAST, guestMac(front.domid), 0x0800, packet), { blank: true });
}

interface Answer {
  type: number;
  xid: number;
  yiaddr: string;
  ciaddr: string;
  options: Map<number, number[]>;
  toMac: string;
  fromMac: string;
  to: string;
  from: string;
}

function answer(front: Frontend): Answer | null {
  const frames = front.take();
  if (frames.length === 0) return null;
  if (frames.length > 1) throw new Error("more than one answer");
  const { data } = frames[0]!;
  if (!checksumIsRight(data)) throw new Error("a wrong checksum");
  if (data.readUInt16BE(34) !== 67 || data.readUInt16BE(36) !== 68) throw new Error("wrong ports");
  const message = data.subarray(42);
  if (message.length < 300 || message[0] !== 2 || message.readUInt32BE(236) !== 0x63825363)
    throw new Error("no answer");
  const options = new Map<number, number[]>();
  for (let at = 240; message[at] !== 255;) {
    const length = message[at + 1]!;
    options.set(message[at]!, [...message.subarray(at + 2, at + 2 + length)]);
    at += 2 + length;
  }
  return {
    type: options.get(53)![0]!,
    xid: message.readUInt32BE(4),
    yiaddr: ipText(message.subarray(16)),
    ciaddr: ipText(message.subarray(12)),
    options,
    toMac: macText(data),
    fromMac: macText(data.subarray(6)),
    to: ipText(data.subarray(30)),
    from: ipText(data.subarray(26)),
  };
}

async function served(): Promise<{ net: Net; a: Frontend; b: Frontend }> {
  const net = await netWithBridge({
    flags: BRIDGE_DHCP | BRIDGE_ARP_PROXY,
    prefix: 20,
    gateway: "10.0.0.254",
    server: "10.0.0.253",
    dns: ["10.0.0.252", "1.1.1.1"],
    lease: 7200,
  });
  return { net, a: join(net, 1, { ipv4: "10.0.0.1" }), b: join(net, 2) };
}

const SERVER: [number, number[]] = [54, [10, 0, 0, 253]];
const u32 = (bytes: number[]): number => Buffer.from(bytes).readUInt32BE(0);

test("DISCOVER, OFFER, REQUEST, ACK: a new client gets the vif's address and what it needs", async (t) => {
  const { net, a, b } = await served();
  for (const broadcast of [false, true]) {
    send(a, {
      type: DISCOVER,
      broadcast,
      options: [
        [61, [1, 2, 3]],
        [55, [1, 3, 6]],
      ],
      xid: 0x11223344,
    });
    const offer = answer(a)!;
    t.is(offer.type, OFFER);
    t.is(offer.xid, 0x11223344);
    t.is(offer.yiaddr, "10.0.0.1");
    t.deepEqual(offer.options.get(1), [255, 255, 240, 0]);
    t.deepEqual(offer.options.get(3), [10, 0, 0, 254]);
    t.deepEqual(offer.options.get(6), [10, 0, 0, 252, 1, 1, 1, 1]);
    t.deepEqual(offer.options.get(54), [10, 0, 0, 253]);
    t.deepEqual(offer.options.get(61), [1, 2, 3]);
    t.deepEqual(
      [51, 58, 59].map((code) => u32(offer.options.get(code)!)),
      [7200, 3600, 6300],
    );
    t.is(offer.from, "10.0.0.253");
    t.deepEqual([offer.to, offer.toMac], broadcast ? ["255.255.255.255", BROADCAST] : ["10.0.0.1", guestMac(1)]);
    send(a, { type: REQUEST, broadcast, options: [SERVER, [50, [10, 0, 0, 1]]] });
    const ack = answer(a)!;
    t.deepEqual([ack.type, ack.yiaddr], [ACK, "10.0.0.1"]);
  }
  // Nobody else sees any of it.
  t.deepEqual(b.take(), []);
  t.true(poolIsFree(net));
});

test("renewing by unicast, rebinding, rebooting, and asking for what it may not have", async (t) => {
  const { a, b } = await served();
  // The server's address answers to ARP; renewing goes there (RFC 2131, 4.3.2).
  a.send(arp(1, hostOf(1), { ip: "10.0.0.253" }));
  const mac = macText(a.take()[0]!.data.subarray(22));
  send(a, { type: REQUEST, ciaddr: "10.0.0.1", to: "10.0.0.253", toMac: mac });
  const renewed = answer(a)!;
  t.deepEqual([renewed.type, renewed.ciaddr, renewed.yiaddr], [ACK, "10.0.0.1", "10.0.0.1"]);
  t.deepEqual([renewed.to, renewed.toMac, renewed.fromMac], ["10.0.0.1", guestMac(1), mac]);
  send(a, { type: REQUEST, ciaddr: "10.0.0.1" });
  t.is(answer(a)!.type, ACK);
  send(a, { type: REQUEST, options: [[50, [10, 0, 0, 1]]] });
  t.is(answer(a)!.type, ACK);
  // The wrong network: NAK, to all, so that the client begins anew.
  send(a, { type: REQUEST, options: [[50, [192, 168, 0, 7]]] });
  const nak = answer(a)!;
  t.deepEqual([nak.type, nak.yiaddr, nak.to, nak.toMac], [NAK, "0.0.0.0", "255.255.255.255", BROADCAST]);
  t.deepEqual([...nak.options.keys()].sort(), [53, 54]);
  send(a, { type: REQUEST, options: [SERVER, [50, [10, 0, 0, 2]]] });
  t.is(answer(a)!.type, NAK);
  // Another server's offer was taken.
  send(a, {
    type: REQUEST,
    options: [
      [54, [10, 0, 0, 99]],
      [50, [10, 0, 0, 1]],
    ],
  });
  t.is(answer(a), null);
  send(a, { type: INFORM, ciaddr: "10.0.0.1" });
  const informed = answer(a)!;
  t.deepEqual([informed.type, informed.yiaddr, informed.options.has(51)], [ACK, "0.0.0.0", false]);
  for (const type of [DECLINE, RELEASE, OFFER, ACK, 99]) {
    send(a, { type, options: [SERVER, [50, [10, 0, 0, 1]]] });
    t.is(answer(a), null);
  }
  t.deepEqual(b.take(), []);
});

test("what is no request of this vif's gets no answer", async (t) => {
  const { a, b } = await served();
  send(a, { type: DISCOVER, chaddr: guestMac(2) });
  send(a, { type: DISCOVER, giaddr: "10.0.0.9" });
  t.is(answer(a), null);
  // A vif without an address asks the network: the others hear it.
  send(b, { type: DISCOVER });
  t.is(a.take().length, 1);
  t.is(answer(b), null);
});

test("whatever is in a request, the server survives and others go on", async (t) => {
  const { net, a, b } = await served();
  const good = payload(1, {
    type: DISCOVER,
    options: [
      [50, [10, 0, 0, 1]],
      [61, pattern(60).toJSON().data],
    ],
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })), { maxLength: 8 }),
      fc.nat({ max: good.length }),
      fc.uint8Array({ maxLength: 80 }),
      (changes, cut, tail) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        const message = Buffer.concat([bytes.subarray(0, cut), tail]);
        a.send(
          udpFrame({ mac: guestMac(1), ip: "0.0.0.0" }, { mac: BROADCAST, ip: "255.255.255.255" }, message, {
            ports: [68, 67],
          }),
        );
        a.take();
        b.send(udpFrame(hostOf(2), hostOf(1), pattern(30)));
        return a.take().length === 1 && b.take().length === 0;
      },
    ),
    { numRuns: 300 },
  );
  t.true(poolIsFree(net));
});
