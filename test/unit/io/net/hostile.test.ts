/** Frontends that lie in every field of their rings, revoke what they granted, and flood: only they are harmed. */
import test from "ava";
import fc from "fast-check";
import {
  DROP_COPY,
  DROP_GSO,
  DROP_MALFORMED,
  DROP_RX_COPY,
  DROP_RX_FULL,
  DROP_SLOTS,
  VIF_CONNECTED,
  VIF_FAIL_BOUNDS,
  VIF_FAIL_EXTRA,
  VIF_FAIL_GONE,
  VIF_FAIL_GSO,
  VIF_FAIL_INDEX,
  VIF_FAIL_SLOTS,
  VIF_FAILED,
} from "../../../../abi/io/control-net.ts";
import {
  NETTXF_extra_info,
  NETTXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE_HASH,
  XEN_NETIF_EXTRA_TYPE_MAX,
  XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
  XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
  XEN_NETIF_GSO_TYPE_TCPV4,
} from "../../../../abi/io/netif.ts";
import { NoxsCtrlHdr } from "../../../../abi/io/noxs.ts";
import { Sring } from "../../../../abi/io/ring.ts";
import { XenbusStateClosing } from "../../../../abi/io/xenbus.ts";
import { GuestPage, PAGE } from "../grants.ts";
import { Frontend, gsoExtra } from "./frontend.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import type { Net } from "./module.ts";
import { pattern, tcpFrame, udpFrame } from "./packets.ts";

/** A hostile guest 1, and two that must not notice. */
async function arena(): Promise<{
  net: Net;
  hostile: Frontend;
  a: Frontend;
  b: Frontend;
  page: GuestPage;
  ref: number;
}> {
  const net = await netWithBridge();
  const hostile = join(net, 1);
  const a = join(net, 2);
  const b = join(net, 3);
  hostile.strict = false;
  const page = new GuestPage();
  page.bytes.set(udpFrame(hostOf(1), hostOf(2), pattern(1000)));
  return { net, hostile, a, b, page, ref: hostile.guest.grant(page, true) };
}

let seed = 0;

/** The others' traffic goes on. */
function othersGoOn(a: Frontend, b: Frontend): boolean {
  const frames = [0, 1, 2].map(() => udpFrame(hostOf(2), hostOf(3), pattern(700, ++seed)));
  for (const frame of frames) a.queueFrame(frame);
  a.net.run();
  const got = b.take();
  return got.length === 3 && frames.every((frame, i) => got[i]!.data.equals(frame));
}

/** What a frontend that broke the protocol sees, and what domain 0 does. */
function isDisconnected(net: Net, front: Frontend, failure: number): boolean {
  const vif = net.vif(front.domid);
  return (
    vif.state === VIF_FAILED &&
    vif.failure === failure &&
    front.control.getUint32(NoxsCtrlHdr.be_state, true) === XenbusStateClosing &&
    front.queue.txPage.mappings === 0 &&
    front.queue.rxPage.mappings === 0
  );
}

