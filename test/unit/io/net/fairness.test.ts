/** Whose turn it is: a flooding vif costs the others no more than its share, and a rate is what a vif gets. */
import test from "ava";
import { VIF_MODEL_XENBUS } from "../../../../abi/io/control-net.ts";
import { XEN_NETIF_GSO_TYPE_TCPV4 } from "../../../../abi/io/netif.ts";
import type { Frontend, SendOptions } from "./frontend.ts";
import { hostOf, join, netWithBridge, poolIsFree } from "./lab.ts";
import type { Net } from "./module.ts";
import { BROADCAST, pattern, tcpFrame, udpFrame } from "./packets.ts";

/** Keeps a vif's rings full. */
function flood(front: Frontend, frame: Buffer, options: SendOptions = {}): void {
  front.queues.forEach((queue, i) => {
    while (queue.send(frame, { ...options, queue: i })) continue;
    queue.push();
  });
}

/** Frames that each of `senders` gets through in `turns` turns while all keep their rings full. */
function compete(net: Net, turns: number, senders: [Frontend, Buffer, SendOptions?][], sinks: Frontend[]): number[] {
  const before = senders.map(([front]) => net.vif(front.domid).txBytes);
  for (let i = 0; i < turns; i++) {
    for (const [front, frame, options] of senders) flood(front, frame, options);
    net.turn();
    net.host.deliverToGuests();
    for (const sink of sinks) sink.take();
  }
  return senders.map(([front], i) => net.vif(front.domid).txBytes - before[i]!);
}

test("vifs that send alike get the same, whatever the length of their frames", async (t) => {
  const net = await netWithBridge();
  const sink = join(net, 9);
  const small = join(net, 1);
  const usual = join(net, 2);
  const large = join(net, 3);
  const bytes = compete(
    net,
    300,
    [
      [small, udpFrame(hostOf(1), hostOf(9), pattern(500))],
      [usual, udpFrame(hostOf(2), hostOf(9), pattern(1400))],
      [
        large,
        tcpFrame(hostOf(3), hostOf(9), pattern(40000), { blank: true }),
        { pieces: [54], blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 } },
      ],
    ],
    [sink],
  );
  // Each is charged its bytes and FRAME_COST for each frame.
  const charged = [542, 1442, 40054].map((length, i) => bytes[i]! * (1 + 4096 / length));
  t.log(bytes, charged);
  t.true(Math.max(...charged) / Math.min(...charged) < 1.1);
});

test("a flood of tiny frames on many queues, and one of broadcasts, leave the others their share", async (t) => {
  const net = await netWithBridge();
  const good = join(net, 1);
  const sink = join(net, 2);
  const tiny = join(net, 3, { model: VIF_MODEL_XENBUS }, { queues: 8 });
  const loud = join(net, 4);
  const audience = Array.from({ length: 60 }, (_, i) => join(net, 100 + i));
  const alone = compete(net, 100, [[good, udpFrame(hostOf(1), hostOf(2), pattern(1400))]], [sink])[0]!;
  const shared = compete(
    net,
    100,
    [
      [good, udpFrame(hostOf(1), hostOf(2), pattern(1400))],
      [tiny, udpFrame(hostOf(3), hostOf(2), Buffer.alloc(0))],
      [loud, udpFrame(hostOf(4), { mac: BROADCAST, ip: "10.0.0.255" }, pattern(1400))],
    ],
    [sink, ...audience],
  );
  t.log({ alone, shared });
  // Three compete: the good one keeps a third of what it had alone.
  t.true(shared[0]! > alone / 4, `${shared[0]} of ${alone}`);
  // The broadcaster is charged for each of its 62 receivers.
  t.true(shared[2]! < shared[0]! / 10, `${shared[2]} of ${shared[0]}`);
});

test("a rate limit is what a vif gets on average, in bursts no larger than it may", async (t) => {
  const net = await netWithBridge();
  const rate = 1_000_000;
  const a = join(net, 1, { rate, burst: 20_000 });
  const free = join(net, 2);
  const sink = join(net, 3);
  const frame = udpFrame(hostOf(1), hostOf(3), pattern(1000));
  let longest = 0;
  for (let ms = 0; ms < 3000; ms += 10) {
    flood(a, frame);
    const before = net.vif(1).txBytes;
    net.pass(10_000_000n);
    longest = Math.max(longest, net.vif(1).txBytes - before);
    sink.take();
  }
  const { txBytes, drops } = net.vif(1);
  t.log({ txBytes, longest });
  t.true(Math.abs(txBytes - 3 * rate - 20_000) < 0.02 * 3 * rate, `${txBytes}`);
  t.true(longest <= 20_000 + rate / 100 + 2 * frame.length, `${longest}`);
  // It waits, nothing of it is lost; and it delays nobody.
  t.deepEqual(drops.filter(Boolean), []);
  free.send(udpFrame(hostOf(2), hostOf(3), pattern(10)));
  t.is(sink.take().filter(({ data }) => data.length === 52).length, 1);
  // Faster from now on; frames larger than the burst pass, too.
  t.is(net.setRate(1, 10 * rate, 1000), 0);
  net.pass(2_000_000_000n);
  sink.take();
  const large = tcpFrame(hostOf(1), hostOf(3), pattern(60000), { blank: true });
  a.queueFrame(large, { blank: true, gso: { type: XEN_NETIF_GSO_TYPE_TCPV4, size: 1448 } });
  net.pass(1_000_000_000n);
  t.is(sink.take().length, 1);
  t.is(net.setRate(1, 0, 0), 0);
  flood(a, frame);
  net.run();
  t.true(sink.take().length >= 250);
  t.true(poolIsFree(net));
});

test("notifications: none while the other side is busy, one for a batch", async (t) => {
  const net = await netWithBridge();
  const a = join(net, 1);
  const b = join(net, 2);
  const frame = udpFrame(hostOf(1), hostOf(2), pattern(100));
  const events = (): [number, number] => [net.host.guestEvents, net.host.calls.send];
  const [guestBefore, sentBefore] = events();
  for (let i = 0; i < 60; i++) a.queue.send(frame);
  for (let i = 0; i < 60; i++) a.queue.push();
  net.run();
  const [guestAfter, sentAfter] = events();
  t.is(b.take().length, 60);
  t.is(guestAfter - guestBefore, 1);
  t.is(sentAfter - sentBefore, 2);
  // A guest that does not look at its answers is not told again and again.
  a.awake = false;
  for (let i = 0; i < 100; i++) {
    a.queueFrame(frame);
    net.run();
  }
  t.is(b.take().length, 100);
  const told = net.host.calls.send - sentAfter;
  t.true(told <= 102, `${told}`);
});
