/** Frames between guests: every shape of frame that netif.h knows, both ways, byte for byte, and what each costs. */
import test from "ava";
import {
  VIF_FE_GSO_TCPV4,
  VIF_FE_NO_CSUM_OFFLOAD,
  VIF_FE_RX_NOTIFY,
  VIF_MODEL_XENBUS,
} from "../../../../abi/io/control-net.ts";
import { XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6 } from "../../../../abi/io/netif.ts";
import { LINUX, type SendOptions } from "./frontend.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import { checksumIsRight, pattern, tcp6Frame, tcpFrame, udpFrame } from "./packets.ts";

const MSS = 1448;

test("frames of every length and layout arrive unchanged, both ways", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2);
  const layouts: SendOptions[] = [
    {},
    { offset: 100 },
    { offset: 4095 },
    { pieces: [14] },
    { pieces: [1, 13, 20, 8] },
    { pieces: [60, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] },
    { pieces: [0, 64] },
  ];
  let sent = 0;
  for (const length of [0, 1, 18, 100, 150, 151, 1400, 1472, 1493, 1494, 1495, 1500, 2000, 4000, 9000, 30000, 65000]) {
    for (const layout of layouts) {
      // No more slots than a back end must take: the first, and XEN_NETIF_NR_SLOTS_MIN.
      if (length > 25000 && (layout.pieces?.length ?? 0) > 3) continue;
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const frame = udpFrame(hostOf(from.domid), hostOf(to.domid), pattern(length, length + sent));
        from.send(frame, layout);
        const [got, ...more] = to.take();
        t.deepEqual(more, []);
        t.true(got?.data.equals(frame), `${length} bytes, ${JSON.stringify(layout)}`);
        sent++;
      }
    }
  }
  for (const guest of [a, b]) {
    t.true(guest.queue.statuses.every((status) => status === 0));
    t.is(guest.rxErrors, 0);
    t.deepEqual(guest.queue.unanswered(), []);
  }
  const { txFrames, rxFrames, txBytes, rxBytes, drops } = net.bridge();
  t.deepEqual([txFrames, rxFrames], [sent, sent]);
  t.is(txBytes, rxBytes);
  t.is(
    drops.reduce((x, y) => x + y),
    0,
  );
  t.is(net.vif(1).txFrames, sent / 2);
  t.true(poolIsFree(net));
});

test("a large TCP frame is passed on whole, with its segment size and blank checksum", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2, { model: VIF_MODEL_XENBUS });
  const frame = tcpFrame(hostOf(1), hostOf(2), pattern(45 * MSS), { blank: true });
  a.send(frame, { pieces: [66], blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS } });
  const [got] = b.take();
  t.true(got!.data.equals(frame));
  t.deepEqual(got!.gso, { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS });
  t.true(got!.blank);
  // The headers, then 65,160 bytes in pages: a slot for each of the sender's.
  t.is(got!.slots, 17);

  const ip6 = (last: number): Buffer => Buffer.from([0xfd, ...Array(14).fill(0), last]);
  const six = tcp6Frame({ mac: hostOf(1).mac, ip: ip6(1) }, { mac: hostOf(2).mac, ip: ip6(2) }, pattern(20000), {
    blank: true,
  });
  a.send(six, { blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV6, size: 1428 } });
  const [got6] = b.take();
  t.true(got6!.data.equals(six));
  t.deepEqual(got6!.gso, { type: XEN_NETIF_GSO_TYPE_TCPV6, size: 1428 });
  t.true(poolIsFree(net));
});

test("pieces that start anywhere in 18 slots fit the receiver's", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2);
  const frame = tcpFrame(hostOf(1), hostOf(2), pattern(65000), { blank: true });
  a.send(frame, {
    pieces: [90, 700, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096],
    blank: true,
    gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS },
  });
  const [got] = b.take();
  t.true(got!.data.equals(frame));
});

test("a receiver without segmentation gets segments, and whole checksums if it wants them", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const plain = join(net, 2, {}, { features: VIF_FE_RX_NOTIFY });
  const picky = join(net, 3, {}, { features: VIF_FE_RX_NOTIFY | VIF_FE_NO_CSUM_OFFLOAD });
  for (const to of [plain, picky]) {
    const payload = pattern(20 * MSS + 100);
    // FIN and PSH belong to the last segment only, CWR to the first.
    const frame = tcpFrame(hostOf(1), hostOf(to.domid), payload, { blank: true, flags: 0x99, sequence: 0xfffffff0 });
    a.send(frame, { pieces: [54], blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS } });
    const got = to.take();
    t.is(got.length, 21);
    t.true(Buffer.concat(got.map((segment) => segment.data.subarray(54))).equals(payload));
    got.forEach(({ data, blank, gso, slots }, i) => {
      const isLast = i === 20;
      t.is(gso, null);
      t.is(slots, 1);
      t.is(blank, to === plain);
      t.is(data.readUInt16BE(16), data.length - 14);
      t.is(data.readUInt16BE(18), 0x1234 + i);
      t.is(data.readUInt32BE(38), (0xfffffff0 + i * MSS) >>> 0);
      t.is(data[47], 0x10 | (isLast ? 0x09 : 0) | (i === 0 ? 0x80 : 0));
      if (to === picky) t.true(checksumIsRight(data), `segment ${i}`);
    });
  }
  t.true(poolIsFree(net));
});