for (const [name, slots, failure] of [
  ["a producer index beyond the ring", null, VIF_FAIL_INDEX],
  ["a slot that leaves its page", (q, ref) => [q.request(ref, 4000, 0, 1, 97)], VIF_FAIL_BOUNDS],
  ["an offset that wraps", (q, ref) => [q.request(ref, 0xffff, 0, 1, 0xffff)], VIF_FAIL_BOUNDS],
  [
    "a further slot that leaves its page",
    (q, ref) => [q.request(ref, 0, NETTXF_more_data, 1, 200), q.request(ref, 4090, 0, 2, 100)],
    VIF_FAIL_BOUNDS,
  ],
  ["a frame whose last slot is not there", (q, ref) => [q.request(ref, 0, NETTXF_more_data, 1, 200)], VIF_FAIL_SLOTS],
  [
    "a frame of 22 slots",
    (q, ref) =>
      Array.from({ length: 22 }, (_, i) => q.request(ref, 0, i < 21 ? NETTXF_more_data : 0, i, i ? 10 : 1000)),
    VIF_FAIL_SLOTS,
  ],
  ["extra info that is not there", (q, ref) => [q.request(ref, 0, NETTXF_extra_info, 1, 200)], VIF_FAIL_EXTRA],
  [
    "extra info of a type that does not exist",
    (q, ref) => [q.request(ref, 0, NETTXF_extra_info, 1, 200), Buffer.from([XEN_NETIF_EXTRA_TYPE_MAX, 0, 0, 0])],
    VIF_FAIL_EXTRA,
  ],
  ["extra info of type 0", (q, ref) => [q.request(ref, 0, NETTXF_extra_info, 1, 200), Buffer.alloc(8)], VIF_FAIL_EXTRA],
  [
    "extra info without an end",
    (q, ref) => [
      q.request(ref, 0, NETTXF_extra_info, 1, 200),
      ...Array.from({ length: 255 }, () => Buffer.from([XEN_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_FLAG_MORE, 0, 0])),
    ],
    VIF_FAIL_EXTRA,
  ],
  ["segments of size 0", (q, ref) => [q.request(ref, 0, NETTXF_extra_info, 1, 200), gsoExtra(1, 0)], VIF_FAIL_GSO],
  [
    "segments of an unknown type",
    (q, ref) => [q.request(ref, 0, NETTXF_extra_info, 1, 200), gsoExtra(9, 100)],
    VIF_FAIL_GSO,
  ],
] as [string, ((q: Frontend["queue"], ref: number) => Buffer[]) | null, number][]) {
  test(`${name} disconnects the frontend, which can connect again`, async (t) => {
    const { net, hostile, a, b, ref } = await arena();
    if (slots === null) hostile.queue.txProd += 300;
    else hostile.queue.putRaw(slots(hostile.queue, ref));
    hostile.queue.push();
    net.run();
    t.true(isDisconnected(net, hostile, failure), JSON.stringify(net.vif(1)));
    t.true(othersGoOn(a, b));
    t.true(poolIsFree(net));
    t.deepEqual(a.take(), []);
    // Its guest may load another driver.
    t.notThrows(() => hostile.close());
    const again = new Frontend(net, 1);
    const { page, port } = hostile as unknown as { page: unknown; port: unknown };
    Object.assign(again, { page, port, attach: () => {} });
    t.is(again.connectNoxs({ grant: 0, port: 0 }), 4);
    const frame = udpFrame(hostOf(1), hostOf(2), pattern(500));
    again.send(frame);
    t.true(a.take()[0]!.data.equals(frame));
  });
}

test("a receive ring with impossible indices disconnects the frontend", async (t) => {
  const { net, hostile, a, b } = await arena();
  hostile.queue.rxPage.view.setUint32(Sring.req_prod, 0x80000000, true);
  a.send(udpFrame(hostOf(2), hostOf(1), pattern(100)));
  t.true(isDisconnected(net, hostile, VIF_FAIL_INDEX));
  t.true(othersGoOn(a, b));
});

test("what can be answered is answered with an error: too many slots, slots longer than the frame, too short", async (t) => {
  const { net, hostile, a, b, ref } = await arena();
  const { queue } = hostile;
  const frames: [number, Buffer[]][] = [
    // The first and 19 more.
    [
      DROP_SLOTS,
      Array.from({ length: 20 }, (_, i) => queue.request(ref, 0, i < 19 ? NETTXF_more_data : 0, i, i ? 10 : 1000)),
    ],
    [DROP_MALFORMED, [queue.request(ref, 0, NETTXF_more_data, 1, 100), queue.request(ref, 0, 0, 2, 101)]],
    // Sizes whose sum wraps around 16 bits.
    [
      DROP_MALFORMED,
      [
        queue.request(ref, 0, NETTXF_more_data, 1, 60),
        ...Array.from({ length: 16 }, (_, i) => queue.request(ref, 0, i < 15 ? NETTXF_more_data : 0, 2 + i, 4096)),
      ],
    ],
    [DROP_MALFORMED, [queue.request(ref, 0, 0, 1, 13)]],
    [DROP_MALFORMED, [queue.request(ref, 0, 0, 1, 0)]],
  ];
  for (const [reason, slots] of frames) {
    const before = net.vif(1).drops[reason]!;
    const answered = queue.txCons;
    queue.putRaw(slots);
    queue.push();
    net.run();
    t.is(net.vif(1).state, VIF_CONNECTED);
    t.is(net.vif(1).drops[reason], before + 1);
    t.is(queue.txCons - answered, slots.length);
  }
  t.deepEqual(a.take(), []);
  t.true(othersGoOn(a, b));
});

test("a grant that cannot be used, at each stage, is an error of that frame only", async (t) => {
  const { net, hostile, a, b } = await arena();
  const { queue } = hostile;
  const gso = { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 };
  const large = tcpFrame(hostOf(1), hostOf(2), pattern(20000), { blank: true });
  // Revoked before the headers are copied; after them, before the rest (which goes straight to the receiver).
  for (const when of [0, 1, 2, 3, 5]) {
    queue.send(large, { pieces: [66], blank: true, gso });
    let copies = 0;
    net.host.beforeCopy = () => {
      if (copies++ === when) for (const id of queue.unanswered()) queue.revoke(id);
    };
    queue.push();
    net.run();
    net.host.beforeCopy = null;
  }
  t.deepEqual(queue.unanswered(), []);
  t.is(net.vif(1).drops[DROP_COPY], 2); // the headers are in two pieces
  t.deepEqual(a.take(), []);
  t.is(a.rxErrors, 3);
  t.is(net.vif(2).drops[DROP_RX_COPY], 3);
  t.is(net.vif(1).state, VIF_CONNECTED);
  t.true(othersGoOn(a, b));

  // A receiver's buffer that is not writable, or nothing at all.
  for (const wrong of [hostile.guest.grant(new GuestPage(), true), 31000, 0xffffffff]) {
    hostile.queue.rxPage.view.setUint32(64 + (hostile.queue.rxCons % 256) * 8 + 4, wrong, true);
    const before = net.vif(1).drops[DROP_RX_COPY]!;
    a.send(udpFrame(hostOf(2), hostOf(1), pattern(100)));
    t.is(net.vif(1).drops[DROP_RX_COPY], before + 1);
  }
  t.is(hostile.rxErrors, 3);
  t.is(a.queue.statuses.filter((status) => status !== 0).length, 0);
  t.true(poolIsFree(net));
});

test("a frame changed between the look at its headers and its copy reaches nobody in another's name", async (t) => {
  const { net, hostile, a, b, page, ref } = await arena();
  for (const length of [400, 3000]) {
    const honest = udpFrame(hostOf(1), hostOf(2), pattern(length));
    const forged = udpFrame(hostOf(3), hostOf(2), pattern(length));
    page.bytes.set(honest);
    hostile.queue.putRaw([hostile.queue.request(ref, 0, 0, 9, honest.length)]);
    let copies = 0;
    net.host.beforeCopy = () => {
      if (copies++ === 1) page.bytes.set(forged);
    };
    hostile.queue.push();
    net.run();
    net.host.beforeCopy = null;
    const [got] = a.take();
    t.true(got!.data.subarray(0, 42).equals(honest.subarray(0, 42)), `${length} bytes`);
  }
  t.true(othersGoOn(a, b));
});

test("a guest that dies with frames under way is disconnected, and its receivers lose only those", async (t) => {
  const { net, hostile, a, b } = await arena();
  for (let i = 0; i < 10; i++) hostile.queue.send(udpFrame(hostOf(1), hostOf(2), pattern(1000)));
  hostile.queue.push();
  net.host.guests.delete(1);
  net.run();
  t.is(net.vif(1).failure, VIF_FAIL_GONE);
  t.deepEqual(a.take(), []);
  t.true(othersGoOn(a, b));
  t.true(poolIsFree(net));
});

test("segmentation that does not fit the frame is refused, and tiny segments are not made", async (t) => {
  const { net, hostile, a, b } = await arena();
  hostile.strict = true;
  const udp = udpFrame(hostOf(1), hostOf(2), pattern(9000), { blank: true });
  hostile.send(udp, { blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 } });
  const tcp = tcpFrame(hostOf(1), hostOf(2), pattern(9000), { blank: true });
  hostile.send(tcp, { blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 8 } });
  tcp[14] = 0x44; // an IP header shorter than the shortest
  hostile.send(tcp, { blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 } });
  t.is(net.vif(1).drops[DROP_GSO], 3);
  t.deepEqual(a.take(), []);
  t.true(othersGoOn(a, b));
});

test("a receiver that posts nothing holds a bounded part of memory, for a bounded time", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 2);
  const b = join(net, 3);
  const sleepers = Array.from({ length: 20 }, (_, i) => join(net, 10 + i, {}, { buffers: 0 }));
  for (let round = 0; round < 20; round++) {
    for (const { domid } of sleepers) {
      for (let i = 0; i < 12; i++) a.queueFrame(udpFrame(hostOf(2), hostOf(domid), pattern(1400)));
      net.run();
    }
    t.true(net.exports["poolUsed"]!() < 3000);
  }
  t.true(net.vif(10).drops[DROP_RX_FULL]! > 0);
  t.true(othersGoOn(a, b));
  net.pass(1_000_000_000n);
  t.true(poolIsFree(net));
  // What comes when it posts again is delivered.
  sleepers[0]!.buffers = 256;
  sleepers[0]!.wake();
  net.run();
  a.send(udpFrame(hostOf(2), hostOf(10), pattern(99)));
  t.is(sleepers[0]!.take().length, 1);
});