test("a blank checksum is filled in for a receiver that does not take it", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2, {}, { features: LINUX | VIF_FE_NO_CSUM_OFFLOAD });
  for (const length of [0, 1, 2, 99, 1400, 1500, 8001]) {
    const blank = udpFrame(hostOf(1), hostOf(2), pattern(length), { blank: true });
    const right = udpFrame(hostOf(1), hostOf(2), pattern(length));
    a.send(blank, { blank: true, pieces: [45, 3] });
    const [got] = b.take();
    t.true(got!.data.equals(right), `${length} bytes`);
    t.false(got!.blank);
    t.true(got!.validated);
  }
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(100)), { validated: true });
  t.true(b.take()[0]!.validated);
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(100)));
  t.false(b.take()[0]!.validated);
});

test("a receiver without scatter-gather gets what fits a page", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2, {}, { features: VIF_FE_RX_NOTIFY | VIF_FE_GSO_TCPV4 });
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(4000)));
  t.is(b.take()[0]!.slots, 1);
  a.send(udpFrame(hostOf(1), hostOf(2), pattern(6000)));
  t.deepEqual(b.take(), []);
  t.deepEqual(a.queue.statuses, [0, 0, 0]);
});

test("several queues, with one event channel or two each, keep the order of a flow", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1, { model: VIF_MODEL_XENBUS }, { queues: 4, split: true });
  const b = join(net, 2, { model: VIF_MODEL_XENBUS }, { queues: 3 });
  t.is(net.vif(1).queues, 4);
  const orders = new Map<number, number[]>();
  for (let i = 0; i < 600; i++) {
    const flow = i % 20;
    const payload = Buffer.alloc(200);
    payload.writeUInt32BE(i, 0);
    a.queueFrame(udpFrame(hostOf(1), hostOf(2), payload, { ports: [2000 + flow, 80] }), { queue: flow % 4 });
    if (i % 50 === 49) net.run();
  }
  net.run();
  const queues = new Set<number>();
  for (const { data, queue } of b.take()) {
    const flow = data.readUInt16BE(34) - 2000;
    orders.set(flow, [...(orders.get(flow) ?? []), data.readUInt32BE(42)]);
    queues.add(queue);
  }
  t.is(orders.size, 20);
  t.is(queues.size, 3);
  for (const [flow, order] of orders) {
    t.is(order.length, 30);
    t.deepEqual(
      order,
      [...order].sort((x, y) => x - y),
      `flow ${flow}`,
    );
  }
});

test("what a frame costs: hypercalls and copies", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2);
  const { calls } = net.host;
  const measure = (frames: number, send: () => void): Record<string, number> => {
    const before = { ...calls };
    for (let i = 0; i < frames; i++) send();
    net.run();
    b.take();
    return {
      hypercalls: calls.copy - before.copy,
      copies: (calls.copies - before.copies) / frames,
      bytes: (calls.bytes - before.bytes) / frames,
      events: calls.send - before.send,
    };
  };
  const small = udpFrame(hostOf(1), hostOf(2), pattern(1472));
  const large = tcpFrame(hostOf(1), hostOf(2), pattern(45 * MSS), { blank: true });
  const gso = { pieces: [66], blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: MSS } };
  // A frame of 1,514 bytes: into this domain's memory, out of it. A batch of them shares two hypercalls and two events.
  t.deepEqual(
    measure(1, () => a.queueFrame(small)),
    { hypercalls: 2, copies: 2, bytes: 2 * 1514, events: 2 },
  );
  const many = measure(32, () => a.queueFrame(small));
  t.log("32 frames of 1,514 bytes", many);
  t.deepEqual(many, { hypercalls: 2, copies: 2, bytes: 2 * 1514, events: 2 });
  // 65,214 bytes: the headers in and out, each of 16 pages once from guest to guest.
  const one = measure(1, () => a.queueFrame(large, gso));
  t.log("a frame of 65,214 bytes", one);
  t.is(one["hypercalls"], 2);
  t.true(one["copies"]! <= 20);
  t.true(one["bytes"]! <= large.length + 192);
});