test("frames wait for a receiver that is slow, in order, and are all delivered", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2, {}, { buffers: 4 });
  b.awake = false;
  for (let i = 0; i < 100; i++) a.queueFrame(udpFrame(hostOf(1), hostOf(2), Buffer.from([i])));
  net.run();
  t.is(a.queue.statuses.length, 100);
  b.wake();
  net.run();
  t.deepEqual(
    b.take().map(({ data }) => data[42]),
    Array.from({ length: 100 }, (_, i) => i),
  );
  // Large ones, too, which were copied meanwhile; a frame of 17 buffers waits until that many are there.
  const large = tcpFrame(hostOf(1), hostOf(2), pattern(60000), { blank: true });
  b.buffers = 10;
  a.send(large, { blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 } });
  t.deepEqual(b.take(), []);
  b.buffers = 20;
  b.wake();
  net.run();
  t.true(b.take()[0]!.data.equals(large));
  t.true(poolIsFree(net));
});

test("whatever is in the rings, the back end survives and the others go on", async (t) => {
  const { net, a, b, hostile: first } = await arena();
  let hostile = first;
  const anySlot = fc.record({
    kind: fc.constantFrom("frame", "frame", "raw", "multicast"),
    size: fc.oneof(fc.nat({ max: 0xffff }), fc.nat({ max: 200 })),
    offset: fc.oneof(fc.constant(0), fc.nat({ max: 0xffff })),
    flags: fc.nat({ max: 15 }),
    ref: fc.oneof(fc.constant(-1), fc.nat({ max: 400 })),
    bytes: fc.uint8Array({ minLength: 12, maxLength: 12 }),
  });
  fc.assert(
    fc.property(
      fc.array(anySlot, { minLength: 1, maxLength: 40 }),
      fc.oneof(
        { weight: 6, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 0xffffffff }) },
      ),
      fc.nat({ max: 40 }),
      (slots, skew, rxSkew) => {
        if (net.vif(1).state !== VIF_CONNECTED) {
          const { page, port } = hostile as unknown as { page: unknown; port: unknown };
          hostile.setState(6);
          hostile.setState(1);
          for (const queue of hostile.queues) queue.free();
          hostile = new Frontend(net, 1);
          Object.assign(hostile, { page, port, attach: () => {} });
          if (hostile.connectNoxs({ grant: 0, port: 0 }) !== 4) throw new Error("cannot connect again");
        }
        hostile.awake = false;
        const data = new GuestPage();
        data.bytes.set(udpFrame(hostOf(1), hostOf(2), pattern(800)));
        const ref = hostile.guest.grant(data, true);
        for (const slot of slots) {
          if (hostile.queue.room() === 0) break;
          if (slot.kind === "raw") hostile.queue.putRaw([Buffer.from(slot.bytes)]);
          else if (slot.kind === "multicast") {
            const type = slot.flags & 1 ? XEN_NETIF_EXTRA_TYPE_MCAST_ADD : XEN_NETIF_EXTRA_TYPE_MCAST_DEL;
            hostile.queue.putRaw([
              hostile.queue.request(0, 0, NETTXF_extra_info, 1, 0),
              Buffer.from([type, 0, 1, 0, 0x5e, 0, 0, slot.size & 255]),
            ]);
          } else {
            hostile.queue.putRaw([
              hostile.queue.request(slot.ref < 0 ? ref : slot.ref, slot.offset % PAGE, slot.flags, 7, slot.size),
            ]);
          }
        }
        const { view } = hostile.queue.txPage;
        view.setUint32(Sring.req_prod, (hostile.queue.txProd + skew) >>> 0, true);
        hostile.queue.txCons = hostile.queue.txProd; // it does not look at the answers
        if (rxSkew > 30) hostile.queue.rxPage.view.setUint32(Sring.req_prod, rxSkew * 0x1000, true);
        hostile.guest.send(hostile.queue.txPort);
        a.queueFrame(udpFrame(hostOf(2), hostOf(1), pattern(60)));
        net.run();
        b.take();
        a.take();
        hostile.guest.endGrant(ref);
        if (!othersGoOn(a, b)) throw new Error(JSON.stringify(net.vifs()));
      },
    ),
    { numRuns: 300, includeErrorInReport: true },
  );
  net.pass(1_000_000_000n);
  t.is(net.removeVif(1), 0);
  t.true(poolIsFree(net));
  t.is(net.host.mappingCount(), 4);
});
